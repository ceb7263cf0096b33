"""Tests of L{appproxy.threads}."""
