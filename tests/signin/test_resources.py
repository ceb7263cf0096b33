"""Tests of L{appproxy.signin.auth_host} and L{appproxy.signin.every_host}, as browsers see them."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

from twisted.logger import capturedLogs, formatEvent

from appproxy.model.application import CookieSettings
from appproxy.session.records import CookieProblem
from appproxy.signin import flow
from appproxy.signin.throttle import FAILURES, WINDOW_SECONDS
from tests.session.support import AUTH, WIKI
from tests.signin.support import CLIENT_SECRET, ISSUER, PORTAL, Browser, Reply, World

MAIL = "https://mail.example.com:8443"
SESSION = "__Host-appproxy-session"
SIGN_IN = "__Host-appproxy-sign-in"


class SignInTests(World):
    """Signing in."""

    def test_once_for_all(self) -> None:
        """A user signs in once, at the provider, and comes back to the page that was asked for."""
        browser = self.browser()
        self.assertEqual(browser.sign_in(WIKI + "/page?x=1"), WIKI + "/page?x=1")
        principal = browser.principal(WIKI)
        self.assertEqual((principal.issuer, principal.subject), (ISSUER, "ada-subject"))
        self.assertEqual(principal.user_principal_name, "ada@example.com")
        self.fake.requests.clear()
        self.assertEqual(browser.sign_in(MAIL + "/"), MAIL + "/")
        self.assertEqual(browser.principal(MAIL), principal)
        self.assertEqual(self.fake.requests, [])

    def test_redirects_tell_nothing(self) -> None:
        """
        No redirect may be kept, or tell the next site where it came from; none has a body.

        Security row 15.
        """
        browser = self.browser()
        replies = [browser.open(WIKI + "/")]
        replies.append(browser.get(self.fake.authorize(replies[-1].location)))
        replies.append(browser.get(replies[-1].location))
        for reply in replies:
            self.assertEqual(reply.status, 303)
            self.assertEqual(reply.headers.getRawHeaders("referrer-policy"), ["no-referrer"])
            self.assertEqual(reply.headers.getRawHeaders("cache-control"), ["no-store"])
            self.assertEqual(reply.body, b"")

    def test_new_id_at_each_sign_in(self) -> None:
        """
        A session from before the sign-in is dead after it, and the new one has another id.

        Security row 13.
        """
        browser = self.browser()
        old = self.begin_session()
        cookie = self.edge.sessions.cookie(old, b"auth.example.com").decode()
        reply = browser.open(WIKI + "/")
        self.pass_time(2)
        browser.cookies(AUTH)[SESSION] = cookie
        browser.follow(browser.get(self.fake.authorize(reply.location)))
        self.assertNotEqual(browser.principal(WIKI).session_id, old)
        with self.assertRaises(CookieProblem):
            self.edge.sessions.open_cookie(cookie.encode(), b"auth.example.com")

    def test_planted_session(self) -> None:
        """Whoever plants a session of their own in a browser shares nothing with who signs in there."""
        attacker, victim = self.browser(), self.browser()
        self.fake.user = {"sub": "mallory", "upn": "mallory@example.com"}
        reply = victim.open(WIKI + "/")
        attacker.sign_in(WIKI + "/")
        planted = attacker.principal(WIKI).session_id
        victim.cookies(AUTH)[SESSION] = attacker.cookies(AUTH)[SESSION]
        self.fake.user = {"sub": "ada-subject", "upn": "ada@example.com"}
        victim.follow(victim.get(self.fake.authorize(reply.location)))
        self.assertEqual(victim.principal(WIKI).subject, "ada-subject")
        self.assertNotEqual(victim.principal(WIKI).session_id, planted)
        with self.assertRaises(CookieProblem):
            attacker.principal(WIKI)

    def test_parallel_tabs(self) -> None:
        """Tabs of a browser may finish their sign-ins in any order; none breaks another."""
        browser = self.browser()
        urls = [f"{WIKI}/tab{n}" for n in range(4)] + [f"{MAIL}/tab{n}" for n in range(4)]
        departures = [browser.open(url) for url in urls]
        self.pass_time(1)
        order = [3, 0, 7, 5, 1, 2, 6, 4]
        landed = [browser.follow(browser.get(self.fake.authorize(departures[n].location))) for n in order]
        self.assertEqual(landed, [urls[n] for n in order])
        self.assertEqual(self.edge.ended, [])
        self.assertEqual(browser.principal(WIKI), browser.principal(MAIL))

    def test_nine_tabs(self) -> None:
        """The ninth sign-in of a browser drops the oldest, which says so and can be tried again."""
        browser = self.browser()
        departures = [browser.open(f"{WIKI}/tab{n}") for n in range(9)]
        reply = browser.follow(browser.get(self.fake.authorize(departures[0].location)))
        assert isinstance(reply, Reply)
        self.assertEqual(reply.status, 400)
        self.assertIn(b"Too many sign-ins at once", reply.body)
        self.assertIn(f'href="{WIKI}/"'.encode(), reply.body)
        for number in range(8, 0, -1):
            landed = browser.follow(browser.get(self.fake.authorize(departures[number].location)))
            self.assertEqual(landed, f"{WIKI}/tab{number}")

    def test_a_hundred_browsers(self) -> None:
        """
        A hundred browsers at once do not disturb each other.

        Security row 14.
        """
        browsers = [self.browser() for _ in range(100)]
        departures = [browser.open(WIKI + "/") for browser in browsers]
        for number, (browser, departure) in enumerate(zip(browsers, departures, strict=True)):
            self.fake.user = {"sub": f"user-{number}", "upn": f"user-{number}@example.com"}
            browser.follow(browser.get(self.fake.authorize(departure.location)))
        self.assertEqual(
            [browser.principal(WIKI).subject for browser in browsers], [f"user-{n}" for n in range(100)]
        )

    def test_long_urls_fit(self) -> None:
        """The cookie of the sign-ins under way stays small, however long the addresses are."""
        browser = self.browser()
        for number in range(8):
            departure = browser.open(f"{WIKI}/{number}/" + "a" * 1500)
        self.assertLess(len(browser.cookies(AUTH)[SIGN_IN]), 3900)
        landed = browser.follow(browser.get(self.fake.authorize(departure.location)))
        self.assertEqual(landed, f"{WIKI}/7/" + "a" * 1500)

    def test_no_application_named(self) -> None:
        """The sign-in page by itself leads to the portal, which starts properly."""
        self.assertEqual(self.browser().get(AUTH + "/.appproxy/sign-in").location, PORTAL + "/")

    def test_return_in_clear(self) -> None:
        """A return URL in clear, or several, lead nowhere."""
        start = self.edge.handover.begin(WIKI, b"/", None).sealed_request
        for query in ("return=https://evil.test/", "return=", f"return={start}&return={start}", "return=%00"):
            reply = self.browser().get(f"{AUTH}/.appproxy/sign-in?{query}")
            self.assertEqual(reply.status, 400, query)
            self.assertNotIn(b"evil.test", reply.body)

    def test_bookmark(self) -> None:
        """An old sign-in page leads to the application, which starts a new sign-in."""
        browser = self.browser()
        browser.open(WIKI + "/page")
        bookmark = browser.visited[-1]
        self.pass_time(2 * 3600, 60)
        self.assertEqual(browser.get(bookmark).location, WIKI + "/page")

    def test_second_edge(self) -> None:
        """A sign-in may begin at one edge and end at another."""
        browser = self.browser()
        departure = browser.open(WIKI + "/x")
        other = self.make_stand(self.make_edge())
        browser.stand = other
        arrival = browser.get(self.fake.authorize(departure.location))
        browser.stand = self.stand
        self.assertEqual(browser.follow(arrival), WIKI + "/x")

    def test_provider_down(self) -> None:
        """
        While the provider cannot be reached, a page says so, with 503.

        Security row 44.
        """
        self.agent.down = True
        reply = self.browser().open(WIKI + "/")
        self.assertEqual(reply.status, 503)
        self.assertIn(b"provider_unreachable", reply.body)
        self.assertIn(f'href="{WIKI}/"'.encode(), reply.body)

    def test_store_away(self) -> None:
        """While nothing can be written down, nobody is signed in; a page says so."""
        browser = self.browser()
        departure = browser.open(WIKI + "/")
        self.edge.store.cut()
        reply = browser.get(self.fake.authorize(departure.location))
        self.assertEqual(reply.status, 503)
        self.assertIn(b"store_unreachable", reply.body)
        self.assertNotIn(SESSION, browser.cookies(AUTH))


class CallbackTests(World):
    """What comes back from the provider, or pretends to."""

    def setUp(self) -> None:
        super().setUp()
        self.user = self.browser()
        departure = self.user.open(WIKI + "/page")
        self.callback = self.fake.authorize(departure.location)
        self.arguments = {name: values[0] for name, values in parse_qs(urlsplit(self.callback).query).items()}

    def assert_refused(self, reply: Reply, status: int, reason: str) -> None:
        """A page with this reason, and no session."""
        self.assertEqual(reply.status, status, reply.body)
        self.assertIn(reason.encode(), reply.body)
        cookies = " ".join(reply.headers.getRawHeaders("set-cookie") or ())
        self.assertNotIn(SESSION + "=", cookies)

    def call(self, query: str, browser: Browser | None = None) -> Reply:
        """Come back with a query of one's own."""
        return (browser or self.user).get(f"{AUTH}/.appproxy/callback?{query}")

    def test_replay(self) -> None:
        """The same answer twice signs nobody in the second time, not even with the old cookie."""
        before = dict(self.user.cookies(AUTH))
        self.assertEqual(self.user.get(self.callback).status, 303)
        self.user.jar["auth.example.com"] = before
        self.fake.requests.clear()
        self.assert_refused(self.user.get(self.callback), 400, "state_unknown")
        self.assertNotIn("/token", self.fake.requests)

    def test_another_browser(self) -> None:
        """An attacker's answer in a victim's browser signs the victim in to nothing (login CSRF)."""
        for victim in (self.browser(), self.browser()):
            self.assert_refused(victim.get(self.callback), 400, "state_unknown")
            self.fake.requests.clear()
            victim.open(MAIL + "/")
        self.assertNotIn("/token", self.fake.requests)
        self.assertEqual(self.user.get(self.callback).status, 303)

    def test_duplicates(self) -> None:
        """
        A parameter that stands twice is refused, whichever it is.

        Security row 14.
        """
        for name in ("code", "state", "iss"):
            self.setUp()
            query = urlsplit(self.callback).query
            reply = self.call(f"{query}&{name}={self.arguments[name]}")
            self.assertIn(reply.status, (400, 403), name)
            self.assertNotIn(SESSION, self.user.cookies(AUTH))

    def test_missing(self) -> None:
        """Without state or code there is nothing to finish."""
        self.assert_refused(self.call("code=x"), 400, "state_unknown")
        self.assert_refused(self.call(""), 400, "state_unknown")
        self.assert_refused(self.call(f"state={self.arguments['state']}"), 403, "provider_error")

    def test_other_sealed_things(self) -> None:
        """Nothing else of ours passes for a state."""
        start = self.edge.handover.begin(WIKI, b"/", None).sealed_request
        for state in (start, self.user.cookies(AUTH)[SIGN_IN], self.arguments["state"][:-1], "x", "%00"):
            self.assert_refused(self.call(f"code=x&state={state}"), 400, "state_unknown")

    def test_error_of_the_provider(self) -> None:
        """An error of the provider is shown without its words, which anybody can write."""
        state = self.arguments["state"]
        evil = "%3Cscript%3Ealert(1)%3C/script%3E"
        reply = self.call(f"error=access_denied&error_description={evil}&state={state}&iss={ISSUER}")
        self.assert_refused(reply, 403, "provider_error")
        self.assertNotIn(b"script>alert", reply.body)
        self.assertIn(f'href="{WIKI}/page"'.encode(), reply.body)

    def test_hostile_error_code(self) -> None:
        """Nor does a made-up error code reach the log."""
        with capturedLogs() as logs:
            self.call(f"error=%0d%0aCANARY%1b[31m&state={self.arguments['state']}&iss={ISSUER}")
        self.assertNotIn("CANARY", repr(logs))

    def test_another_issuer(self) -> None:
        """An answer that names another issuer is refused (mix-up)."""
        query = urlsplit(self.callback).query.replace("realms%2Fmain", "realms%2Fother")
        self.assert_refused(self.call(query), 403, "token_invalid")
        self.assertNotIn("/token", self.fake.requests)

    def test_too_late(self) -> None:
        """After an hour a sign-in that was begun counts no more."""
        self.pass_time(3601, 30)
        self.assert_refused(self.user.get(self.callback), 400, "state_unknown")

    def test_code_refused(self) -> None:
        """A code that the provider does not know signs nobody in."""
        self.fake.codes.clear()
        self.assert_refused(self.user.get(self.callback), 403, "provider_error")

    def test_token_invalid(self) -> None:
        """A token that proves nothing signs nobody in, and the log says which rule it broke."""
        self.fake.change_claims = {"nonce": "another"}
        with capturedLogs() as logs:
            self.assert_refused(self.user.get(self.callback), 403, "token_invalid")
        events = [each for each in logs if each.get("event") == "sign_in"]
        self.assertEqual([(each["reason"], each["why"]) for each in events], [("token_invalid", "nonce")])

    def test_claims_invalid(self) -> None:
        """Nor do claims that cannot be a user."""
        self.fake.change_claims = {"upn": "ada@example.com@evil.test"}
        self.assert_refused(self.user.get(self.callback), 403, "token_invalid")

    def test_try_again(self) -> None:
        """After a failure the same browser can start again and succeed."""
        self.fake.change_claims = {"nonce": "another"}
        self.user.get(self.callback)
        self.fake.change_claims = {}
        self.assertEqual(self.user.sign_in(WIKI + "/page"), WIKI + "/page")

    def test_throttled(self) -> None:
        """
        After many failures an address has to wait a minute before another sign-in of it is looked at.

        Security row 42.
        """
        user = self.browser()
        for _ in range(FAILURES):
            self.assertEqual(user.get(f"{AUTH}/.appproxy/callback?state=x&code=y").status, 400)
        reply = user.get(f"{AUTH}/.appproxy/callback?state=x&code=y")
        self.assertEqual((reply.status, reply.headers.getRawHeaders("retry-after")), (429, ["60"]))
        self.assertEqual(self.stand.flow.outcomes, {"state_unknown": FAILURES, "throttled": 1})
        self.clock.advance(WINDOW_SECONDS)
        user.sign_in(WIKI + "/")
        self.assertEqual(user.get(WIKI + "/.appproxy/session").status, 200)

    def test_bug(self) -> None:
        """A mistake of ours is a page with 500 and a traceback in the log, not a hanging browser."""
        self.patch(flow, "tokens_of", None)
        self.assert_refused(self.user.get(self.callback), 500, "bug")
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_secrets_stay(self) -> None:
        """No secret comes into a URL, a page, a log or another party's hands."""
        with capturedLogs() as logs:
            self.user.follow(self.user.get(self.callback))
            self.user.sign_in(MAIL + "/")
            self.fake.token_answer = (400, b'{"error":"invalid_grant CANARY"}')
            page = self.user.get(self.callback)
        everything = repr(logs) + repr(self.user.visited) + repr(page.body)
        session_id = self.user.principal(WIKI).session_id
        for secret in (CLIENT_SECRET, "CANARY-refresh", "eyJ", session_id):
            self.assertNotIn(secret, everything)

    def test_outcomes_are_counted(self) -> None:
        """Successes and failures are counted for the metrics."""
        self.user.get(self.callback)
        self.user.get(self.callback)
        self.assertEqual(self.stand.flow.outcomes, {"success": 1, "state_unknown": 1})

    def test_logged(self) -> None:
        """A sign-in is logged with who, from where, when and how; the session only by its beginning."""
        with capturedLogs() as logs:
            self.user.get(self.callback)
        (event,) = [each for each in logs if each.get("event") == "sign_in"]
        self.assertEqual(event["outcome"], "success")
        self.assertEqual(event["user"], "ada@example.com")
        self.assertEqual(event["client_address"], "192.0.2.7")
        self.assertEqual(event["amr"], "pwd otp")
        self.assertEqual(len(event["session"]), 8)

    def test_failure_is_logged(self) -> None:
        """A sign-in that fails is logged with the page's reason, where it came from, and its transaction."""
        self.user.get(self.callback)
        with capturedLogs() as logs:
            self.user.get(self.callback)
        (event,) = [each for each in logs if each.get("event") == "sign_in"]
        self.assertEqual((event["outcome"], event["reason"]), ("failure", "state_unknown"))
        self.assertEqual(event["client_address"], "192.0.2.7")
        self.assertTrue(event["transaction_id"])
        self.assertIn("state_unknown: ", formatEvent(event))


class TicketTests(World):
    """Coming back to an application."""

    def setUp(self) -> None:
        super().setUp()
        self.user = self.browser()
        departure = self.user.open(WIKI + "/page")
        self.ticket_url = self.user.get(self.fake.authorize(departure.location)).location

    def test_replay(self) -> None:
        """A ticket is good once; a reload offers to go on to the page."""
        self.assertEqual(self.user.get(self.ticket_url).location, WIKI + "/page")
        reply = self.user.get(self.ticket_url)
        self.assertEqual(reply.status, 400)
        self.assertIn(f'href="{WIKI}/page"'.encode(), reply.body)

    def test_other_browser(self) -> None:
        """A ticket that was mailed to somebody signs nobody in."""
        victim = self.browser()
        self.assertEqual(victim.get(self.ticket_url).status, 400)
        victim.open(WIKI + "/")
        self.assertEqual(victim.get(self.ticket_url).status, 400)
        self.assertNotIn(SESSION, victim.cookies(WIKI))

    def test_other_host(self) -> None:
        """Nor does one that is taken to another host."""
        self.user.open(MAIL + "/")
        reply = self.user.get(self.ticket_url.replace(WIKI, MAIL))
        self.assertEqual(reply.status, 400)
        self.assertNotIn(SESSION, self.user.cookies(MAIL))

    def test_late(self) -> None:
        """Nor one that is older than 30 seconds."""
        self.pass_time(31)
        self.assertEqual(self.user.get(self.ticket_url).status, 400)

    def test_rubbish(self) -> None:
        """Nor none, or two."""
        ticket = urlsplit(self.ticket_url).query
        for query in ("", "ticket=", f"{ticket}&{ticket}", "ticket=%00%ff"):
            self.assertEqual(self.user.get(f"{WIKI}/.appproxy/ticket?{query}").status, 400)

    def test_head_spends_nothing(self) -> None:
        """A mere HEAD, as scanners send, does not use the ticket up."""
        self.assertEqual(self.user.request("HEAD", self.ticket_url).status, 405)
        self.assertEqual(self.user.get(self.ticket_url).status, 303)

    def test_not_at_the_sign_in_host(self) -> None:
        """The sign-in host takes no tickets."""
        self.assertEqual(self.user.get(self.ticket_url.replace(WIKI, AUTH)).status, 404)

    def test_cookie_settings(self) -> None:
        """The application says how its cookie is set."""
        self.cookie_settings = CookieSettings(http_only=False, persistent=True)
        (cookie,) = self.user.get(self.ticket_url).headers.getRawHeaders("set-cookie") or ()
        self.assertNotIn("HttpOnly", cookie)
        self.assertIn("Max-Age=50400", cookie)

    def test_default_cookie(self) -> None:
        """Unless it does, scripts do not see the cookie and it ends with the browser."""
        (cookie,) = self.user.get(self.ticket_url).headers.getRawHeaders("set-cookie") or ()
        self.assertTrue(cookie.endswith("; Path=/; Secure; HttpOnly; SameSite=Lax"), cookie)
        self.assertTrue(cookie.startswith(SESSION + "="))


class SignOutTests(World):
    """Signing out."""

    def setUp(self) -> None:
        super().setUp()
        self.user = self.browser()
        self.user.sign_in(WIKI + "/")
        self.user.sign_in(MAIL + "/")
        self.session_id = self.user.principal(WIKI).session_id

    def post(self, origin: str | None = WIKI, browser: Browser | None = None) -> Reply:
        """Press the button."""
        headers = {} if origin is None else {"origin": origin}
        return (browser or self.user).request("POST", WIKI + "/.appproxy/sign-out", b"a=b", **headers)

    def test_asks_first(self) -> None:
        """Following a link signs nobody out: it shows a button and the user's name."""
        reply = self.user.get(WIKI + "/.appproxy/sign-out")
        self.assertEqual(reply.status, 200)
        self.assertIn(b'method="post"', reply.body)
        self.assertIn(b"ada@example.com", reply.body)
        self.assertEqual(self.edge.ended, [])

    def test_everywhere(self) -> None:
        """
        The button ends the session at every host, and then at the provider.

        Security row 20.
        """
        reply = self.post()
        self.assertEqual(self.edge.ended, [self.session_id])
        for url in (WIKI, MAIL, AUTH):
            cookie = self.user.cookies(url).get(SESSION)
            if cookie is not None:
                with self.assertRaises(CookieProblem):
                    self.user.principal(url)
        address, _, query_text = reply.location.partition("?")
        self.assertEqual(address, ISSUER + "/logout")
        query = parse_qs(query_text)
        self.assertEqual(query["post_logout_redirect_uri"], [AUTH + "/.appproxy/signed-out"])
        self.assertTrue(query["id_token_hint"][0].startswith("eyJ"))
        self.assertNotIn(SESSION, self.user.cookies(WIKI))

    def test_foreign_origin(self) -> None:
        """
        No other site can sign anybody out, nor can whoever does not say where from.

        Security row 20.
        """
        for origin in (
            MAIL,
            "https://evil.test",
            "null",
            None,
            "",
            WIKI + ":8443",
            "http://wiki.example.com",
        ):
            reply = self.post(origin)
            self.assertEqual(reply.status, 403, origin)
            self.assertIn(b"foreign_origin", reply.body)
        self.assertEqual(self.edge.ended, [])

    def test_provider_without_sign_out(self) -> None:
        """Where the provider has no sign-out, ours ends at our own page, which says so."""
        del self.fake.discovery["end_session_endpoint"]
        self.stand = self.make_stand(self.edge)
        self.user.stand = self.stand
        location = self.post().location
        self.assertTrue(location.startswith(AUTH + "/.appproxy/signed-out"))
        with_provider = self.user.get(AUTH + "/.appproxy/signed-out").body
        self.assertNotEqual(self.user.get(location).body, with_provider)

    def test_provider_down(self) -> None:
        """A provider that does not answer keeps nobody signed in here."""
        self.agent.down = True
        self.stand = self.make_stand(self.edge)
        self.user.stand = self.stand
        self.assertTrue(self.post().location.startswith(AUTH + "/.appproxy/signed-out"))
        self.assertEqual(self.edge.ended, [self.session_id])

    def test_huge_token(self) -> None:
        """A token that is too long for a URL is left out."""
        self.fake.change_claims = {"groups": [f"group-{n:040}" for n in range(200)]}
        other = self.browser()
        other.sign_in(WIKI + "/")
        self.assertLess(len(self.post(browser=other).location), 1000)

    def test_signed_out_page(self) -> None:
        """The page at the end leads nowhere by itself, and forgets the dead cookie."""
        self.post()
        self.assertIn(SESSION, self.user.cookies(AUTH))
        reply = self.user.get(AUTH + "/.appproxy/signed-out")
        self.assertEqual(reply.status, 200)
        self.assertIsNone(reply.headers.getRawHeaders("location"))
        self.assertIsNone(reply.headers.getRawHeaders("refresh"))
        self.assertNotIn(b"http-equiv", reply.body.lower())
        self.assertNotIn(SESSION, self.user.cookies(AUTH))

    def test_signed_out_page_ends_nothing(self) -> None:
        """Opening that page while signed in signs nobody out."""
        self.user.get(AUTH + "/.appproxy/signed-out")
        self.assertEqual(self.user.principal(AUTH).session_id, self.session_id)

    def test_sign_in_again(self) -> None:
        """After signing out, an application asks the provider again, and a new session begins."""
        self.post()
        self.fake.requests.clear()
        self.user.sign_in(WIKI + "/")
        self.assertIn("/token", self.fake.requests)
        self.assertNotEqual(self.user.principal(WIKI).session_id, self.session_id)

    def test_without_session(self) -> None:
        """Signing out without a session ends at the page, too."""
        stranger = self.browser()
        self.assertEqual(stranger.get(WIKI + "/.appproxy/sign-out").status, 200)
        self.assertTrue(self.post(browser=stranger).location.startswith(AUTH + "/.appproxy/signed-out"))

    def test_store_away(self) -> None:
        """A sign-out that cannot be written down is no success, but ends the session here and the cookie."""
        self.edge.store.cut()
        reply = self.post()
        self.assertEqual(reply.status, 503)
        self.assertEqual(self.edge.ended, [self.session_id])
        self.assertNotIn(SESSION, self.user.cookies(WIKI))

    def test_form_may_lead_to_the_provider(self) -> None:
        """The page with the button lets its form's redirect reach the provider (form-action)."""
        reply = self.user.get(WIKI + "/.appproxy/sign-out")
        (policy,) = reply.headers.getRawHeaders("content-security-policy") or ()
        self.assertIn("form-action 'self' https:", policy)

    def test_logged(self) -> None:
        """A sign-out is logged."""
        with capturedLogs() as logs:
            self.post()
        (event,) = [each for each in logs if each.get("event") == "sign_out"]
        self.assertEqual((event["user"], event["outcome"]), ("ada@example.com", "success"))


class OtherPagesTests(World):
    """The rest of what stands below C{/.appproxy/}."""

    def test_session(self) -> None:
        """
        A script learns the user's name and the session's end, and no secret.

        Security row 25.
        """
        user = self.browser()
        user.sign_in(WIKI + "/")
        reply = user.get(WIKI + "/.appproxy/session")
        self.assertEqual(reply.status, 200)
        document = json.loads(reply.body)
        self.assertEqual(set(document), {"name", "expires_at", "sign_in_url"})
        self.assertEqual(document["name"], "Ada")
        self.assertEqual(document["expires_at"], self.clock.seconds() + 14 * 3600)

    def test_no_session(self) -> None:
        """Without one it is 401, machine-readable, with where to sign in."""
        for cookie in (None, "rubbish"):
            user = self.browser()
            if cookie:
                user.cookies(WIKI)[SESSION] = cookie
            reply = user.get(WIKI + "/.appproxy/session")
            self.assertEqual(reply.status, 401)
            self.assertEqual(reply.headers.getRawHeaders("content-type"), ["application/problem+json"])
            challenge = ['AppProxy realm="wiki.example.com"']
            self.assertEqual(reply.headers.getRawHeaders("www-authenticate"), challenge)
            self.assertEqual(json.loads(reply.body)["sign_in_url"], WIKI + "/")

    def test_health(self) -> None:
        """Balancers get three bytes."""
        self.assertEqual(self.browser().get(AUTH + "/.appproxy/healthz").body, b"ok\n")
        self.healthy = False
        reply = self.browser().get(AUTH + "/.appproxy/healthz")
        self.assertEqual((reply.status, reply.body), (503, b"no\n"))

    def test_all_else(self) -> None:
        """What is not listed is not there; what is there takes only its methods."""
        user = self.browser()
        for path in ("", "x", "sign-in/x", "session/", "ticket/..", "callback%00"):
            self.assertEqual(user.get(f"{AUTH}/.appproxy/{path}").status, 404, path)
        for path in ("sign-in", "callback", "signed-out", "healthz"):
            self.assertEqual(user.get(f"{WIKI}/.appproxy/{path}").status, 404, path)
            reply = user.request("POST", f"{AUTH}/.appproxy/{path}", b"a=b")
            self.assertEqual(reply.status, 405)
            self.assertIn("GET", (reply.headers.getRawHeaders("allow") or [""])[0])

    def test_no_sign_out_by_others(self) -> None:
        """
        There is no sign-out without the user's browser yet: a logout token is not read and ends nothing.

        Security row 20.
        """
        user = self.browser()
        user.sign_in(WIKI + "/")
        body = b"logout_token=eyJhbGciOiJub25lIn0.e30."
        for host in (AUTH, WIKI):
            self.assertEqual(user.request("POST", f"{host}/.appproxy/backchannel-logout", body).status, 404)
        self.assertEqual(user.get(WIKI + "/.appproxy/session").status, 200)

    def test_every_page_is_protected(self) -> None:
        """No page of ours can be framed, sniffed, kept or made to run a script."""
        user = self.browser()
        for url in (WIKI + "/.appproxy/sign-out", AUTH + "/.appproxy/x", AUTH + "/.appproxy/signed-out"):
            headers = user.get(url).headers
            self.assertIn("default-src 'none'", (headers.getRawHeaders("content-security-policy") or [""])[0])
            self.assertEqual(headers.getRawHeaders("cache-control"), ["no-store"])
            self.assertEqual(headers.getRawHeaders("x-content-type-options"), ["nosniff"])
            self.assertEqual(headers.getRawHeaders("appproxy-transaction-id"), ["01TRANSACTION"])

    def test_stolen_auth_cookie_elsewhere(self) -> None:
        """The sign-in host's cookie is nothing at an application."""
        user = self.browser()
        user.sign_in(WIKI + "/")
        user.cookies(MAIL)[SESSION] = user.cookies(AUTH)[SESSION]
        self.assertEqual(user.get(MAIL + "/.appproxy/session").status, 401)

    def test_overload(self) -> None:
        """
        When too many wait for a provider that hangs, the next is turned away at once.

        Security row 42.
        """
        from appproxy.signin import answering

        self.patch(answering, "MAXIMUM_WAITING", 3)
        self.agent.slow = True
        waiting = [self.browser().open(WIKI + "/") for _ in range(3)]
        self.assertEqual([reply.status for reply in waiting], [0, 0, 0])
        reply = self.browser().open(WIKI + "/")
        self.assertEqual(reply.status, 503)
        self.assertIn(b"overloaded", reply.body)
        self.agent.slow = False
        self.pass_time(11)
        self.assertEqual(self.browser().open(WIKI + "/").status, 303)
