"""What policy saw and what the application understood, for servers that read each in their own way."""

from __future__ import annotations

from tests.integration.support.differential import DifferentialCase


class NginxTests(DifferentialCase):
    """nginx, which merges slashes and resolves dots."""

    kind = "nginx"


class ApacheTests(DifferentialCase):
    """Apache at its most lenient, with a CGI program."""

    kind = "apache"


class GunicornTests(DifferentialCase):
    """gunicorn, whose application hears decoded paths."""

    kind = "gunicorn"


class NodeTests(DifferentialCase):
    """node, whose URLs know backslashes and encoded dots."""

    kind = "node"


del DifferentialCase
