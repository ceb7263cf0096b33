"""
A self-hosted application proxy: an edge that people reach, connectors that
dial out, and real single sign-on to the applications between them.
"""

__version__ = "0.1.0"
