"""Tests of L{appproxy.signin}."""
