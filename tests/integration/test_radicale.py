"""Radicale, a CalDAV server, behind header sign-on: methods and bodies that browsers never send."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Final

from tests.integration.support.applications import Radicale
from tests.integration.support.browser import Browser, Page
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.installation import Installation
from tests.integration.support.oidc_provider import ADA, GRACE

DAV: Final = "{DAV:}"
CALDAV: Final = "{urn:ietf:params:xml:ns:caldav}"
EVENT: Final = """\
BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//appproxy//tests//EN\r
BEGIN:VEVENT\r
UID:standup\r
DTSTAMP:20260302T080000Z\r
DTSTART:20260302T090000Z\r
DTEND:20260302T091500Z\r
SUMMARY:Standup\r
END:VEVENT\r
END:VCALENDAR\r
"""
QUERY: Final = """<?xml version="1.0"?>
<c:calendar-query xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav">
<d:prop><d:getetag/><c:calendar-data/></d:prop>
<c:filter><c:comp-filter name="VCALENDAR"><c:comp-filter name="VEVENT"/></c:comp-filter></c:filter>
</c:calendar-query>"""


def texts(page: Page, tag: str) -> list[str]:
    """The texts of all elements with this tag."""
    return [each.text or "" for each in ElementTree.fromstring(page.body).iter(tag)]


class RadicaleTests(IntegrationTestCase):
    """What a CalDAV client does, with the session of somebody who signed in."""

    def setUp(self) -> None:
        """Publish Radicale, which takes the user's name from a header."""
        super().setUp()
        self.radicale = Radicale(self.folder / "radicale")
        self.start(self.radicale.process)
        self.site = Installation(self)
        self.site.start_provider()
        self.site.start_edge()
        name = {self.radicale.user_header: {"claim": "user_principal_name"}}
        self.site.publish(
            {
                "calendar": {
                    "internal_url": self.radicale.internal_url,
                    "everyone": True,
                    "sso": {"mode": "headers", "headers": name},
                }
            }
        )
        self.site.start_connector("hq", [f"127.0.0.1:{self.radicale.port}"])
        self.browser = self.site.browser()
        self.site.sign_in(self.browser, self.site.url("calendar"), ADA)

    def dav(
        self, method: str, path: str, body: str = "", browser: Browser | None = None, **headers: str
    ) -> Page:
        """A request of a CalDAV client; underscores in the headers' names stand for hyphens."""
        kind = "text/calendar" if method == "PUT" else "application/xml"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (browser or self.browser).fetch(
            self.site.url("calendar", path),
            method=method,
            headers={"Content-Type": kind, **named},
            body=body.encode() if body else None,
        )

    def make_calendar(self) -> str:
        """A calendar with one event; its path."""
        path = "/ada@example.com/work/"
        self.assertEqual(self.dav("MKCALENDAR", path).status, 201)
        self.assertEqual(self.dav("PUT", f"{path}standup.ics", EVENT).status, 201)
        return path

    def test_calendar(self) -> None:
        """MKCALENDAR, PUT, PROPFIND, REPORT, GET and DELETE arrive as they were sent, for the right user."""
        path = self.make_calendar()
        listing = self.dav("PROPFIND", path, Depth="1")
        self.assertEqual(listing.status, 207)
        names = [href.rpartition("/")[2] for href in texts(listing, f"{DAV}href")]
        self.assertIn("standup.ics", names)
        report = self.dav("REPORT", path, QUERY, Depth="1")
        self.assertEqual(report.status, 207)
        (data,) = texts(report, f"{CALDAV}calendar-data")
        self.assertIn("SUMMARY:Standup", data)
        event = self.dav("GET", f"{path}standup.ics")
        self.assertEqual(event.header("content-type").partition(";")[0], "text/calendar")
        self.assertEqual(self.dav("DELETE", f"{path}standup.ics", If_Match=event.header("etag")).status, 200)
        self.assertEqual(self.dav("GET", f"{path}standup.ics").status, 404)

    def test_somebody_else(self) -> None:
        """Another user is another user to the application, whatever header they send."""
        path = self.make_calendar()
        other = self.site.browser()
        self.site.sign_in(other, self.site.url("calendar"), GRACE)
        forged = {"X_Remote_User": "ada@example.com"}
        self.assertEqual(self.dav("GET", f"{path}standup.ics", browser=other, **forged).status, 403)

    def test_nobody(self) -> None:
        """Without a session a client is told where to sign in, and the application never hears of it."""
        answer = self.dav("PROPFIND", "/", browser=self.site.browser(), Depth="0")
        self.assertEqual(answer.status, 401)
        self.assertIn("SignInRequired", answer.text)
        self.assertTrue(answer.header("www-authenticate").startswith("AppProxy "))
