"""Tests of L{appproxy.session}."""
