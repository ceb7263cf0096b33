"""Threads for calls that block, shared fairly."""
