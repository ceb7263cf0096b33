"""Signing the user on to an application: one module for each mode, chosen by L{appproxy.sso.modes.mode}."""
