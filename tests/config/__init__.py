"""The configuration files: keys, defaults, and that documents and examples agree with the code."""
