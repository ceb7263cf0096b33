"""The real daemons, with real servers and a real browser around them."""
