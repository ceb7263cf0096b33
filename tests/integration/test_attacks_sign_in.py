"""Attacks on sign-in and sessions: tickets, callbacks, return addresses, cookies, sign-out, leaks."""

from __future__ import annotations

import base64
import re
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.integration.support.attacked import AttackTestCase
from tests.integration.support.attacker import Answer, Headers
from tests.integration.support.browser import Browser, Page
from tests.integration.support.oidc_provider import ADA, GRACE, Client

SESSION: Final = "__Host-appproxy-session"
SIGN_IN: Final = "__Host-appproxy-sign-in"
NAVIGATION: Final = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"}
EVIL_HOST: Final = "evil.example"

RETURNS: Final = (
    *("//evil.example/", "///evil.example/", "/%5cevil.example/", "/%09/evil.example/", "/%2f/evil.example"),
    *("//evil.example%2f..", "/.//evil.example", "/@evil.example/", "/;//evil.example", "/%0d%0aLocation:x"),
    *(
        "/x?next=//evil.example",
        "/x?a=%0d%0aSet-Cookie:a=b",
        "/.appproxy/ticket?ticket=x",
        "/:80@evil.example/",
    ),
    *(
        "https://evil.example/",
        "http:evil.example",
        "/x?\\evil.example",
        '/"><script>',
        "/%E2%80%8B/evil.example",
    ),
)

TOKEN: Final = re.compile(rb"eyJ[\w-]+\.eyJ")
"""The beginning of a JWT; three letters alone stand in sealed bytes by chance."""


class Stopping(Browser):
    """A browser that follows redirects until it comes to a certain path, and stops before that."""

    def __init__(self, ca_file: Path, stop_at: str) -> None:
        super().__init__(ca_file)
        self.stop_at = stop_at
        self.stopped_at = ""

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Page:
        """Pretend that nothing is there."""
        if self.stop_at and urllib.parse.urlsplit(url).path == self.stop_at:
            self.stopped_at = url
            return Page(url, 204, (), b"")
        return super().request(method, url, headers, body)


class SignInAttackTestCase(AttackTestCase):
    """What the tests below share."""

    def stopped(self, path: str, target: str = "/") -> Stopping:
        """A browser of Ada's that signs in to the application and stops before a path."""
        browser = Stopping(self.site.authority.ca_file, path)
        self.site.sign_in(browser, self.site.url("echo", target), ADA)
        self.assertTrue(browser.stopped_at, browser.history)
        browser.stop_at = ""
        return browser

    def assert_not_signed_in(self, browser: Browser, name: str = "echo") -> None:
        """The application sends this browser away."""
        page = browser.fetch(self.site.url(name, "/.appproxy/session"))
        self.assertEqual(page.status, 401, page.text)

    def raw(
        self, browser: Browser, name: str, target: str, method: str = "GET", headers: Headers = ()
    ) -> Answer:
        """A request with a browser's cookies, and headers as an attacker likes them."""
        return self.ask(name, target, method, [self.cookie(browser, name), *headers])


class TicketTests(SignInAttackTestCase):
    """The way from the sign-in host to an application's host."""

    def test_another_browser(self) -> None:
        """
        A ticket of browser A signs nobody in with browser B, and is spoilt for whoever sent it there.

        Security row 15.
        """
        attacker = self.stopped("/.appproxy/ticket")
        victims = [self.site.browser(), self.site.browser()]
        victims[1].request("GET", self.site.url("echo"), NAVIGATION)
        for victim in victims:
            page = victim.open(attacker.stopped_at)
            self.assertEqual((page.status, page.header("referrer-policy")), (400, "no-referrer"))
            self.assertNotIn(SESSION, victim.jar.of(self.host("echo")))
            self.assert_not_signed_in(victim)
        self.assertEqual(attacker.open(attacker.stopped_at).status, 400)

    def test_replay(self) -> None:
        """
        A ticket is good once.

        Security row 15.
        """
        browser = self.stopped("/.appproxy/ticket")
        self.assertEqual(browser.open(browser.stopped_at).status, 200)
        cookie = self.cookie(browser)
        browser.jar.forget(self.host("echo"), SESSION)
        self.assertEqual(browser.open(browser.stopped_at).status, 400)
        self.assertEqual(self.ask("echo", headers=[cookie]).status, 200)

    def test_other_host(self) -> None:
        """
        A ticket is worth nothing at another host, not even with the right cookie.

        Security row 15.
        """
        browser = self.stopped("/.appproxy/ticket")
        value = browser.jar.of(self.host("echo"))[SIGN_IN]
        for name in ("denied", "open", "portal", "auth", "unknown"):
            browser.jar.put(self.host(name), SIGN_IN, value)
            target = browser.stopped_at.partition(self.host("echo"))[2].partition("/")[2]
            answer = self.raw(browser, name, f"/{target}")
            self.assertIn(answer.status, (400, 404), name)
            self.assertFalse(any(SESSION.encode() in each for each in answer.values(b"Set-Cookie")), name)

    def test_after_sign_out(self) -> None:
        """A ticket dies with its session."""
        browser = self.stopped("/.appproxy/ticket")
        question = browser.open(self.site.url("auth", "/.appproxy/sign-out"))
        browser.request("POST", question.url, {"Origin": self.site.url("auth", "")})
        self.assertEqual(browser.open(browser.stopped_at).status, 400)

    def test_changed(self) -> None:
        """A ticket with any change, or twice, is none."""
        browser = self.stopped("/.appproxy/ticket")
        ticket = browser.stopped_at.partition("ticket=")[2]
        middle = len(ticket) // 2
        flipped = ticket[:middle] + ("A" if ticket[middle] != "A" else "B") + ticket[middle + 1 :]
        for changed in (
            flipped,
            ticket[:-1],
            ticket + "A",
            ticket + "=",
            f"{ticket}&ticket={ticket}",
            "",
            "%00",
        ):
            answer = self.raw(browser, "echo", f"/.appproxy/ticket?ticket={changed}")
            self.assertEqual(answer.status, 400, changed)
        self.assertEqual(browser.open(browser.stopped_at).status, 200)


class CallbackTests(SignInAttackTestCase):
    """The way from the provider to the sign-in host."""

    def test_another_browser(self) -> None:
        """
        A provider's answer counts only in the browser that asked (login CSRF).

        Security row 14.
        """
        attacker = self.stopped("/.appproxy/callback")
        victim = self.site.browser()
        victim.request(
            "GET", victim.request("GET", self.site.url("echo"), NAVIGATION).header("location"), NAVIGATION
        )
        page = victim.open(attacker.stopped_at)
        self.assertEqual((page.status, page.header("referrer-policy")), (400, "no-referrer"))
        for host in ("auth", "echo"):
            self.assertNotIn(SESSION, victim.jar.of(self.host(host)))

    def test_replay_and_doubles(self) -> None:
        """
        An answer counts once; one with two codes or states never does.

        Security row 14.
        """
        browser = self.stopped("/.appproxy/callback")
        pending = browser.jar.of(self.host("auth"))[SIGN_IN]
        target = "/.appproxy/callback?" + urllib.parse.urlsplit(browser.stopped_at).query
        for more in ("&state=x", "&code=x&code=y", "&iss=https://evil.example"):
            answer = self.raw(browser, "auth", target + more)
            self.assertIn(answer.status, (400, 403), more)
        again = self.stopped("/.appproxy/callback")
        pending = again.jar.of(self.host("auth"))[SIGN_IN]
        self.assertEqual(again.open(again.stopped_at).status, 200)
        again.jar.put(self.host("auth"), SIGN_IN, pending)
        self.assertEqual(again.open(again.stopped_at).status, 400)

    def test_return_addresses(self) -> None:
        """
        No address asked for before sign-in leads anywhere but to the same host afterwards.

        Security row 12.
        """
        browser = self.signed_in()
        for target in RETURNS:
            browser.jar.forget(self.host("echo"), SESSION)
            with self.wire("echo") as wire:
                headers = [(name.encode(), value.encode()) for name, value in NAVIGATION.items()]
                answer = wire.ask(self.host("echo"), target, headers=[*headers, self.cookie(browser)])
            if answer.status == 400:
                continue
            self.assertEqual(answer.status, 302, target)
            (location,) = answer.values(b"Location")
            self.assertTrue(location.startswith(self.site.url("auth", "/.appproxy/sign-in?return=").encode()))
            self.assertNotIn(EVIL_HOST.encode(), location)
            (cookie,) = answer.values(b"Set-Cookie")
            browser.jar.take(self.host("echo"), "/", cookie.decode(), secure=True)
            ticket = browser.request("GET", location.decode(), NAVIGATION)
            arrived = browser.request("GET", ticket.header("location"), NAVIGATION)
            self.assertEqual(arrived.status, 303, (target, arrived.text))
            place = urllib.parse.urlsplit(arrived.header("location").replace("\\", "/"))
            self.assertEqual(f"{place.scheme}://{place.netloc}", self.site.url("echo", ""), target)
            self.assertFalse(place.path.startswith(("//", "/.appproxy")), target)

    def test_made_up_requests(self) -> None:
        """The sign-in host takes no address in clear, and no sealed text of another kind."""
        browser = self.signed_in()
        session = browser.jar.of(self.host("echo"))[SESSION]
        ticket = self.stopped("/.appproxy/ticket").stopped_at.partition("ticket=")[2]
        for value in ("https://evil.example/", "//evil.example", session, ticket, "", "A" * 5000):
            answer = self.raw(browser, "auth", f"/.appproxy/sign-in?return={urllib.parse.quote(value)}")
            self.assertEqual((answer.status, answer.values(b"Location")), (400, []), value[:40])


class SessionTests(SignInAttackTestCase):
    """The session's cookie."""

    def test_changed(self) -> None:
        """A cookie with any change opens nothing, and neither does one beside its twin."""
        browser = self.signed_in()
        value = browser.jar.of(self.host("echo"))[SESSION]
        raw = bytearray(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
        changed = [
            value[:-1],
            value + "A",
            value + "=",
            value.swapcase(),
            value + f"; {SESSION}={value}",
            f'"{value}"',
            "",
        ]
        for at in range(0, len(raw), 7):
            raw[at] ^= 1
            changed.append(base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode())
            raw[at] ^= 1
        for each in changed:
            answer = self.ask("echo", headers=[(b"Cookie", f"{SESSION}={each}".encode())])
            self.assertEqual(answer.status, 302, each)
        self.assertEqual(self.ask("echo", headers=[self.cookie(browser)]).status, 200)
        for name in (SESSION.lower(), SESSION.upper(), f"x{SESSION}", f'"{SESSION}"', SIGN_IN):
            answer = self.ask("echo", headers=[(b"Cookie", f"{name}={value}".encode())])
            self.assertEqual(answer.status, 302, name)

    def test_other_host(self) -> None:
        """A cookie of one host opens no other, though it is the same session."""
        browser = self.signed_in()
        value = browser.jar.of(self.host("echo"))[SESSION]
        for name in ("denied", "portal"):
            self.assertEqual(
                self.ask(name, headers=[(b"Cookie", f"{SESSION}={value}".encode())]).status, 302, name
            )
        at_auth = browser.jar.of(self.host("auth"))[SESSION]
        self.assertEqual(self.ask("echo", headers=[(b"Cookie", f"{SESSION}={at_auth}".encode())]).status, 302)

    def test_fixation(self) -> None:
        """
        Who signs in gets a new session, whatever cookies were planted before; the old session ends.

        Security row 13.
        """
        attacker = self.signed_in("denied", GRACE)
        planted = attacker.jar.of(self.host("auth"))
        victim = self.site.browser()
        victim.jar.put(self.host("auth"), SESSION, planted[SESSION])
        page = victim.open(self.site.url("echo"))
        # The sign-in host's own session is who the planted cookie says: that is its user, and no other.
        self.assertEqual(page.status, 403)
        stopped = Stopping(self.site.authority.ca_file, "/.appproxy/callback")
        self.site.sign_in(stopped, self.site.url("echo"), ADA)
        stopped.stop_at = ""
        stopped.jar.put(self.host("auth"), SESSION, planted[SESSION])
        self.assertEqual(stopped.open(stopped.stopped_at).status, 200)
        self.assertNotEqual(stopped.jar.of(self.host("auth"))[SESSION], planted[SESSION])
        self.assert_not_signed_in(attacker, "denied")

    def test_foreign_sign_out(self) -> None:
        """
        No other site signs anybody out, and no link does.

        Security row 20.
        """
        browser = self.signed_in()
        own = self.site.url("echo", "")
        for headers in (
            [],
            *(
                [(b"Origin", origin)]
                for origin in (b"https://evil.example", b"null", b"", own.encode() + b".evil.example")
            ),
            [(b"Origin", self.site.url("open", "").encode())],
            [(b"Origin", own.replace("https", "http").encode())],
            [(b"Origin", own.rpartition(":")[0].encode())],
            [(b"Origin", own.encode()), (b"Origin", b"https://evil.example")],
            [(b"Referer", own.encode() + b"/")],
        ):
            answer = self.raw(browser, "echo", "/.appproxy/sign-out", "POST", headers)
            self.assertEqual((answer.status, answer.values(b"Set-Cookie")), (403, []), headers)
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            answer = self.raw(browser, "echo", "/.appproxy/sign-out", method, [(b"Origin", own.encode())])
            self.assertIn(answer.status, (200, 405), method)
        self.assertEqual(self.ask("echo", headers=[self.cookie(browser)]).status, 200)

    def test_foreign_websocket(self) -> None:
        """
        A WebSocket that another site's page opens is refused, with the user's cookies and without.

        Security row 33.
        """
        browser = self.signed_in()
        upgrade = [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", b"13")]
        own = self.site.url("echo", "").encode()
        for origin in (
            b"https://evil.example",
            b"null",
            own + b".evil.example",
            self.site.url("open", "").encode(),
        ):
            answer = self.raw(browser, "echo", "/", "GET", [*upgrade, (b"Origin", origin)])
            self.assertEqual(answer.status, 403, origin)
        self.assertEqual(self.ask("echo", headers=[*upgrade, (b"Origin", own)]).status, 401)
        self.assertEqual(self.backend.seen, [])


class SecretTests(SignInAttackTestCase):
    """What must never be written anywhere."""

    def test_canaries(self) -> None:
        """
        No secret is in logs at debug level, numbers, pages, output of commands, or arguments.

        Security row 25. Security row 40.
        """
        browser = Stopping(self.site.authority.ca_file, "")
        self.site.sign_in(browser, self.site.url("echo", "/a?b=c"), ADA)
        browser.open(self.site.url("portal"))
        browser.fetch(self.site.url("echo", "/.appproxy/session"))
        for url in [page.url for page in browser.history if "ticket=" in page.url or "code=" in page.url]:
            browser.open(url)
        refused = self.stopped("/.appproxy/callback")
        self.assertEqual(refused.open(refused.stopped_at.replace("code=", "code=x")).status, 403)
        cookies = [
            value for host in ("echo", "portal", "auth") for value in browser.jar.of(self.host(host)).values()
        ]
        said = self.commands()
        browser.submit(browser.open(self.site.url("echo", "/.appproxy/sign-out")))
        token = self.site.appproxy_json("connector", "token", "--group", "hq")["token"]
        self.enrol("newcomer", token)
        secrets = {*cookies, token, Client([]).secret, ADA.password, *self.in_addresses(browser)}
        secrets |= self.in_files(self.site.folder)
        self.assertGreater(len(secrets), 12)
        everything = {**said, **self.processes(), **self.pages(browser), **self.pages(refused)}
        for secret in secrets:
            self.assertGreater(len(secret), 7, secret)
            for text in (secret, urllib.parse.quote(secret, safe="")):
                found = [where for where, content in everything.items() if text in content]
                self.assertEqual(found, [], text)

    def in_addresses(self, browser: Browser) -> set[str]:
        """Tickets, codes, states, sealed requests, nonces and ID tokens that were on the way."""
        places = [page.header("location") for page in browser.history] + [
            page.url for page in browser.history
        ]
        queries = [urllib.parse.parse_qs(urllib.parse.urlsplit(place).query) for place in places]
        names = ("ticket", "code", "state", "return", "nonce", "code_challenge", "id_token_hint")
        found = {name: {value for query in queries for value in query.get(name, ())} for name in names}
        for name in names:
            self.assertTrue(found[name], name)
        return set().union(*found.values())

    @staticmethod
    def in_files(folder: Path) -> set[str]:
        """The middle lines of every private key on the disk."""
        keys = [path.read_text("ascii", "replace") for path in folder.rglob("*key*") if path.is_file()]
        keys += [path.read_text("ascii", "replace") for path in folder.rglob("*.pem")]
        blocks = re.findall(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n([A-Za-z0-9+/=\n]+?)-----END", "".join(keys)
        )
        return {line for block in blocks for line in block.split() if len(line) > 40}

    def processes(self) -> dict[str, str]:
        """What the daemons tell: logs, numbers, arguments, environments."""
        site = self.site
        told = {str(path): path.read_text("utf-8", "replace") for path in site.folder.rglob("*.log")}
        told = {path: text for path, text in told.items() if "/provider/" not in path}
        told["metrics"] = site.browser().request("GET", f"{site.metrics_url}/metrics", {}).text
        for process in (site.edge, self.attacked.connector):
            for name in ("cmdline", "environ"):
                told[f"{process.name} {name}"] = Path(f"/proc/{process.pid}/{name}").read_text()
        return told

    def commands(self) -> dict[str, str]:
        """What an administrator is told."""
        site, told = self.site, {}
        for kind in ("applications", "connectors", "groups", "sessions", "tokens", "certificates"):
            told[f"list {kind}"] = site.appproxy("list", kind, "--output", "json")
        told["status"] = site.appproxy("status", "--output", "json")
        told["export"] = site.appproxy("export")
        (row, *_) = site.appproxy_json("list", "sessions")
        told["session"] = site.appproxy("show", "session", row["id"], "--output", "json")
        return told

    def pages(self, browser: Browser) -> dict[str, str]:
        """What was in the bodies of our own hosts, and what the application received."""
        ours = [page for page in browser.history if page.host.endswith(self.site.domain)]
        return {f"{number}: {page.url[:60]}": page.text for number, page in enumerate(ours)}

    def test_files(self) -> None:
        """
        What holds secrets is readable by its owner alone.

        Security row 40.
        """
        site = self.site
        private = ["store.key", "infrastructure.key", "store.sqlite3", "store.sqlite3-wal", "key.pem"]
        found = [path for path in site.folder.rglob("*") if path.name in private]
        self.assertGreaterEqual({path.name for path in found}, set(private) - {"store.sqlite3-wal"})
        for path in found:
            self.assertEqual(path.stat().st_mode & 0o077, 0, path)
        for path in (site.folder / "edge").glob("store.sqlite3*"):
            content = path.read_bytes()
            for secret in (b"PRIVATE KEY", b"Lovelace", b"id_token"):
                self.assertNotIn(secret, content, (path, secret))
            self.assertIsNone(TOKEN.search(content), path)
