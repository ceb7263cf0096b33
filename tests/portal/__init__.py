"""Tests of C{appproxy.portal}."""
