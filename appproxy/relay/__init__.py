"""The broker between edges and connectors: it owns the tunnels and parses frame headers only."""
