"""Certificates: the built-in CA, join tokens, enrolment, and what each daemon is."""
