"""Tests of C{appproxy.observe}."""
