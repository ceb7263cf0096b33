"""
A self-hosted application proxy: an edge that people reach, connectors that
dial out, and real single sign-on to the applications between them.
"""

import os

from appproxy.form import INTERPRETED, prefer_sources

__version__ = "0.1.0"

if os.environ.get(INTERPRETED, "0") != "0":
    prefer_sources()
