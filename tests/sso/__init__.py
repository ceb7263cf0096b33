"""Tests of C{appproxy.sso}."""
