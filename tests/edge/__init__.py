"""Tests of L{appproxy.edge}."""
