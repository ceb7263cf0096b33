"""The tunnel: many streams over one connection. The wire is specified in C{docs/tunnel.md}."""
