"""Tests of the certificates: the CA, join tokens, enrolment, identities."""
