"""Tests of L{appproxy.translate}."""
