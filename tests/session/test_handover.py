"""Tests of L{appproxy.session.handover}."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from appproxy.session.handover import (
    REQUEST_SECONDS,
    TICKET_SECONDS,
    SignInRequest,
    SpentTicket,
    TicketRefused,
    host_of,
)
from appproxy.session.records import StoreAway
from appproxy.session.seals import BadSeal
from appproxy.store.istore import StoreUnavailable
from tests.session.support import AUTH, WIKI, WIKI_HOST, Edge, EdgeTestCase

MAIL = "https://mail.example.com:8443"


@dataclass
class Browser:
    """One browser's cookie at the wiki."""

    cookie: bytes | None = None

    def start(self, edge: Edge, target: bytes = b"/page?x=1", origin: str = WIKI) -> SignInRequest:
        """Come to an application without a session; what arrives at the sign-in host."""
        start = edge.handover.begin(origin, target, self.cookie)
        self.cookie = start.set_cookie.partition(b"=")[2].partition(b";")[0]
        return edge.handover.read_request(start.sealed_request.encode())


def ticket_of(url: str) -> bytes:
    """The ticket in a URL."""
    return parse_qs(urlsplit(url).query)["ticket"][0].encode()


class HandoverTests(EdgeTestCase):
    """The way to the sign-in host and back."""

    def setUp(self) -> None:
        super().setUp()
        self.session_id = self.begin_session()
        self.browser = Browser()
        self.request = self.browser.start(self.edge)
        self.ticket_url = self.edge.handover.make_ticket(self.request, self.session_id)
        self.ticket = ticket_of(self.ticket_url)

    def spend(
        self,
        ticket: bytes | None = None,
        host: bytes = WIKI_HOST,
        browser: Browser | None = None,
        edge: Edge | None = None,
    ) -> SpentTicket:
        """Come back with a ticket."""
        cookie = (browser or self.browser).cookie
        handover = (edge or self.edge).handover
        return self.successResultOf(handover.spend_ticket(ticket or self.ticket, host, cookie))

    def assert_refused(
        self,
        why: str,
        ticket: bytes | None = None,
        host: bytes = WIKI_HOST,
        browser: Browser | None = None,
    ) -> TicketRefused:
        """The ticket signs nobody in."""
        cookie = (browser or self.browser).cookie
        spending = self.edge.handover.spend_ticket(self.ticket if ticket is None else ticket, host, cookie)
        problem: TicketRefused = self.failureResultOf(spending, TicketRefused).value
        self.assertEqual(problem.why, why)
        return problem

    def test_round_trip(self) -> None:
        """The user comes back to the page that was asked for, with the session."""
        self.assertEqual(self.spend(), SpentTicket(self.session_id, "/page?x=1"))

    def test_nothing_in_clear(self) -> None:
        """Neither URL tells where the user wanted to go, nor whose session it is."""
        start = self.edge.handover.begin(WIKI, b"/secret-page", None)
        for url in (start.location, self.ticket_url):
            for text in ("secret-page", "page", "wiki", self.session_id):
                self.assertNotIn(text, urlsplit(url).query)
        self.assertTrue(start.location.startswith(AUTH + "/.appproxy/sign-in?return="))
        self.assertTrue(self.ticket_url.startswith(WIKI + "/.appproxy/ticket?ticket="))

    def test_urls_are_short(self) -> None:
        """Even the longest return URL makes a URL that every proxy takes."""
        start = self.edge.handover.begin(WIKI, b"/" + b"a" * 1500, None)
        self.assertLess(len(start.location), 4096)
        request = self.edge.handover.read_request(start.sealed_request.encode())
        self.assertLess(len(self.edge.handover.make_ticket(request, self.session_id)), 4096)

    def test_second_use(self) -> None:
        """A ticket is good once, on whichever edge."""
        self.spend()
        problem = self.assert_refused("used before")
        self.assertEqual(problem.retry_target, "/page?x=1")
        other = self.make_edge()
        spending = other.handover.spend_ticket(self.ticket, WIKI_HOST, self.browser.cookie)
        self.failureResultOf(spending, TicketRefused)

    def test_another_browser(self) -> None:
        """A ticket of browser A in browser B signs nobody in, and is worth nothing in A from then on."""
        victim = Browser()
        victim.start(self.edge)
        for cookie in (victim.cookie, None, b"", b"x" * 43):
            ticket = ticket_of(self.edge.handover.make_ticket(self.request, self.session_id))
            self.assert_refused("another browser's ticket", ticket, browser=Browser(cookie))
            self.assert_refused("used before", ticket)

    def test_another_host(self) -> None:
        """A ticket for one host is nothing at another."""
        for host in (b"mail.example.com", b"auth.example.com", b"", b"wiki.example.com:443"):
            self.assert_refused("not a ticket for this host", host=host)
        self.spend()

    def test_thirty_seconds(self) -> None:
        """
        A ticket is good for 30 seconds.

        Security row 15.
        """
        self.pass_time(TICKET_SECONDS - 1)
        late = ticket_of(self.edge.handover.make_ticket(self.request, self.session_id))
        self.spend()
        self.pass_time(TICKET_SECONDS)
        self.assert_refused("too old", ticket=late)

    def test_from_the_future(self) -> None:
        """A ticket of an edge whose clock is far ahead is refused; a little is allowed for."""
        self.clock.rightNow -= 30
        self.spend()
        self.clock.rightNow += 3600
        future = ticket_of(self.edge.handover.make_ticket(self.request, self.session_id))
        self.clock.rightNow -= 3600
        self.assert_refused("too old", ticket=future)

    def test_remembered_for_long_enough(self) -> None:
        """A spent ticket is remembered at least as long as any edge would take it, then forgotten."""
        self.spend()
        spent = "/appproxy/1/spent/"
        self.assertEqual(len(self.successResultOf(self.real_store.list(spent)).items), 1)
        self.pass_time(TICKET_SECONDS + 60)
        self.assertEqual(len(self.successResultOf(self.real_store.list(spent)).items), 1)
        self.pass_time(120)
        self.assertEqual(len(self.successResultOf(self.real_store.list(spent)).items), 0)

    def test_session_ended(self) -> None:
        """A ticket opens nothing once its session has ended."""
        self.successResultOf(self.edge.sessions.end(self.session_id, "sign_out"))
        self.assert_refused("its session has ended")

    def test_session_unknown_here(self) -> None:
        """An edge that has not seen the session yet reads it."""
        other = self.make_edge()
        self.assertEqual(self.spend(edge=other).session_id, self.session_id)

    def test_other_tokens(self) -> None:
        """Nothing else that is sealed passes for a ticket."""
        start = self.edge.handover.begin(WIKI, b"/", self.browser.cookie)
        cookie = self.edge.sessions.cookie(self.session_id, WIKI_HOST)
        for token in (start.sealed_request.encode(), cookie, b"", b"x", self.ticket[:-1], self.ticket + b"A"):
            self.assert_refused("not a ticket for this host", ticket=token)

    def test_request_is_sealed(self) -> None:
        """A request that was changed, or made up, is refused."""
        start = self.edge.handover.begin(WIKI, b"/", None)
        for sealed in (b"", b"https://evil.test/", start.sealed_request[:-2].encode(), self.ticket):
            with self.assertRaises(BadSeal):
                self.edge.handover.read_request(sealed)

    def test_stale_request(self) -> None:
        """A request that lay about is known as stale, and still says whose it is."""
        self.assertFalse(self.edge.handover.is_stale(self.request))
        self.pass_time(REQUEST_SECONDS, 10)
        self.assertTrue(self.edge.handover.is_stale(self.request))
        self.assertEqual(self.request.url, WIKI + "/page?x=1")

    def test_parallel_tabs(self) -> None:
        """Several tabs of a browser can be under way at one host; none disturbs another."""
        requests = [self.browser.start(self.edge, b"/tab%d" % n) for n in range(12)]
        tickets = [ticket_of(self.edge.handover.make_ticket(each, self.session_id)) for each in requests]
        targets = [self.spend(ticket).target for ticket in reversed(tickets)]
        self.assertEqual(targets, [f"/tab{n}" for n in reversed(range(12))])

    def test_strange_cookie(self) -> None:
        """A cookie that is none of ours is replaced."""
        for strange in (b"", b"short", b"a" * 44, b"a" * 42 + b"!", b"a" * 42 + b"\n"):
            browser = Browser(strange)
            browser.start(self.edge)
            self.assertNotEqual(browser.cookie, strange)

    def test_browser_values_differ(self) -> None:
        """No two browsers have the same value."""
        values = set()
        for _ in range(50):
            browser = Browser()
            browser.start(self.edge)
            values.add(browser.cookie)
        self.assertEqual(len(values), 50)

    def test_port(self) -> None:
        """The way back leads to the port that it came from; seals and cookies know only the host."""
        request = self.browser.start(self.edge, b"/inbox", MAIL)
        url = self.edge.handover.make_ticket(request, self.session_id)
        self.assertTrue(url.startswith(MAIL + "/.appproxy/ticket?"))
        self.assertEqual(self.spend(ticket_of(url), b"mail.example.com").target, "/inbox")

    def test_return_url_stays(self) -> None:
        """What is not a path of this host leads to its start page."""
        for target in (b"//evil.test/", b"https://evil.test/", b"/\\evil.test", b"/a\r\nb", b"/.appproxy/x"):
            self.assertEqual(self.browser.start(self.edge, target).url, WIKI + "/")

    def test_store_away(self) -> None:
        """While nobody can tell whether a ticket was used, it is not used."""
        self.edge.store.cut()
        spending = self.edge.handover.spend_ticket(self.ticket, WIKI_HOST, self.browser.cookie)
        self.failureResultOf(spending, StoreUnavailable, StoreAway)

    def test_store_hangs(self) -> None:
        """Nor does anybody wait for ever."""
        self.edge.store.hang()
        spending = self.edge.handover.spend_ticket(self.ticket, WIKI_HOST, self.browser.cookie)
        self.pass_time(11)
        self.failureResultOf(spending, StoreUnavailable, StoreAway)

    def test_host_of(self) -> None:
        """An origin's host is lower case, without port or brackets."""
        self.assertEqual(host_of("https://Wiki.Example.COM:8443"), b"wiki.example.com")
        self.assertEqual(host_of("https://[::1]:8443"), b"::1")
