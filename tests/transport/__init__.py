"""Tests of C{appproxy.transport}."""
