"""Tests of C{appproxy.pages}."""
