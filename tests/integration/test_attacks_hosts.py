"""Attacks on hosts, cookies and pages of the edge."""

from __future__ import annotations

import itertools
from typing import Final

from tests.integration.support.attacked import AttackTestCase
from tests.integration.support.attacker import Pairs

XSS: Final = "%22%3E%3Cscript%3Ealert(1)%3C/script%3E%27-alert(1)-%27%7B%7B7*7%7D%7D"

RESERVED: Final = (
    *("", "sign-in", "sign-in?return=x", "callback", "callback?code=a&state=b", "callback?error=x", "ticket"),
    *(
        "ticket?ticket=x",
        "sign-out",
        "signed-out",
        "session",
        "healthz",
        "assets/",
        "assets/../../etc/passwd",
    ),
    *("assets/%2e%2e/x", "metrics", "readyz", "admin", "debug", "status", "v1/export", "%2e%2e/", "x/y"),
)


class HostTests(AttackTestCase):
    """Which host is meant, and what others are told."""

    def test_name_of_the_handshake(self) -> None:
        """
        A connection for one host serves no other.

        Security row 9.
        """
        for host in ("echo", "auth", "portal", "denied", "unknown"):
            with self.wire("open") as wire:
                answer = wire.ask(self.host(host), headers=[(b"Accept", b"text/html")])
                self.assertEqual((answer.status, wire.rest()), (421, b""), host)
                self.assertNotIn(host.encode(), answer.body)
        self.assertEqual(self.backend.seen, [])

    def test_spellings_of_a_host(self) -> None:
        """
        Case, a dot at the end and a port change nothing: no spelling gets around sign-in.

        Security row 9.
        """
        host = self.host("echo")
        for spelling in (host.upper(), host + ".", f"{host}:1", f"{host}.:443", host.title()):
            for name in ("echo", None):
                with self.wire(name, verify=name is not None) as wire:
                    answer = wire.ask(spelling, headers=[(b"Accept", b"text/html")])
                self.assertEqual(answer.status, 302, spelling)
                (location,) = answer.values(b"Location")
                self.assertTrue(location.startswith(self.site.url("auth", "/.appproxy/sign-in?").encode()))
        self.assertEqual(self.backend.seen, [])

    def test_unknown_host(self) -> None:
        """
        Hosts that are not ours all look the same, and the answer names nothing of ours.

        Security row 42.
        """
        pages = set()
        for name in ("nothing", "admin", "www"):
            for target in ("/", "/.appproxy/sign-in", "/.appproxy/healthz", "/public/", "/%2e%2e/", "/a//b"):
                answer = self.ask(name, target, headers=[(b"Accept", b"text/html")])
                self.assertEqual(answer.status, 404, (name, target))
                (transaction,) = answer.values(b"AppProxy-Transaction-Id")
                pages.add(answer.body.replace(transaction, b""))
                self.assertEqual((answer.values(b"Location"), answer.values(b"Set-Cookie")), ([], []))
        (page,) = pages
        for word in (
            b"echo",
            b"auth",
            b"portal",
            b"sign",
            b"appproxy",
            self.site.domain.encode(),
            b"attacker",
        ):
            self.assertNotIn(word, page.lower())

    def test_reserved_urls(self) -> None:
        """
        Nothing below C{/.appproxy/} lets anybody in, on any host, with any method.

        Security row 11.
        """
        for name, method in itertools.product(
            ("echo", "open", "auth", "portal", "denied", "nothing"), ("GET", "POST")
        ):
            with self.wire(name) as wire:
                for path in RESERVED:
                    answer = wire.ask(self.host(name), f"/.appproxy/{path}", method)
                    where = (name, method, path, answer.status)
                    self.assertIn(answer.status, (200, 303, 400, 401, 403, 404, 405), where)
                    self.assertFalse(
                        any(
                            b"-session=" in each and b"Max-Age=0" not in each
                            for each in answer.values(b"Set-Cookie")
                        ),
                        where,
                    )
                    if answer.status == 200:
                        page = path.partition("?")[0]
                        self.assertIn(page, ("sign-out", "signed-out", "healthz"), where)
                        self.assertNotIn(b"@", answer.body)
        self.assertEqual(self.backend.seen, [])


class CookieTests(AttackTestCase):
    """Our cookies are ours."""

    def test_never_reach_an_application(self) -> None:
        """
        No spelling of a cookie of ours is passed on; those of the application are.

        Security row 5.
        """
        browser = self.signed_in()
        name, value = self.cookie(browser)
        session = browser.jar.of(self.host("echo"))["__Host-appproxy-session"].encode()
        for crumb in (
            *(b"__HOST-APPPROXY-SESSION=" + session, b"__host-appproxy-session=" + session),
            *(b'"__Host-appproxy-session"=' + session, b"__Host-appproxy-session.1=" + session),
            *(b"\t __Host-appproxy-sign-in =" + session, b"=__Host-appproxy-x=" + session),
            *(b"__Host-appproxy-session_0=" + session, b'__Host-appproxy="' + session + b'"'),
        ):
            for where in ("echo", "open"):
                answer = self.ask(where, headers=[(name, b"a=1; " + value + b"; " + crumb + b"; z=9")])
                self.assertEqual(answer.status, 200, crumb)
                self.assertNotIn(session, answer.body, crumb)
                self.assertEqual(
                    [each.split(b"; ") for each in answer.seen.cgi["COOKIE"]], [[b"a=1", b"z=9"]]
                )

    def test_cannot_be_set_by_an_application(self) -> None:
        """
        An application can neither set nor clear a cookie of ours, nor set one for its neighbours.

        Security row 5.
        """
        parent = self.site.domain.encode()
        lines = [
            b"Set-Cookie: __Host-appproxy-session=evil; Secure; Path=/",
            b"Set-Cookie: __host-APPPROXY-session=evil; Path=/; Secure",
            b"Set-Cookie: __Host-appproxy-sign-in=evil; Secure; Path=/",
            b"Set-Cookie: =__Host-appproxy-session=evil; Secure",
            b"Set-Cookie:  __Host-appproxy-session =evil; Secure; Path=/",
            b"Set-Cookie: __Host-appproxy-session=; Max-Age=0; Path=/; Secure",
            b"Set-Cookie: __Host-appproxy-session=evil; Domain=" + parent,
            b'Set-Cookie: "__Host-appproxy-session"=evil; Path=/',
            b"set_cookie: __Host-appproxy-session=evil",
            b"Set-Cookie2: __Host-appproxy-session=evil",
            b"AppProxy-Transaction-Id: evil",
            b"X-AppProxy-User: evil",
            b"Set-Cookie: mine=1; Path=/",
            b"Set-Cookie: tossed=1; Domain=" + parent,
            b"Set-Cookie: dotted=1; Path=/; domain = ." + parent.upper(),
            b"Content-Length: 2",
        ]
        self.backend.answers[b"/cookies"] = b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", b"ok"])
        self.addCleanup(self.backend.answers.clear)
        for name, headers in (("open", []), ("echo", [self.cookie(self.signed_in())])):
            answer = self.ask(name, "/cookies", headers=headers)
            self.assertEqual((answer.status, answer.body), (200, b"ok"))
            self.assertNotIn(b"evil", answer.raw_head)
            self.assertNotIn(b"domain", answer.raw_head.lower())
            cookies = [each.partition(b"=")[0] for each in answer.values(b"Set-Cookie")]
            self.assertEqual(cookies, [b"mine", b"tossed", b"dotted"])


class PageTests(AttackTestCase):
    """Pages of ours run nothing of an attacker's."""

    def test_nothing_unescaped(self) -> None:
        """
        Paths, queries, headers and a provider's words come back harmless, and no page runs scripts.

        Security row 22.
        """
        marks: Pairs = [
            (b"Accept", b"text/html"),
            (b"Sec-Fetch-Mode", b"navigate"),
            (b"Sec-Fetch-Dest", b"document"),
            (b"User-Agent", b"<script>alert(1)</script>"),
            (b"Referer", b'javascript:alert(1)//"><script>'),
        ]
        grace = self.signed_in("denied")
        for name, target in (
            *(("denied", f"/{XSS}"), ("denied", '/"><script>alert(1)</script>?"><script>alert(1)</script>')),
            *(("auth", f"/.appproxy/callback?error={XSS}&error_description={XSS}&state={XSS}"),),
            *(("auth", f"/.appproxy/sign-in?return={XSS}"), ("echo", f"/.appproxy/ticket?ticket={XSS}")),
            *(
                ("auth", f"/.appproxy/{XSS}"),
                ("nothing", f"/{XSS}"),
                ("portal", f"/?q={XSS}"),
                ("echo", f"/.appproxy/{XSS}"),
            ),
            *(("echo", f"/{XSS}%00"), ("open", "/..;/<script>alert(1)</script>")),
        ):
            cookies = [self.cookie(grace, "denied")] if name == "denied" else []
            answer = self.ask(name, target, headers=[*marks, *cookies])
            self.assertNotIn(b"<script", answer.body.lower(), target)
            if answer.body.startswith(b"<!doctype"):
                (policy,) = answer.values(b"Content-Security-Policy")
                self.assertIn(b"default-src 'none'", policy)
                self.assertIn(b"frame-ancestors 'none'", policy)
                self.assertEqual(answer.values(b"Cache-Control"), [b"no-store"])
            for value in (each for _, each in answer.headers):
                self.assertNotIn(b"<script", value)

    def test_inside_is_not_told(self) -> None:
        """A visitor learns no address of the inside from an application that cannot be reached."""
        port = self.attacked.other.port
        gone = {"internal_url": f"http://127.0.0.1:{port}/", "pre_authentication": "passthrough"}
        self.attacked.publish_more({"gone": gone})
        for accept in (b"text/html", b"application/json"):
            answer = self.ask("gone", headers=[(b"Accept", accept)])
            self.assertEqual(answer.status, 502)
            for told in (b"127.0.0.1", str(port).encode(), b"allowed_backends"):
                self.assertNotIn(told, answer.body)
        self.assertEqual(self.attacked.other.connections, 0)
