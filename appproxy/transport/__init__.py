"""Sockets and TLS: listening, dialling, certificates, timers and the reactor."""
