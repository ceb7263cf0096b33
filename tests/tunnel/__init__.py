"""Tests of the tunnel: frames, sessions, and the protocol on in-memory transports."""
