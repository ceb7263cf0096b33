"""Tests of C{appproxy.demo}."""
