"""Tickets for signed-in users, by constrained delegation (S4U2Self and S4U2Proxy)."""
