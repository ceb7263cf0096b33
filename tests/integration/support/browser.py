"""
An HTTP client that does what a browser does in sign-in: cookies, redirects, forms.

It keeps the rules of RFC 6265bis that the proxy relies on (C{__Host-}, Secure, Path,
host-only), sends fetch metadata, and runs no scripts. Names below C{localhost} are this machine.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

from appproxy.transport.addresses import HostPort, bracketed

MAXIMUM_REDIRECTS: Final = 20
TIMEOUT_SECONDS: Final = 30.0
REDIRECTS: Final = (301, 302, 303, 307, 308)
KEEPS_METHOD: Final = (307, 308)

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Cookie:
    """A cookie in the jar; every one is host-only, since ours never have a Domain."""

    name: str
    value: str
    path: str
    secure: bool
    domain: str = ""
    http_only: bool = False
    same_site: str = ""

    def goes_to(self, host: str, path: str, *, secure: bool) -> bool:
        """Whether a request carries it (RFC 6265, section 5.4)."""
        if self.domain and host != self.domain and not host.endswith(f".{self.domain}"):
            return False
        below = path == self.path or path.startswith(self.path.rstrip("/") + "/")
        return below and (secure or not self.secure)


class CookieRefused(AssertionError):
    """A browser would not take this cookie."""


class Jar:
    """The cookies of one browser, by the host that set them."""

    def __init__(self) -> None:
        self._hosts: dict[str, dict[tuple[str, str], Cookie]] = {}

    def of(self, host: str) -> dict[str, str]:
        """Names and values that a host has set."""
        return {cookie.name: cookie.value for cookie in self._hosts.get(host, {}).values()}

    def put(self, host: str, name: str, value: str, *, path: str = "/", secure: bool = True) -> None:
        """Plant a cookie."""
        self._hosts.setdefault(host, {})[name, path] = Cookie(name, value, path, secure)

    def forget(self, host: str, name: str) -> None:
        """Lose a cookie."""
        cookies = self._hosts.get(host, {})
        for key in [key for key in cookies if key[0] == name]:
            del cookies[key]

    def header(self, host: str, path: str, *, secure: bool) -> str:
        """The Cookie header of a request."""
        fitting = [
            cookie
            for setter, cookies in self._hosts.items()
            for cookie in cookies.values()
            if (setter == host or cookie.domain) and cookie.goes_to(host, path, secure=secure)
        ]
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in fitting)

    def take(self, host: str, path: str, header: str, *, secure: bool) -> None:
        """
        A Set-Cookie header.

        @raise CookieRefused: where a browser would drop it silently, and the test would wonder.
        """
        pair, *parts = header.split(";")
        name, _, value = pair.strip().partition("=")
        attributes = {
            key.strip().lower(): content.strip()
            for key, _, content in (part.partition("=") for part in parts)
        }
        domain = attributes.get("domain", "").lower().lstrip(".")
        cookie = Cookie(
            name,
            value,
            attributes.get("path") or path.rpartition("/")[0] or "/",
            "secure" in attributes,
            domain,
            "httponly" in attributes,
            attributes.get("samesite", ""),
        )
        _check(cookie, host, header, secure=secure)
        cookies = self._hosts.setdefault(host, {})
        if _is_over(attributes):
            cookies.pop((name, cookie.path), None)
        else:
            cookies[name, cookie.path] = cookie


def _is_over(attributes: Mapping[str, str]) -> bool:
    age = attributes.get("max-age", "")
    return age == "0" or age.startswith("-") or "1970" in attributes.get("expires", "")


def _check(cookie: Cookie, host: str, header: str, *, secure: bool) -> None:
    if cookie.secure and not secure:
        raise CookieRefused(f"Secure over http: {header}")
    if cookie.domain and host != cookie.domain and not host.endswith(f".{cookie.domain}"):
        raise CookieRefused(f"{host} sets a cookie for another domain: {header}")
    is_host_bound = cookie.secure and cookie.path == "/" and not cookie.domain
    if cookie.name.lower().startswith("__host-") and not is_host_bound:
        raise CookieRefused(f"__Host- without Secure, with a Domain, or not for Path=/: {header}")
    if cookie.same_site.lower() == "none" and not cookie.secure:
        raise CookieRefused(f"SameSite=None without Secure: {header}")


@dataclass
class Form:
    """A form of a page, with the values that it came with."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    """Finds forms, and the controls that belong to them by their place or their C{form} attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self._by_id: dict[str, Form] = {}
        self._open: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = Form(values.get("action", ""), values.get("method", "get").upper())
            self.forms.append(self._open)
            if "id" in values:
                self._by_id[values["id"]] = self._open
        elif tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag in ("input", "button"):
            self._control(tag, values)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None

    def _control(self, tag: str, values: dict[str, str]) -> None:
        form = self._by_id.get(values.get("form", "")) or self._open
        if form is None or "name" not in values:
            return
        is_button = tag == "button" or values.get("type") in ("submit", "button")
        target = form.buttons if is_button else form.fields
        target[values["name"]] = values.get("value", "")


@dataclass(frozen=True)
class Page:
    """
    An answer.

    @ivar url: where it came from, after redirects.
    @ivar headers: all of them, in order, names in lower case.
    """

    url: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def host(self) -> str:
        """The host of the URL, without port."""
        return urllib.parse.urlsplit(self.url).hostname or ""

    @property
    def forms(self) -> list[Form]:
        """Its forms, in order."""
        return self._parsed().forms

    @property
    def links(self) -> list[str]:
        """Where its links lead, absolute."""
        return [urllib.parse.urljoin(self.url, link) for link in self._parsed().links]

    def header(self, name: str) -> str:
        """The values of a header, with commas; empty if it is not there."""
        return ", ".join(value for key, value in self.headers if key == name.lower())

    def _parsed(self) -> _Forms:
        parser = _Forms()
        parser.feed(self.text)
        return parser


class Browser:
    """
    One person's browser.

    @ivar jar: its cookies.
    @ivar history: every answer, redirects too, in order.
    """

    def __init__(self, ca_file: Path) -> None:
        self._context = ssl.create_default_context(cafile=ca_file)
        self.jar = Jar()
        self.history: list[Page] = []

    def open(self, url: str) -> Page:
        """Type an address: a navigation, with its redirects."""
        return self.navigate("GET", url)

    def click(self, page: Page, link: str) -> Page:
        """Follow a link of a page."""
        return self.navigate("GET", urllib.parse.urljoin(page.url, link), referer=page.url)

    def submit(
        self, page: Page, values: Mapping[str, str] | None = None, *, form: int = 0, press: str | None = None
    ) -> Page:
        """
        Fill in a form of a page and send it.

        @param press: the button's name, where the form has several that matter.
        """
        chosen = page.forms[form]
        fields = {**chosen.fields, **(values or {})}
        if press is not None:
            fields[press] = chosen.buttons[press]
        encoded = urllib.parse.urlencode(fields)
        target = urllib.parse.urljoin(page.url, chosen.action)
        if chosen.method == "GET":
            return self.navigate("GET", target.partition("?")[0] + f"?{encoded}", referer=page.url)
        return self.navigate("POST", target, encoded.encode(), referer=page.url)

    def navigate(self, method: str, url: str, body: bytes | None = None, referer: str = "") -> Page:
        """A navigation of the whole window."""
        for _ in range(MAXIMUM_REDIRECTS):
            headers = _navigation_headers(url, referer)
            if body is not None:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
                headers["Origin"] = _origin(referer or url)
            page = self.request(method, url, headers, body)
            if page.status not in REDIRECTS or not page.header("location"):
                return page
            if page.status not in KEEPS_METHOD:
                method, body = "GET", None
            referer, url = url, urllib.parse.urljoin(url, page.header("location"))
        raise AssertionError(
            f"more than {MAXIMUM_REDIRECTS} redirects: {[each.url for each in self.history]}"
        )

    def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Headers | None = None,
        body: bytes | None = None,
        origin: str = "",
    ) -> Page:
        """What a script's fetch() sends: redirects are not followed."""
        site = "cross-site" if origin and origin != _origin(url) else "same-origin"
        all_headers = {
            "Accept": "*/*",
            "Sec-Fetch-Mode": "cors",
            "Sec-Fetch-Dest": "empty",
            "Sec-Fetch-Site": site,
        }
        if origin or method not in ("GET", "HEAD"):
            all_headers["Origin"] = origin or _origin(url)
        return self.request(method, url, {**all_headers, **(headers or {})}, body)

    def request(self, method: str, url: str, headers: Headers, body: bytes | None = None) -> Page:
        """One request with the cookies that go there; the answer's cookies are kept."""
        parts = urllib.parse.urlsplit(url)
        host, secure = parts.hostname or "", parts.scheme == "https"
        path = parts.path or "/"
        cookies = self.jar.header(host, path, secure=secure)
        connection = self._connect(host, parts.port or (443 if secure else 80), secure=secure)
        try:
            target = path + (f"?{parts.query}" if parts.query else "")
            sent = {**headers, **({"Cookie": cookies} if cookies else {})}
            connection.request(method, target, body, sent)
            answer = connection.getresponse()
            received = tuple((name.lower(), value) for name, value in answer.getheaders())
            page = Page(url, answer.status, received, answer.read())
        finally:
            connection.close()
        for name, value in received:
            if name == "set-cookie":
                self.jar.take(host, path, value, secure=secure)
        self.history.append(page)
        return page

    def _connect(self, host: str, port: int, *, secure: bool) -> http.client.HTTPConnection:
        return _LocalConnection(
            HostPort.parse(f"{bracketed(host)}:{port}"), self._context if secure else None
        )


class _LocalConnection(http.client.HTTPConnection):
    """HTTP or HTTPS to a name that only we know how to resolve."""

    def __init__(self, address: HostPort, context: ssl.SSLContext | None) -> None:
        super().__init__(address.host, address.port, timeout=TIMEOUT_SECONDS)
        self.default_port = 80 if context is None else 443
        self._address = address
        self._context = context

    def connect(self) -> None:
        """Connect to where the name leads, and be greeted as the name."""
        self.sock = socket.create_connection(
            (self._address.connect_host, self._address.port), TIMEOUT_SECONDS
        )
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self._address.host)


def _navigation_headers(url: str, referer: str) -> dict[str, str]:
    site = "none" if not referer else "same-origin" if _origin(url) == _origin(referer) else "cross-site"
    headers = {
        "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
        "Sec-Fetch-Site": site,
        "Upgrade-Insecure-Requests": "1",
    }
    if referer:
        headers["Referer"] = f"{_origin(referer)}/"
    return headers


def _origin(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
