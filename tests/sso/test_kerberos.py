"""L{appproxy.sso.kerberos} and what it is made of, without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from appproxy.directory.account import Account
from appproxy.directory.directory import Directory
from appproxy.directory.errors import DirectoryError
from appproxy.directory.filters import Identity
from appproxy.directory.values import AccountControl
from appproxy.httpwire.block import Blocks, blocks_of, fields_of
from appproxy.httpwire.field import field
from appproxy.kerberos.causes import Cause, KerberosError, Stage
from appproxy.kerberos.names import LookUp, LookUpKind
from appproxy.kerberos.tickets import TicketKey, TokenForm
from appproxy.kerberos.trial import Trial
from appproxy.model.principal import Principal
from appproxy.model.refusal import SIGN_ON_REASONS
from appproxy.model.sign_on import KerberosSignOn
from appproxy.sso.errors import SignOnError
from appproxy.sso.kerberos import Kerberos, KerberosMode
from appproxy.sso.kerberos_accounts import NEVER_KEPT_SECONDS, Accounts, kerberos_name, refusal
from appproxy.sso.kerberos_errors import of_directory, of_kerberos
from appproxy.sso.sign_on import Attempt

UPN = "ada@corp.example"
ADA = Principal("https://idp.example", "1", "0" * 32, user_principal_name=UPN)
ADMINS = "S-1-5-21-1-2-3-512"
PROTECTED_USERS = "S-1-5-21-1-2-3-525"
ASKED = LookUp(LookUpKind.user_principal_name, UPN)


def account(**changes: Any) -> Account:
    """Ada's account."""
    values: dict[str, Any] = {
        "distinguished_name": "CN=ada,DC=corp,DC=example",
        "sam_account_name": "ada",
        "user_principal_name": UPN,
        "sid": "S-1-5-21-1-2-3-1104",
        "control": AccountControl(512),
        "groups": frozenset({"S-1-5-21-1-2-3-513"}),
        "account_expires": None,
        "must_change_password": False,
        "realm": "CORP.EXAMPLE",
    }
    return Account(**(values | changes))


class ScriptedDirectory:
    """Answers with what it is given, and counts."""

    def __init__(self) -> None:
        self.account: Account | Deferred[Account] = account()
        self.never: Callable[[], Deferred[frozenset[str]]] = lambda: succeed(frozenset({ADMINS}))
        self.asked: list[Identity] = []
        self.asked_for_groups = 0
        self.order: list[str] = []

    def remembered(self, identity: Identity) -> Account | None:
        """The account, if it is there already."""
        return self.account if isinstance(self.account, Account) else None

    def find(self, identity: Identity) -> Account | Deferred[Account]:
        """The account."""
        self.asked.append(identity)
        self.order.append("account")
        return self.account

    def group_sids(self, names: Iterable[str]) -> Deferred[frozenset[str]]:
        """Of C{never_impersonate}."""
        self.asked_for_groups += 1
        self.order.append("groups")
        return self.never()


class Proof:
    """A negotiation whose other side is the test."""

    def __init__(self, number: int) -> None:
        self.token = b"token-%d" % number
        self.seen: list[bytes] = []

    def verify(self, *challenges: bytes) -> None:
        """Only one reply is good."""
        self.seen += challenges
        if b"Negotiate Z29vZA==" not in challenges:
            raise KerberosError(Stage.mutual, Cause.wrong_key if challenges else Cause.reply_missing)


class ScriptedTickets:
    """Tokens, numbered."""

    def __init__(self) -> None:
        self.given: list[Proof] = []
        self.keys: list[tuple[TicketKey, str, TokenForm]] = []
        self.dropped: list[tuple[str, str, str]] = []
        self.young = False
        self.forgotten: list[tuple[str, str]] = []
        self.failure: Exception | None = None
        self.later: Deferred[Any] | None = None

    def at_hand(self, key: TicketKey, name: str, form: TokenForm) -> Proof | None:
        """The next one, unless a KDC has to be asked."""
        if self.failure is not None or self.later is not None:
            return None
        return cast(Proof, self.negotiation(key, name, form))

    def negotiation(self, key: TicketKey, name: str, form: TokenForm) -> Any:
        """The next one."""
        self.keys.append((key, name, form))
        if self.failure is not None:
            return fail(self.failure)
        if self.later is not None:
            return self.later
        self.given.append(Proof(len(self.given) + 1))
        return self.given[-1]

    def replace(self, issuer: str, subject: str, spn: str) -> bool:
        """Note it."""
        self.dropped.append((issuer, subject, spn))
        return not self.young

    def forget(self, issuer: str, subject: str) -> None:
        """Note it."""
        self.forgotten.append((issuer, subject))


def asks(*tokens: bytes) -> Blocks:
    """The headers of an answer."""
    values = [b"Negotiate " + token if token else b"Negotiate" for token in tokens]
    return blocks_of([field(b"Content-Length", b"0"), *(field(b"WWW-Authenticate", each) for each in values)])


GOOD = b"Z29vZA=="


class KerberosTests(SynchronousTestCase):
    """The mode, one request after the other."""

    def setUp(self) -> None:
        self.now = 1000.0
        self.directory = ScriptedDirectory()
        self.tickets = ScriptedTickets()
        directory = cast(Directory, self.directory)
        self.accounts = Accounts(directory, ["Domain Admins"], lambda: self.now, lambda: self.now)
        self.kerberos = Kerberos(
            directory,
            self.tickets,
            cast(Trial, None),
            self.accounts,
            "connector$@CORP.EXAMPLE",
            ["HTTP/*.corp.example"],
        )

    def attempt(self, principal: Principal = ADA, repeatable: bool = True, **settings: Any) -> Attempt:
        """The sign-on of one request."""
        return self.mode(**settings).attempt(principal, repeatable)

    def mode(self, **settings: Any) -> KerberosMode:
        """The sign-on to one application."""
        spn = settings.pop("spn", "HTTP/wiki.corp.example")
        sso = KerberosSignOn(mode="kerberos", service_principal_name=spn, **settings)
        self.assertEqual(self.kerberos.refusal(sso, "wiki.corp.example"), "")
        return self.kerberos.sign_on(sso, "wiki.corp.example")

    def prepared(self, attempt: Attempt) -> list[bytes]:
        """Its headers, which have to be there now."""
        waiting = attempt.prepare()
        if waiting is not None:
            self.successResultOf(waiting)
        return [each.line for each in attempt.headers]

    def refused(self, attempt: Attempt) -> SignOnError:
        """Why it cannot be prepared."""
        try:
            waiting = attempt.prepare()
        except SignOnError as at_once:
            return at_once
        assert waiting is not None
        error = self.failureResultOf(waiting, SignOnError).value
        assert isinstance(error, SignOnError)
        return error

    # -- tokens

    def test_each_request_its_own(self) -> None:
        """Security row 45: every request has a token of its own, of this user's ticket to this service."""
        for number in (1, 2):
            line = b"Authorization: Negotiate token-%d" % number
            self.assertEqual(self.prepared(self.attempt()), [line])
        key, name, form = self.tickets.keys[0]
        self.assertEqual(key, ("https://idp.example", "1", account().sid, "HTTP/wiki.corp.example"))
        self.assertEqual((name, form), ("ada@CORP.EXAMPLE", TokenForm.spnego))

    def test_at_once_when_remembered(self) -> None:
        """Once the rules are known, a remembered account and ticket make nobody wait."""
        self.prepared(self.attempt())
        self.assertIsNone(self.attempt().prepare())
        self.assertEqual(self.directory.asked_for_groups, 1)

    def test_rules_are_looked_up_again(self) -> None:
        """Who is never signed on is asked again after a while."""
        self.prepared(self.attempt())
        self.now += NEVER_KEPT_SECONDS
        self.prepared(self.attempt())
        self.assertEqual(self.directory.asked_for_groups, 2)

    def test_rules_come_first(self) -> None:
        """
        Who is never signed on is asked before any account: a crowd's accounts would stand before it, and all
        of the crowd wait for the last of them.
        """
        asked: list[Deferred[frozenset[str]]] = []

        def never() -> Deferred[frozenset[str]]:
            asked.append(Deferred())
            return asked[-1]

        self.directory.never = never
        waiting = self.attempt().prepare()
        assert waiting is not None
        self.assertEqual(self.directory.order[:2], ["groups", "account"])
        self.assertNoResult(waiting)
        for each in asked:
            each.callback(frozenset())
        self.successResultOf(waiting)

    def test_rules_end_meanwhile(self) -> None:
        """
        Security row 44: rules that end while an account is looked up are asked for once more; if nobody can
        tell them then, the user is not signed on.
        """
        self.prepared(self.attempt())
        finding: Deferred[Account] = Deferred()
        self.directory.account = finding
        waiting = self.attempt().prepare()
        assert waiting is not None
        self.directory.never = lambda: fail(DirectoryError("directory_timeout", "silent"))
        self.now += NEVER_KEPT_SECONDS
        finding.callback(account())
        self.failureResultOf(waiting, SignOnError)

    def test_waits(self) -> None:
        """An account and a ticket that are not there yet are waited for, in this order."""
        finding: Deferred[Account] = Deferred()
        self.directory.account = finding
        later = self.tickets.later = Deferred()
        attempt = self.attempt()
        waiting = attempt.prepare()
        assert waiting is not None
        self.assertEqual(self.tickets.keys, [])
        finding.callback(account())
        self.assertEqual(len(self.tickets.keys), 1)
        self.assertNoResult(waiting)
        later.callback(Proof(7))
        self.successResultOf(waiting)
        self.assertEqual(attempt.headers[0].value, b"Negotiate token-7")

    def test_wildcard(self) -> None:
        """A star of the service's name is the leftmost label of the application's own host."""
        self.prepared(self.attempt(spn="HTTP/*.corp.example"))
        self.assertEqual(self.tickets.keys[0][0].spn, "HTTP/wiki.corp.example")

    def test_bare(self) -> None:
        """The form is the application's."""
        self.prepared(self.attempt(token="kerberos"))
        self.assertEqual(self.tickets.keys[0][2], TokenForm.kerberos)

    def test_nobody(self) -> None:
        """Who has not signed in is nobody's ticket."""
        sso = KerberosSignOn(mode="kerberos", service_principal_name="HTTP/wiki.corp.example")
        mode = self.kerberos.sign_on(sso, "wiki.corp.example")
        self.assertRaises(SignOnError, mode.attempt, None, True)
        self.assertRaises(SignOnError, mode.headers, ADA)

    def test_forget(self) -> None:
        """The end of a session drops the user's tickets."""
        self.kerberos.forget(ADA)
        self.assertEqual(self.tickets.forgotten, [("https://idp.example", "1")])

    # -- who and where

    def test_services_not_allowed(self) -> None:
        """Security row 45: a service that the connector's own file does not cover is refused."""
        for spn, host in (
            ("HTTP/other.example", "wiki.corp.example"),
            ("HTTP/a.b.corp.example", "wiki.corp.example"),
            ("HTTP/*.corp.example", "wiki.other.example"),
            ("HTTP/*.corp.example", "10.0.0.1"),
        ):
            sso = KerberosSignOn(mode="kerberos", service_principal_name=spn)
            self.assertNotEqual(self.kerberos.refusal(sso, host), "", spn)

    def test_names_that_steer(self) -> None:
        """Security row 17. Security row 45: names that could be read as another are not even looked up."""
        for upn in (
            "",
            "ada",
            "a@b@c",
            "ada/admin@corp.example",
            "a\\b@corp.example",
            "a da@corp.example",
            "\u212aa@b",
        ):
            error = self.refused(self.attempt(Principal("i", "s", "0", user_principal_name=upn)))
            self.assertEqual((error.reason, error.cause), ("sso_user", "name_refused"), upn)
        self.assertEqual(self.directory.asked, [])

    def test_guards(self) -> None:
        """Security row 45: who may not be delegated gets no ticket, and the reason is named."""
        for changes, cause in (
            ({"control": AccountControl.NOT_DELEGATED}, "user_sensitive"),
            ({"groups": frozenset({PROTECTED_USERS})}, "user_protected"),
            ({"groups": frozenset({ADMINS})}, "never_impersonated"),
            ({"sid": ADMINS}, "never_impersonated"),
            ({"control": AccountControl.ACCOUNTDISABLE}, "user_disabled"),
            ({"account_expires": 999.0}, "account_expired"),
            ({"user_principal_name": "\u00e0da@corp.example"}, "user_ambiguous"),
        ):
            self.directory.account = account(**changes)
            error = self.refused(self.attempt())
            self.assertEqual((error.reason, error.cause), ("sso_user", cause))
            self.assertTrue(str(error).startswith(cause), error)
        self.assertEqual(self.tickets.keys, [])

    def test_rules_unknown(self) -> None:
        """Security row 44: while it cannot be told who is never signed on, nobody is."""
        self.directory.never = lambda: fail(DirectoryError("group_unknown", "no group 'Domian Admins'"))
        error = self.refused(self.attempt())
        self.assertEqual((error.reason, error.cause), ("sso_unavailable", "group_unknown"))
        self.assertEqual(self.tickets.keys, [])

    def test_all_unknown(self) -> None:
        """Where neither the rules nor the account can be told, one reason is given and none left over."""
        self.directory.never = lambda: fail(DirectoryError("directory_timeout", "x"))
        self.directory.account = fail(DirectoryError("user_unknown", "y"))
        self.assertEqual(self.refused(self.attempt()).cause, "user_unknown")

    def test_directory_fails(self) -> None:
        """A look-up that fails says why."""
        for reason, told in (
            ("directory_timeout", "sso_timeout"),
            ("directory_unreachable", "sso_unavailable"),
            ("user_unknown", "sso_user"),
        ):
            self.directory.account = fail(DirectoryError(cast(Any, reason), "x"))
            error = self.refused(self.attempt())
            self.assertEqual((error.reason, error.cause), (told, reason))

    def test_ticket_fails(self) -> None:
        """So does a ticket."""
        self.tickets.failure = KerberosError(Stage.own_ticket, Cause.keytab_stale, "kvno")
        error = self.refused(self.attempt())
        self.assertEqual((error.reason, error.cause), ("sso_unavailable", "keytab_stale"))
        self.assertIn("kvno", str(error))

    def test_forgotten_meanwhile(self) -> None:
        """Another session's end takes the ticket under way with it: no bug, and trying again helps."""
        later = self.tickets.later = Deferred()
        waiting = self.attempt().prepare()
        assert waiting is not None
        later.errback(CancelledError())
        error = self.failureResultOf(waiting, SignOnError).value
        assert isinstance(error, SignOnError)
        self.assertEqual((error.reason, error.cause), ("sso_unavailable", "forgotten"))

    def test_strange_account_name(self) -> None:
        """Security row 45: an account whose name Kerberos would read as another is refused."""
        self.directory.account = account(sam_account_name="ada@EVIL")
        error = self.refused(self.attempt())
        self.assertEqual((error.reason, error.cause), ("sso_user", "name_refused"))
        self.assertRaises(SignOnError, kerberos_name, account(sam_account_name="ada@EVIL"))

    # -- answers

    def test_proof(self) -> None:
        """A proof that the application offers is checked; a wrong one keeps its answer from the user."""
        attempt = self.attempt()
        self.prepared(attempt)
        self.assertFalse(attempt.answered(200, asks(GOOD)))
        attempt = self.attempt()
        self.prepared(attempt)
        error = self.assertRaises(SignOnError, attempt.answered, 200, asks(b"YmFk"))
        self.assertEqual((error.reason, error.cause), ("sso_failed", "wrong_key"))

    def test_proved(self) -> None:
        """Whether the application proved itself is known, unless nobody looks for that."""
        for answer, expected, mutual in (
            (asks(GOOD), True, "offered"),
            (asks(), False, "offered"),
            (asks(GOOD), None, "off"),
        ):
            attempt = self.attempt(mutual_authentication=mutual)
            self.prepared(attempt)
            attempt.answered(200, answer)
            self.assertEqual(attempt.proved(), expected)

    def test_advice(self) -> None:
        """Of a failure of Kerberos's, an administrator is told what to do, with the names to do it with."""
        mode = self.mode()
        attempt = mode.attempt(ADA, True)
        self.prepared(attempt)
        error = self.assertRaises(SignOnError, attempt.answered, 200, asks(b"YmFk"))
        self.assertIn("HTTP/wiki.corp.example", mode.advise(error))
        self.assertIn("directory.base", mode.advise(SignOnError("no account", "sso_user", "user_unknown")))
        self.assertEqual(mode.advise(SignOnError("nobody")), "")

    def test_malformed_proof(self) -> None:
        """What is no token at all is a wrong proof."""
        attempt = self.attempt()
        self.prepared(attempt)
        self.assertRaises(SignOnError, attempt.answered, 200, asks(b"!!"))

    def test_no_proof(self) -> None:
        """An answer without proof passes, unless it is required; switched off, nothing is looked at."""
        attempt = self.attempt()
        self.prepared(attempt)
        self.assertFalse(attempt.answered(200, asks()))
        for status in (200, 302, 101):
            attempt = self.attempt(mutual_authentication="required")
            self.prepared(attempt)
            self.assertRaises(SignOnError, attempt.answered, status, asks())
        attempt = self.attempt(mutual_authentication="off")
        self.prepared(attempt)
        self.assertFalse(attempt.answered(200, asks(b"YmFk")))

    def test_when_asked(self) -> None:
        """After a 401 that asks for it the request goes again with a token; other 401s pass."""
        attempt = self.attempt(send="after_401")
        self.assertEqual(self.prepared(attempt), [])
        self.assertTrue(attempt.answered(401, asks(b"")))
        self.assertEqual(self.prepared(attempt), [b"Authorization: Negotiate token-1"])
        self.assertFalse(attempt.answered(200, asks(GOOD)))
        attempt = self.attempt(send="after_401")
        self.prepared(attempt)
        self.assertFalse(attempt.answered(401, blocks_of([field(b"WWW-Authenticate", b"Basic realm=x")])))

    def test_when_asked_with_a_body(self) -> None:
        """What has a body cannot be asked for it first."""
        attempt = self.attempt(send="after_401", repeatable=False)
        self.assertEqual(self.prepared(attempt), [b"Authorization: Negotiate token-1"])
        self.assertFalse(attempt.answered(401, asks(b"")))

    def test_refused_ticket(self) -> None:
        """A ticket that the application does not take is replaced once; the second answer is the user's."""
        attempt = self.attempt()
        self.prepared(attempt)
        self.assertTrue(attempt.answered(401, asks(b"")))
        self.assertEqual(self.tickets.dropped, [("https://idp.example", "1", "HTTP/wiki.corp.example")])
        self.assertEqual(self.prepared(attempt), [b"Authorization: Negotiate token-2"])
        self.assertFalse(attempt.answered(401, asks(b"")))
        self.assertEqual(len(self.tickets.dropped), 1)

    def test_refused_young_ticket(self) -> None:
        """A new ticket is not replaced: who is let in nowhere would keep the KDC busy."""
        self.tickets.young = True
        attempt = self.attempt()
        self.prepared(attempt)
        self.assertFalse(attempt.answered(401, asks(b"")))

    def test_refused_with_a_reason(self) -> None:
        """An application that says what it has against the ticket is quoted by cause."""
        attempt = self.attempt()
        self.prepared(attempt)
        attempt.answered(401, asks(b"YmFk"))
        self.prepared(attempt)
        error = self.assertRaises(SignOnError, attempt.answered, 401, asks(b"YmFk"))
        self.assertEqual(error.cause, "wrong_key")

    def test_own_401(self) -> None:
        """A 401 that does not speak of Negotiate is the application's own."""
        attempt = self.attempt()
        self.prepared(attempt)
        self.assertFalse(attempt.answered(401, asks()))

    def test_passed(self) -> None:
        """No challenge reaches a browser: nothing that it could send would reach the application."""
        attempt = self.attempt()
        kept = fields_of(attempt.passed(asks(GOOD, b"")))
        self.assertEqual([each.name for each in kept], [b"Content-Length"])

    def test_passed_as_known(self) -> None:
        """Headers that stand apart from a challenge pass as the blocks that they came in."""
        others = blocks_of([field(b"Content-Length", b"0")]) + blocks_of([field(b"Server", b"x")])
        challenge = blocks_of([field(b"WWW-Authenticate", b"Negotiate " + GOOD)])
        for headers in (others, [others[0], *challenge, others[1]]):
            passed = self.attempt().passed(headers)
            self.assertEqual([id(each) for each in passed], [id(each) for each in others])


class ReasonTests(SynchronousTestCase):
    """What is made of errors."""

    def test_all(self) -> None:
        """Every failure of Kerberos has a reason that pages know, and its cause stands first in the text."""
        for stage in Stage:
            for cause in Cause:
                error = of_kerberos(KerberosError(stage, cause))
                self.assertIn(error.reason, SIGN_ON_REASONS)
                self.assertTrue(str(error).startswith(f"{cause.value}: "))

    def test_whose(self) -> None:
        """A user is told that it is their account only where it is."""
        for stage, cause, reason in (
            (Stage.s4u2self, Cause.account_unknown, "sso_user"),
            (Stage.own_ticket, Cause.account_unknown, "sso_unavailable"),
            (Stage.s4u2proxy, Cause.password_expired, "sso_user"),
            (Stage.own_ticket, Cause.password_expired, "sso_unavailable"),
            (Stage.s4u2proxy, Cause.spn_not_listed, "sso_not_delegated"),
            (Stage.s4u2self, Cause.kdc_timeout, "sso_timeout"),
            (Stage.own_ticket, Cause.kdc_timeout, "sso_timeout"),
            (Stage.s4u2self, Cause.kdc_unreachable, "sso_unavailable"),
            (Stage.mutual, Cause.clock_skew, "sso_failed"),
        ):
            self.assertEqual(of_kerberos(KerberosError(stage, cause)).reason, reason, (stage, cause))

    def test_directory(self) -> None:
        """The directory's reasons are causes."""
        error = of_directory(DirectoryError("user_unknown", "no such user"))
        self.assertEqual(
            (error.reason, error.cause, str(error)),
            ("sso_user", "user_unknown", "user_unknown: no such user"),
        )

    def test_nobody_refused(self) -> None:
        """An ordinary account is not refused."""
        self.assertIsNone(refusal(ASKED, account(), frozenset({ADMINS}), 1000.0))
        self.assertIsNone(
            refusal(ASKED, account(user_principal_name="Ada@Corp.Example"), frozenset(), 1000.0)
        )
