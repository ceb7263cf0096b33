"""The plugins that are shipped in C{plugins/}."""
