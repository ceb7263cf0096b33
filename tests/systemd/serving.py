"""
What somebody outside finds at an edge that runs.
"""

from __future__ import annotations

from appproxy.demo.plan import DOMAIN
from appproxy.demo.samples import USERS
from tests.systemd.promises import equal
from tests.systemd.site import Site


class Serving:
    """Ports 443 and 80 of the edge, with an application behind it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._machine = site.machine

    def answers_curl(self) -> None:
        """Port 80 leads to https, and https to sign-in, on IPv4 and IPv6."""
        curl = ("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code} %{redirect_url}")
        for address in ("127.0.0.1", "[::1]"):
            resolved = [f"headers.{DOMAIN}:{port}:{address}" for port in (80, 443)]
            options = [part for each in resolved for part in ("--resolve", each)]
            plain = self._machine.run(*curl, *options, f"http://headers.{DOMAIN}/a")
            equal(plain, f"308 https://headers.{DOMAIN}/a", address)
            secure = self._machine.run(*curl, *options, f"https://headers.{DOMAIN}/a")
            assert secure.startswith(f"302 https://auth.{DOMAIN}/.appproxy/sign-in?"), secure

    def answers_openssl(self) -> None:
        """openssl finds TLS 1.3 and a certificate that it can verify, and no TLS 1.1."""
        command = ("openssl", "s_client", "-connect", "127.0.0.1:443", "-servername", f"auth.{DOMAIN}")
        said = self._machine.run(*command, "-verify_return_error", "-verify_hostname", f"auth.{DOMAIN}")
        assert "TLSv1.3" in said, said
        assert "Verify return code: 0 (ok)" in said, said
        assert self._machine.attempt(*command, "-tls1_1").returncode != 0

    def signs_in(self) -> None:
        """A user signs in, and the application is told through the tunnel who it is."""
        equal(self._site.who(self._site.sign_in()), USERS[0].mail)
