"""Tests of L{appproxy.httpwire}."""
