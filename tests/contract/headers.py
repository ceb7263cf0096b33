"""
The contract about headers: who says what about whom.
"""

from __future__ import annotations

import itertools
from typing import Final

from appproxy.session.cookies import SESSION_COOKIE, SIGN_IN_COOKIE
from tests.contract.rig import ADA, DOMAIN, EVE, Rig, application
from tests.contract.support import HR, WIKI, ContractCase, Head, request

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"

OURS: Final = (
    b"X-Forwarded-For",
    b"X-Forwarded-Host",
    b"X-Forwarded-Proto",
    b"X-Forwarded-Port",
    b"X-Forwarded-Server",
    b"X-Forwarded-Uri",
    b"X-Forwarded-Prefix",
    b"Forwarded",
    b"X-Real-IP",
    b"X-Request-Id",
    b"X-Original-URL",
    b"X-Rewrite-URL",
    b"AppProxy-User",
    b"X-AppProxy-User",
    b"Remote-User",
    b"X-User",
)
"""What only the proxy may say; the last two are C{people}'s identity headers."""

SSO: Final = {
    "mode": "headers",
    "headers": {"Remote-User": {"claim": "user_principal_name"}, "X-User": {"claim": "display_name"}},
}


def spellings(name: bytes) -> list[bytes]:
    """Names that some server or framework reads as this one."""
    turned = [
        name,
        name.lower(),
        name.upper(),
        name.swapcase(),
        name.replace(b"-", b"_"),
        name.replace(b"-", b"."),
        name.replace(b"-", b"_", 1).lower(),
    ]
    return list(dict.fromkeys(turned))


def plain(name: bytes) -> bytes:
    """All spellings of a name look like this."""
    return bytes(byte for byte in name.lower() if byte not in b"-_.")


HSTS: Final = b"strict-transport-security"


class HeadersContract(ContractCase):
    """Heads are rebuilt from what may pass."""

    def test_hop_by_hop(self) -> None:
        """What concerns one connection stays on it, whatever Connection names goes too."""
        head = self.ask(
            b"Connection: keep-alive, X-Private, te",
            b"Keep-Alive: timeout=5",
            b"Proxy-Authorization: Basic eDp5",
            b"Proxy-Connection: keep-alive",
            b"TE: trailers",
            b"X-Private: 1",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABk",
            b"X-Kept: 1",
            b"Authorization: Basic eDp5",
        )
        self.assertEqual(
            head.names - {plain_ours for plain_ours in head.names if plain_ours.startswith(b"x-forwarded")},
            {b"host", b"forwarded", b"x-request-id", b"x-kept", b"authorization"},
        )

    def test_connection_cannot_delete_ours(self) -> None:
        """
        Connection names end-to-end headers of the client at most, never what we add.

        Security row 3.
        """
        for spelled in (b"X-Forwarded-For", b"x-forwarded-for", b"FORWARDED, X-REQUEST-ID, host"):
            head = self.ask(b"Connection: close, " + spelled)
            self.assertTrue({b"x-forwarded-for", b"forwarded", b"x-request-id", b"host"} <= head.names)

    def hsts(self, raw: bytes, host: bytes, rig: Rig | None = None) -> list[bytes]:
        """The answer's C{Strict-Transport-Security}."""
        client = (rig or self.rig).client(host.decode())
        client.send(raw)
        head = Head(client.take())
        self.assertGreaterEqual(head.status, 200)
        return head.all(HSTS)

    def test_https_only(self) -> None:
        """Our own answers tell browsers to come by https only, at hosts of ours and of applications."""
        auth, portal = (b"%s.%s" % (name, DOMAIN.encode()) for name in (b"auth", b"portal"))
        session_id, cookie = self.signed_in()
        at_portal = self.rig.cookie(session_id, portal.decode()).rstrip()
        year = [b"max-age=31536000"]
        for raw, host in (
            (request(host=HR), HR),
            (request(b"POST / HTTP/1.1", b"Content-Length: 0", host=HR), HR),
            (request(b"GET /.appproxy/session HTTP/1.1", cookie, host=HR), HR),
            (request(b"GET /.appproxy/nothing HTTP/1.1", host=WIKI), WIKI),
            (request(b"GET / HTTP/1.1", at_portal, host=portal), portal),
            (request(host=portal), portal),
            (request(host=auth), auth),
            (request(b"GET /.appproxy/healthz HTTP/1.1", host=auth), auth),
        ):
            self.assertEqual(self.hsts(raw, host), year, raw)
        self.rig.behind.refusing.add("wiki.internal.example")
        self.assertEqual(self.hsts(request(), WIKI), year)

    def test_https_only_is_not_said(self) -> None:
        """Not of applications' own answers, not of hosts that are none of ours, not over http."""
        _, head = self.answer(OK + b"\r\n")
        self.assertEqual((head.status, head.all(HSTS)), (200, []))
        _, head = self.answer(OK + b"Strict-Transport-Security: max-age=5\r\n\r\n")
        self.assertEqual(head.all(HSTS), [b"max-age=5"])
        stranger = b"stranger.example.com"
        self.assertEqual(self.hsts(request(host=stranger), stranger), [])
        client = self.rig.plain_client()
        client.send(request(host=HR))
        head = Head(client.take())
        self.assertEqual((head.status, head.all(HSTS)), (308, []))

    def test_not_https_only(self) -> None:
        """Where a host has an application on http too, at any port, no page of ours at it shuts that off."""
        rest = application(
            "rest", external_url=f"http://hr.{DOMAIN}:8080/rest/", pre_authentication="passthrough"
        )
        self.rig.publish({**self.applications, "rest": rest})
        _, cookie = self.signed_in()
        for raw in (request(host=HR), request(b"GET /.appproxy/session HTTP/1.1", cookie, host=HR)):
            self.assertEqual(self.hsts(raw, HR), [])
        self.assertEqual(self.hsts(request(b"GET /.appproxy/nothing HTTP/1.1"), WIKI), [b"max-age=31536000"])
        # Once it is gone, browsers are told.
        self.rig.publish(self.applications)
        self.assertEqual(self.hsts(request(host=HR), HR), [b"max-age=31536000"])

    def test_hsts_off(self) -> None:
        """C{tls.hsts = "0s"} sends none."""
        rig = self.make_rig(hsts="0s")
        for raw in (request(host=HR), request(b"GET /.appproxy/session HTTP/1.1", host=HR)):
            self.assertEqual(self.hsts(raw, HR, rig), [])
        self.assert_quiet(rig)

    def test_forwarding(self) -> None:
        """
        The backend learns the client's address, host, scheme and port from us, once.

        Security row 4.
        """
        head = self.ask(b"X-Forwarded-For: 198.51.100.1", b"Forwarded: for=198.51.100.1")
        self.assertEqual(head.all(b"x-forwarded-for"), [b"192.0.2.7"])
        self.assertEqual(head.all(b"x-forwarded-host"), [WIKI])
        self.assertEqual(head.all(b"x-forwarded-proto"), [b"https"])
        self.assertEqual(head.all(b"x-forwarded-port"), [b"443"])
        self.assertEqual(head.all(b"forwarded"), [b"for=192.0.2.7;host=%s;proto=https" % WIKI])
        request_ids = head.all(b"x-request-id")
        self.rig.clients[-1].leave()
        self.assertEqual(request_ids, [self.rig.finished[-1].id.encode()])

    def test_every_spelling(self) -> None:
        """
        No spelling of what is ours to say passes, alone or twice, with sign-in and without.

        Security row 1.
        """
        rig = self.rig
        rig.publish({**self.applications, "people": application("people", sso=SSO)})
        people = b"people." + DOMAIN.encode()
        cookie = rig.cookie(rig.sign_in(), people.decode()).rstrip()
        names = list(itertools.chain.from_iterable(map(spellings, OURS)))
        for start in range(0, len(names), 40):
            lines = [b"%s: spoofed" % name for name in names[start : start + 40]]
            _, _, head = self.forward(request(b"GET / HTTP/1.1", cookie, *lines, *lines, host=people), people)
            self.assertNotIn(b"spoofed", [value for _, value in head.headers])
            self.assertEqual(head.all(b"remote-user"), [b"ada@example.com"])
            self.assertEqual(head.all(b"x-user"), [b"Ada"])
            seen = [plain(name) for name, _ in head.headers]
            self.assertEqual(len(seen), len(set(seen)))
            spoofed = self.ask(*lines)
            others = {name for name, value in spoofed.headers if value == b"spoofed"}
            self.assertLessEqual({plain(name) for name in others}, {b"remoteuser", b"xuser"})

    def test_identity_is_of_this_user(self) -> None:
        """Requests of two users over one shared backend connection each carry their own user."""
        self.rig.publish({"people": application("people", sso=SSO)})
        people = "people." + DOMAIN
        cookies = {each: self.rig.cookie(self.rig.sign_in(each), people).rstrip() for each in (ADA, EVE)}
        client = self.rig.client(people)
        for principal in (ADA, EVE, ADA):
            client.send(request(b"GET / HTTP/1.1", cookies[principal], host=people.encode()))
            backend = self.rig.backend
            user = Head(backend.take()).all(b"remote-user")
            self.assertEqual(user, [principal.user_principal_name.encode()])
            backend.send(OK + b"\r\n")
        self.assertEqual(len(self.rig.backends), 1)

    def test_our_cookies_stay(self) -> None:
        """Our cookies are cut out in every spelling; the application's own arrive as they were."""
        cookie = self.signed_in()[1]
        _, _, head = self.forward(
            request(b"GET / HTTP/1.1", cookie + b'; a=1; b="2 3"', b"Cookie: c=4", host=HR), HR
        )
        self.assertEqual(head.all(b"cookie"), [b'a=1; b="2 3"; c=4'])
        for planted in (
            SESSION_COOKIE.lower() + b"=x",
            SESSION_COOKIE.upper() + b"=x",
            b'"' + SESSION_COOKIE + b'"=x',
            b"  " + SIGN_IN_COOKIE + b" = x",
            SESSION_COOKIE + b"-1=x",
            SESSION_COOKIE + b"_0=x",
            b"a=" + SESSION_COOKIE + b"=x",
        ):
            head = self.ask(b"Cookie: " + planted + b"; a=1")
            self.assertEqual(head.all(b"cookie"), [b"a=1"], planted)

    def test_backend_sets_no_cookie_of_ours(self) -> None:
        """Nor does a backend set one; its own come through, each on its line."""
        _, answer = self.answer(
            OK
            + b"Set-Cookie: a=1; Path=/\r\nSet-Cookie: "
            + SESSION_COOKIE
            + b"=x; Path=/; Secure\r\nset-cookie: "
            + SIGN_IN_COOKIE.lower()
            + b"=x\r\nSet-Cookie: ="
            + SESSION_COOKIE
            + b"=x\r\nSet-Cookie: b=2\r\n\r\n"
        )
        names = [value.partition(b";")[0] for value in answer.all(b"set-cookie")]
        self.assertEqual(names, [b"a=1", b"b=2"])

    def test_backend_says_nothing_in_our_name(self) -> None:
        """Headers of the backend's connection, and those that only we send, stay behind."""
        _, answer = self.answer(
            OK + b"Connection: keep-alive, X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\n"
            b"AppProxy-Transaction-Id: FAKE\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nAlt-Svc: h3\r\n"
            b"Trailer: X\r\nServer: theirs\r\n\r\n"
        )
        self.assertEqual(answer.names, {b"content-length", b"server"})

    def test_location(self) -> None:
        """
        Redirects to the internal address lead to the external one; others lead where they led.

        Security row 29.
        """
        internal = b"http://wiki.internal.example:8080"
        for said, told in (
            (internal + b"/x?y=1", b"https://" + WIKI + b"/x?y=1"),
            (b"/x", b"/x"),
            (b"https://elsewhere.example/x", b"https://elsewhere.example/x"),
            (b"//wiki.internal.example:8080/x", b"//" + WIKI + b"/x"),
        ):
            _, answer = self.answer(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n" % said)
            self.assertEqual((answer.status, answer.all(b"location")), (302, [told]))

    def test_set_cookie_translated(self) -> None:
        """A cookie for the internal host becomes one for the external host, and secure."""
        _, answer = self.answer(
            OK + b"Set-Cookie: a=1; Domain=wiki.internal.example; Path=/; HttpOnly\r\n\r\n"
        )
        (value,) = answer.all(b"set-cookie")
        parts = {part.strip().lower() for part in value.split(b";")}
        self.assertIn(b"secure", parts)
        self.assertNotIn(b"domain=wiki.internal.example", parts)

    def test_translated_path(self) -> None:
        """An application below a path of both hosts is found, and its redirects lead back there."""
        self.rig.publish(
            {
                "docs": application(
                    "docs",
                    pre_authentication="passthrough",
                    external_url=f"https://docs.{DOMAIN}/public/",
                    internal_url="http://docs.internal.example:8080/internal/",
                )
            }
        )
        host = b"docs." + DOMAIN.encode()
        client, backend, head = self.forward(request(b"GET /public/a%2Bb?c HTTP/1.1", host=host), host)
        self.assertEqual(head.line, b"GET /internal/a%2Bb?c HTTP/1.1")
        backend.send(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /internal/x\r\n\r\n")
        self.assertEqual(Head(client.take()).all(b"location"), [b"/public/x"])

    def test_absolute_form(self) -> None:
        """A target in absolute form is the same request."""
        head = self.forward(request(b"GET https://" + WIKI.upper() + b"/x HTTP/1.1"))[2]
        self.assertEqual(head.line, b"GET /x HTTP/1.1")
