"""Tests of L{appproxy.kerberos}."""
