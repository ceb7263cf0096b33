"""Tests of L{appproxy.policy}."""
