"""Tests of L{appproxy.edge.gate} and L{appproxy.edge.plain_gate}."""

from __future__ import annotations

from datetime import datetime

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from appproxy.edge.gate import Gate
from appproxy.edge.plain_gate import PlainGate
from appproxy.edge.verdict import (
    Fetch,
    Forward,
    Local,
    Redirect,
    Refuse,
    SignIn,
    SignInPage,
    Unauthorised,
    Verdict,
)
from appproxy.httpwire.heads import RequestHead
from appproxy.iappproxy import IAccessRule
from appproxy.model.application import Application
from appproxy.model.principal import Principal
from appproxy.model.refusal import Error, Refusal
from tests.contract.rig import ADA, DOMAIN, EVE, application
from tests.edge.support import AUTH, CATALOG, HR, PORTAL, WIKI, cookie, facts, head, judge, make_gate

TOOLS = f"tools.{DOMAIN}"
NAVIGATION = ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
SCRIPT = ("Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty")
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")


class GateTestCase(SynchronousTestCase):
    """Has a gate over the usual catalog."""

    def setUp(self) -> None:
        self.gate = make_gate()

    def judge(self, *arguments: str, **more: str) -> Verdict:
        """The verdict on a request."""
        return judge(self.gate, head(*arguments, **more))

    def assert_forwarded(self, verdict: Verdict, application_id: str, principal: Principal | None) -> None:
        """It goes to this application, for this user."""
        assert isinstance(verdict, Forward), verdict
        self.assertEqual((verdict.view.id, verdict.principal), (application_id, principal))

    def assert_refused(self, verdict: Verdict, status: int, reason: str) -> Refuse:
        """It is turned away."""
        assert isinstance(verdict, Refuse), verdict
        self.assertEqual((verdict.refusal.status, verdict.refusal.reason), (status, reason))
        return verdict


class RoutingTests(GateTestCase):
    """Host and path pick the application."""

    def test_hosts(self) -> None:
        """The host decides, in any case, with a final dot and a port."""
        for host in (WIKI, WIKI.upper(), WIKI + ".", WIKI + ":443"):
            self.assert_forwarded(self.judge(host=host), "wiki", None)

    def test_unknown_host(self) -> None:
        """An unknown host gets nothing that says who we are, for whatever path."""
        for target in ("/", "/.appproxy/sign-in", "/a/../b", "/%00"):
            verdict = self.assert_refused(self.judge(target, host="x.example"), 404, "unknown_host")
            self.assertTrue(verdict.neutral)

    def test_sni(self) -> None:
        """
        A request for another host than the handshake's is misdirected, and the connection ends.

        Security row 9.
        """
        verdict = judge(self.gate, head(host=WIKI), server_name=HR)
        self.assertTrue(self.assert_refused(verdict, 421, "sni_host_mismatch").close)
        self.assert_forwarded(judge(self.gate, head(host=WIKI), server_name=None), "wiki", None)

    def test_asterisk(self) -> None:
        """C{OPTIONS *} is about no application."""
        self.assert_refused(self.judge("*", method="OPTIONS"), 404, "unknown_path")

    def test_most_specific_path(self) -> None:
        """
        The longest published path wins; query and fragment-like bytes take no part.

        Security row 8.
        """
        for target, application_id in (
            ("/", "tools"),
            ("/admin", "admin"),
            ("/admins", "tools"),
            ("/admin/", "admin"),
            ("/admin/x?y=/", "admin"),
            ("/x?/admin/", "tools"),
            ("/%61dmin/x", "admin"),
        ):
            verdict = self.judge(target, cookie("ada"), host=TOOLS)
            self.assert_forwarded(verdict, application_id, ADA)

    def test_unpublished_path(self) -> None:
        """A path of a known host that nothing is published at: 404 without a word."""
        gate = make_gate({"docs": application("docs", external_url=f"https://docs.{DOMAIN}/a/")})
        verdict = judge(gate, head("/b/", host=f"docs.{DOMAIN}"))
        self.assertTrue(self.assert_refused(verdict, 404, "unknown_path").neutral)

    def test_bad_paths(self) -> None:
        """
        Dot segments and their like are refused at every known host, ours too.

        Security row 7.
        """
        for target, rule in (
            ("/a/../b", "dot_segments"),
            ("/%2e%2e/", "dot_segments"),
            ("/a/%252e%252e/", "dot_segments"),
            ("/..;x/", "dot_segments"),
            ("/a%00", "nul"),
            ("/a%5cb", "backslash"),
            ("/%ff", "bad_utf8"),
            ("/%zz", "bad_percent"),
        ):
            for host in (WIKI, HR, AUTH, PORTAL, TOOLS):
                self.assert_refused(self.judge(target, cookie("ada"), host=host), 400, rule)

    def test_ambiguous_paths(self) -> None:
        """Encoded slashes pass where one application has the host; else the page names the setting."""
        for target in ("/a%2fb", "/a//b", "/a;b"):
            self.assert_forwarded(self.judge(target), "wiki", None)
            lax = self.judge(target, cookie("ada"), host=f"lax.{DOMAIN}")
            self.assert_forwarded(lax, "lax", ADA)
            for host in (TOOLS, f"lax.{DOMAIN}"):
                below = "" if host == TOOLS else "/below"
                verdict = self.judge(below + target, cookie("ada"), host=host)
                refused = self.assert_refused(verdict, 400, "ambiguous_path")
                self.assertIn("ambiguous_paths", refused.refusal.detail)

    def test_ambiguous_between_applications(self) -> None:
        """
        What some server could read as another application's path passes nowhere.

        Security row 7.
        """
        lax = {"ambiguous_paths": "pass"}
        url = f"https://docs.{DOMAIN}/"
        gate = make_gate(
            {
                "docs": application("docs", external_url=url, **lax),
                "secret": application(
                    "secret", external_url=f"{url}secret/", internal_url="http://inside.corp/secret/", **lax
                ),
            }
        )
        for target in (
            *(
                "//secret/x",
                "//secret",
                "/secret;v=1/x",
                "/secret;",
                "//evil.example/secret/x",
                "///secret",
                "/%2fevil.example/secret",
                "/;/secret/x",
                "/%2fsecret/x",
                "/%3b/secret",
            ),
            *("/secret%2fx", "/secret%2F", "/secret%2f/x", "/secret%3bx", "//;a//secret", "/secret%2f?/x"),
        ):
            verdict = judge(gate, head(target, cookie("ada"), host=f"docs.{DOMAIN}"))
            refused = self.assert_refused(verdict, 400, "ambiguous_path")
            self.assertIn("another application", refused.refusal.detail)
        for target, application_id in (
            ("/a//secret/x", "docs"),
            ("/a%2fsecret/", "docs"),
            ("/a;/secret/", "docs"),
            ("/secrets//x", "docs"),
            ("/secret/a%2fb", "secret"),
            ("/secret//x", "secret"),
            ("/secret/;v=1", "secret"),
            ("/a//b?/../secret/", "docs"),
        ):
            verdict = judge(gate, head(target, cookie("ada"), host=f"docs.{DOMAIN}"))
            self.assert_forwarded(verdict, application_id, ADA)

    def test_capitals_of_another_application(self) -> None:
        """
        Where capitals are all the same to a server, a path would be another application's: it passes nowhere.

        Security row 7.
        """
        url = f"https://docs.{DOMAIN}/"
        for lax in ({}, {"ambiguous_paths": "pass"}):
            gate = make_gate(
                {
                    "docs": application("docs", external_url=url, **lax),
                    "secret": application(
                        "secret",
                        external_url=f"{url}Secret/",
                        internal_url="http://inside.corp/Secret/",
                        **lax,
                    ),
                }
            )
            host = f"docs.{DOMAIN}"
            alike = ["/secret", "/SECRET/x", "/%73ecret/x", "/Secret./x", "/Secret%20/x", "/\u017fecret/x"]
            if lax:
                alike += ["//secret/x", "/secret;v=1/x", "/secret%2fx"]
            for target in alike:
                encoded = target.replace("\u017f", "%c5%bf")
                verdict = judge(gate, head(encoded, cookie("ada"), host=host))
                refused = self.assert_refused(verdict, 400, "ambiguous_path")
                self.assertIn("capitals", refused.refusal.detail)
            for target, application_id in (
                ("/SECRETS/x", "docs"),
                ("/A/secret", "docs"),
                ("/Secret/X", "secret"),
                ("/Secret/secret/", "secret"),
                ("/Secret", "secret"),
            ):
                verdict = judge(gate, head(target, cookie("ada"), host=host))
                self.assert_forwarded(verdict, application_id, ADA)

    def test_strangers_learn_nothing(self) -> None:
        """
        Who has not signed in, or may not enter, is told the same of a path that resembles another
        application's as of any other: what else is published at a host is nobody's business.

        Security row 7.
        """
        url, host = f"https://docs.{DOMAIN}/", f"docs.{DOMAIN}"
        for everyone in (True, False):
            gate = make_gate(
                {
                    "docs": application(
                        "docs",
                        external_url=url,
                        everyone=everyone,
                        users=[] if everyone else ["eve@example.com"],
                    ),
                    "secret": application(
                        "secret", external_url=f"{url}Secret/", internal_url="http://inside.corp/Secret/"
                    ),
                }
            )
            own = [*NAVIGATION] if everyone else [cookie("ada"), *NAVIGATION]
            any_other = judge(gate, head("/other", *own, host=host))
            self.assertIsInstance(any_other, SignIn if everyone else Refuse)
            for target in ("/secret", "/SECRET/x", "//secret/x", "/secret%2fx"):
                self.assertEqual(judge(gate, head(target, *own, host=host)), any_other, target)

    def test_like_a_host(self) -> None:
        """
        Where a part of the path goes before the server gets it, the rest never begins like a host's name.

        Security row 7.
        """
        url, lax = f"https://docs.{DOMAIN}/", {"ambiguous_paths": "pass"}
        gate = make_gate(
            {
                "top": application("top", external_url=f"{url}top/", internal_url="http://top.corp/", **lax),
                "deep": application(
                    "deep", external_url=f"{url}deep/", internal_url="http://deep.corp/x/", **lax
                ),
            }
        )
        for target in ("/top//evil.example/", "/top//", "/top/%2fevil.example/", "/%74op//x", "/top%2f/x"):
            verdict = judge(gate, head(target, cookie("ada"), host=f"docs.{DOMAIN}"))
            refused = self.assert_refused(verdict, 400, "ambiguous_path")
            self.assertIn("name of a host", refused.refusal.detail)
        for target, application_id in (("/top/a//b", "top"), ("/top/;//x", "top"), ("/deep//x", "deep")):
            verdict = judge(gate, head(target, cookie("ada"), host=f"docs.{DOMAIN}"))
            self.assert_forwarded(verdict, application_id, ADA)

    def test_scheme(self) -> None:
        """What is published on http is not there on https."""
        self.assert_refused(self.judge(host=f"old.{DOMAIN}"), 404, "unknown_host")


class ReservedTests(GateTestCase):
    """Paths below C{/.appproxy/} are ours on every host."""

    def test_everywhere(self) -> None:
        """With a session or without, for any method."""
        for host in (WIKI, HR, AUTH, PORTAL, TOOLS):
            for target in ("/.appproxy/session", "/.appproxy", "/%2eappproxy/x", "/.appproxy/?x"):
                for method in ("GET", "POST", "OPTIONS"):
                    verdict = self.judge(target, host=host, method=method)
                    assert isinstance(verdict, Local), (host, target)
                    self.assertEqual((verdict.reserved, verdict.principal), (True, None))

    def test_not_reserved(self) -> None:
        """What only looks like it belongs to the application."""
        for target in ("/.appproxyx/", "/a/.appproxy/", "/.AppProxy/", "/.appproxy;x/", "//.appproxy/"):
            self.assert_forwarded(self.judge(target), "wiki", None)

    def test_ambiguous(self) -> None:
        """A reserved path has one spelling of its slashes, as all paths of our own hosts have."""
        for host, target in (
            (WIKI, "/.appproxy/a%2fb"),
            (PORTAL, "/.appproxy%2fx"),
            (PORTAL, "//.appproxy/x"),
            (AUTH, "/a;b"),
        ):
            self.assert_refused(self.judge(target, cookie("ada"), host=host), 400, "ambiguous_path")

    def test_who(self) -> None:
        """The page is told who asks; a broken cookie or a store that is away is no obstacle."""
        for value, principal in (("ada", ADA), ("bad", None), ("away", None)):
            verdict = self.judge("/.appproxy/session", cookie(value), host=HR)
            self.assertEqual(verdict, Local(True, principal, "hr"))
        self.assertEqual(self.judge("/.appproxy/session", cookie("new"), host=HR), Fetch("f" * 32))


class OwnHostTests(GateTestCase):
    """The sign-in host and the portal."""

    def test_auth_host(self) -> None:
        """The sign-in host asks nobody to sign in."""
        self.assertEqual(self.judge(host=AUTH), Local(False))

    def test_portal(self) -> None:
        """The portal is for those who signed in."""
        self.assertEqual(self.judge("/", cookie("ada"), host=PORTAL), Local(False, ADA))
        self.assertEqual(
            self.judge("/", *NAVIGATION, host=PORTAL), SignIn("no_session", "", f"https://{PORTAL}")
        )
        self.assertIsInstance(self.judge("/", *SCRIPT, host=PORTAL), Unauthorised)
        self.assert_refused(self.judge("/", cookie("away"), host=PORTAL), 503, "store_unreachable")


class SignInTests(GateTestCase):
    """Who has no session."""

    def test_session(self) -> None:
        """A session opens what its user is assigned to."""
        self.assert_forwarded(self.judge("/x", cookie("ada"), host=HR), "hr", ADA)

    def test_first_sight(self) -> None:
        """A session of another edge is looked up first."""
        self.assertEqual(self.judge("/x", cookie("new"), host=HR), Fetch("f" * 32))

    def test_navigation(self) -> None:
        """A navigation is sent to sign in; one that cannot be repeated gets a page instead."""
        origin = f"https://{HR}"
        self.assertEqual(self.judge("/x", *NAVIGATION, host=HR), SignIn("no_session", "hr", origin))
        self.assertEqual(
            self.judge("/x", *NAVIGATION, host=HR, method="POST"), SignInPage("no_session", "hr", origin)
        )

    def test_others(self) -> None:
        """Scripts, preflights and WebSockets get a 401."""
        for method, headers in (
            ("GET", SCRIPT),
            ("POST", SCRIPT),
            ("OPTIONS", ("Origin: https://x.example", "Access-Control-Request-Method: PUT")),
            ("GET", UPGRADE),
            ("GET", (*UPGRADE, *NAVIGATION)),
            ("PROPFIND", ()),
        ):
            verdict = self.judge("/x", *headers, host=HR, method=method)
            self.assertEqual(verdict, Unauthorised("no_session", "hr", f"https://{HR}"))

    def test_bearer(self) -> None:
        """
        No Authorization header lets anybody in: bearer tokens are not accepted yet, whoever's they are.

        Security row 18.
        """
        for value in ("Bearer ada", "bearer eyJhbGciOiJub25lIn0.e30.", "Basic YWRhOmFkYQ==", "DPoP ada"):
            verdict = self.judge("/x", *SCRIPT, f"Authorization: {value}", host=HR)
            self.assertEqual(verdict, Unauthorised("no_session", "hr", f"https://{HR}"), value)

    def test_reasons(self) -> None:
        """Why a cookie is no session is said."""
        for value, reason in (
            ("bad", "cookie_invalid"),
            ("over", "session_expired"),
            ("ended", "session_ended"),
        ):
            verdict = self.judge("/x", *NAVIGATION, cookie(value), host=HR)
            self.assertEqual(verdict, SignIn(reason, "hr", f"https://{HR}"))

    def test_two_cookies(self) -> None:
        """Two session cookies are none: whoever planted the second one shall not choose."""
        verdict = self.judge("/x", *NAVIGATION, cookie("ada") + "; " + cookie("eve")[8:], host=HR)
        self.assertIsInstance(verdict, SignIn)

    def test_store_away(self) -> None:
        """
        If nobody can tell, sign-in applications are closed and passthrough ones open.

        Security row 44.
        """
        self.assert_refused(self.judge("/x", cookie("away"), host=HR), 503, "store_unreachable")
        self.assert_forwarded(self.judge("/x", cookie("away")), "wiki", None)

    def test_passthrough_looks_at_no_cookie(self) -> None:
        """A passthrough application is for anybody, and is not told who."""
        for value in ("ada", "new", "bad"):
            self.assert_forwarded(self.judge("/x", cookie(value)), "wiki", None)


@implementer(IAccessRule)
class NotEve:
    """A rule that lets everybody in but one; it breaks over what it does not know."""

    name = "not-eve"

    def refuse(
        self, application_id: str, application: Application, principal: Principal | None, now: datetime
    ) -> Refusal | None:
        """As its interface says."""
        if principal is None:
            raise ZeroDivisionError
        return Refusal(Error.Forbidden, "rule") if principal == EVE else None


class PolicyTests(GateTestCase):
    """Who may use what."""

    def test_not_assigned(self) -> None:
        """A user who is not assigned is told so by name of user and application."""
        verdict = self.assert_refused(self.judge("/x", cookie("eve"), host=HR), 403, "not_assigned")
        self.assertEqual((verdict.application_id, verdict.principal), ("hr", EVE))

    def test_per_path(self) -> None:
        """
        Each application of a host has its own people.

        Security row 37.
        """
        self.assert_forwarded(self.judge("/", cookie("eve"), host=TOOLS), "tools", EVE)
        self.assert_refused(self.judge("/admin/", cookie("eve"), host=TOOLS), 403, "not_assigned")

    def test_rules(self) -> None:
        """
        A plugin's rule is asked too, at passthrough applications as well; one that raises refuses.

        Security row 44.
        """
        self.gate = make_gate(rules=(NotEve(),))
        self.assert_forwarded(self.judge("/x", cookie("ada"), host=HR), "hr", ADA)
        self.assert_refused(self.judge("/", cookie("eve"), host=TOOLS), 403, "rule")
        self.assert_refused(self.judge(), 403, "rule")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_may_open(self) -> None:
        """The portal shows what would be let in."""
        views = self.gate.views
        shown = {each for each, view in views.items() if self.gate.may_open(view, EVE)}
        self.assertEqual(shown, set(CATALOG) - {"hr", "admin"})


class OriginTests(GateTestCase):
    """Browsers send cookies along with any site's WebSocket."""

    def test_origins(self) -> None:
        """Our own origin passes, as does a client without one; any other does not."""
        for origin, passes in (
            ((), True),
            ((f"Origin: https://{HR}",), True),
            ((f"Origin: HTTPS://{HR.upper()}",), True),
            (("Origin: https://evil.example",), False),
            ((f"Origin: https://{HR}.evil.example",), False),
            ((f"Origin: http://{HR}",), False),
            ((f"Origin: https://{HR}:8443",), False),
            (("Origin: null",), False),
            ((f"Origin: https://{HR}", f"Origin: https://{HR}"), False),
        ):
            verdict = self.judge("/ws", *UPGRADE, *origin, cookie("ada"), host=HR)
            if passes:
                self.assert_forwarded(verdict, "hr", ADA)
            else:
                self.assert_refused(verdict, 403, "foreign_origin")

    def test_others_pass(self) -> None:
        """An ordinary request's Origin is the application's business."""
        verdict = self.judge("/x", "Origin: https://evil.example", cookie("ada"), host=HR, method="POST")
        self.assert_forwarded(verdict, "hr", ADA)

    def test_opened(self) -> None:
        """An application may name other origins, or all."""
        for origins, passes in (
            (["https://ok.example/"], True),
            (["*"], True),
            (["https://x.example"], False),
        ):
            self.gate = make_gate({"hr": application("hr", websocket_origins=origins)})
            verdict = self.judge("/ws", *UPGRADE, "Origin: https://ok.example", cookie("ada"), host=HR)
            self.assertEqual(isinstance(verdict, Forward), passes, origins)


class PlainTests(SynchronousTestCase):
    """Port 80."""

    def judge(self, asked: RequestHead, gate: Gate | None = None, port: int = 443) -> Verdict:
        """The verdict on a request without TLS."""
        return PlainGate(gate or make_gate(), port).judge(asked, facts(None, "http"))

    def test_to_https(self) -> None:
        """Everything known is sent to https as it is, whatever the method."""
        for host in (WIKI, HR, AUTH, PORTAL):
            verdict = self.judge(head("/a?b=c", host=host, method="POST"))
            self.assertEqual(verdict, Redirect(f"https://{host}/a?b=c".encode()))
        self.assertEqual(self.judge(head(), port=8443), Redirect(f"https://{WIKI}:8443/".encode()))

    def test_never_elsewhere(self) -> None:
        """No target leads to another host."""
        for target in ("//evil.example/", "/\\evil.example", "/@evil.example"):
            verdict = self.judge(head(target))
            assert isinstance(verdict, Redirect)
            self.assertEqual(verdict.location, f"https://{WIKI}{target}".encode())

    def test_nothing_else(self) -> None:
        """Unknown hosts get a 404 that says nothing."""
        for asked in (head(host="x.example"), head("*", method="OPTIONS")):
            verdict = self.judge(asked)
            assert isinstance(verdict, Refuse)
            self.assertTrue(verdict.neutral)

    def test_http_application(self) -> None:
        """What is published on http is served there, its reserved paths on https."""
        old = f"old.{DOMAIN}"
        verdict = self.judge(head("/x", host=old))
        assert isinstance(verdict, Forward)
        self.assertEqual(verdict.view.id, "old")
        self.assertIsInstance(self.judge(head("/.appproxy/x", host=old)), Redirect)
        self.assertIsInstance(self.judge(head("/a/../b", host=old)), Refuse)

    def test_both_schemes_on_one_host(self) -> None:
        """A path of such a host that is published on https is sent there."""
        gate = make_gate(
            {
                "old": CATALOG["old"],
                "new": application("new", external_url=f"https://old.{DOMAIN}/new/"),
            }
        )
        verdict = self.judge(head("/new/x", host=f"old.{DOMAIN}"), gate)
        self.assertEqual(verdict, Redirect(f"https://old.{DOMAIN}/new/x".encode()))
        self.assertIsInstance(self.judge(head("/x", host=f"old.{DOMAIN}"), gate), Forward)
