"""Tests of C{appproxy.connector}."""
