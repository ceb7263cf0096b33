"""
A client that keeps cookies and follows redirects: what a sign-in asks of a browser.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import Morsel, SimpleCookie
from types import TracebackType
from typing import Final
from urllib.parse import urljoin, urlsplit

from bench.processes import BenchError

PATH: Final = "/1k/check"
"""The origin answers with 1 KiB."""

MAXIMUM_REDIRECTS: Final = 8
"""A sign-in takes three: to the provider, back with a code, to where it began."""

TIMEOUT_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Reply:
    """
    One answer.

    @ivar location: where it redirects to, or nothing.
    """

    status: int
    location: str
    body: bytes
    set_cookies: tuple[str, ...] = field(default=(), repr=False)


class Visitor:
    """
    One connection to a system and one to its provider, kept for all requests.

    No certificate is checked: everything here talks to 127.0.0.1, whatever the name.
    """

    def __init__(self, host: str, port: int) -> None:
        """
        @param host: the system's name, for SNI and C{Host}.
        @param port: the system's TLS port.
        """
        self._origin = f"https://{host}:{port}"
        self._host = host
        self._connections: dict[str, http.client.HTTPConnection] = {}

    def __enter__(self) -> Visitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        for each in self._connections.values():
            each.close()
        self._connections.clear()

    def get(self, target: str = PATH, cookie: str = "") -> Reply:
        """
        One request, no redirect followed.

        @param target: a path on the system, or an address.
        """
        url = urlsplit(self._at_system(target))
        path = f"{url.path or '/'}{'?' if url.query else ''}{url.query}"
        # Without it mod_auth_openidc takes the request for a script's, and does not redirect.
        headers = {"Accept": "text/html, */*", **({"Cookie": cookie} if cookie else {})}
        key = f"{url.scheme}://{url.netloc}"
        connection = self._connections.get(key) or self._connection(key)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        set_cookies = tuple(response.headers.get_all("Set-Cookie", ()))
        return Reply(response.status, response.headers.get("Location", ""), body, set_cookies)

    def sign_in(self, path: str = PATH) -> str:
        """
        A new session.

        @return: the value of a C{Cookie} header.
        @raise BenchError: if it does not end at the origin's answer.
        """
        cookies: dict[str, str] = {}
        target = self._at_system(path)
        for _ in range(MAXIMUM_REDIRECTS):
            ours = target.startswith(self._origin)
            reply = self.get(target, _header(cookies) if ours else "")
            if ours:
                _keep(cookies, reply.set_cookies)
            if reply.status == 200:
                return _header(cookies)
            if not reply.location:
                raise BenchError(f"sign-in: {target} answered {reply.status}: {reply.body[:500]!r}")
            target = self._at_system(urljoin(target, reply.location))
        raise BenchError(f"sign-in: {MAXIMUM_REDIRECTS} redirects, the last to {target}")

    def _at_system(self, target: str) -> str:
        """The address of a path; the system's name without its port means the system, too."""
        url = urlsplit(urljoin(self._origin, target))
        return (
            urljoin(self._origin, url._replace(scheme="", netloc="").geturl())
            if url.hostname == self._host
            else target
        )

    def _connection(self, origin: str) -> http.client.HTTPConnection:
        url = urlsplit(origin)
        made: http.client.HTTPConnection
        if url.scheme == "https":
            made = _Tls(url.hostname or "", url.port or 443)
        else:
            made = http.client.HTTPConnection(url.hostname or "", url.port, timeout=TIMEOUT_SECONDS)
        self._connections[origin] = made
        return made


class _Tls(http.client.HTTPSConnection):
    """Connects to 127.0.0.1 whatever the name says; the name goes into SNI and C{Host}."""

    def __init__(self, host: str, port: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        super().__init__(host, port, timeout=TIMEOUT_SECONDS, context=context)
        self._tls = context

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), TIMEOUT_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


def _header(cookies: Mapping[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def _keep(cookies: dict[str, str], set_cookies: tuple[str, ...]) -> None:
    """Do as the C{Set-Cookie} headers say; paths are not looked at, all cookies are for C{/}."""
    for text in set_cookies:
        for name, morsel in SimpleCookie(text).items():
            if _ended(morsel):
                cookies.pop(name, None)
            else:
                cookies[name] = morsel.coded_value


def _ended(morsel: Morsel[str]) -> bool:
    return not morsel.value or morsel["max-age"] == "0" or "1970" in morsel["expires"]
