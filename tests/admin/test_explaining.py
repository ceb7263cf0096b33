"""Tests of L{appproxy.admin.explaining} and L{appproxy.admin.asked_user}."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from appproxy.admin import explaining
from appproxy.admin.asked_user import ISSUER, live_principal
from appproxy.admin.errors import AdminError
from appproxy.admin.explaining import ExplainRequest, Explanations
from appproxy.admin.questions import ExplainOutcome
from appproxy.catalog.documents import encode, key_of
from appproxy.model.principal import Principal
from appproxy.model.sign_on import KerberosSignOn
from appproxy.session.record import SessionRecord, Tokens, encode_record, session_key
from appproxy.store.istore import Put
from appproxy.store.keys import SESSIONS
from tests.admin.support import ADA, SEALER, EdgeTestCase, step
from tests.catalog.examples import read

UPN = "bob@example.com"
BOB = Principal(
    "https://idp.example",
    "17",
    "0123456789abcdef" * 2,
    user_principal_name=UPN,
    mail="bob@mail.example",
    groups=frozenset({"HR"}),
    on_premises_sam_account_name="bsmith",
)


class ExplainingTests(EdgeTestCase):
    """A sign-on through each connector of the application's group."""

    def setUp(self) -> None:
        """Two connectors, and an application that knows users by their SAM account names."""
        super().setUp()
        around, self.asked = self.edge.around, self.edge.connectors_asked
        self.explanations = Explanations(
            around.feed,
            around.connectors,
            self.asked,
            lambda user: live_principal(self.store, SEALER, user, self.clock.seconds()),
        )
        self.publish("intranet", "on_premises_sam_account_name")
        for id_, name, group in (("c1", "dublin", "hq"), ("c2", "cork", "hq"), ("c3", "oslo", "lab")):
            self.result(self.edge.enrol(id_, name, group))

    def publish(self, name: str, login_identity: Any = "") -> None:
        """Put an application of the group hq into the store; with Kerberos if it knows users by a name."""
        application = read().applications["wiki"]
        if login_identity:
            spn = "HTTP/intranet.corp.example"
            sso = KerberosSignOn(mode="kerberos", service_principal_name=spn, login_identity=login_identity)
            application = application.model_copy(update={"sso": sso})
        puts = [Put(key_of("connector_group", "hq"), encode(read().groups["hq"]))]
        puts.append(Put(key_of("application", name), encode(application)))
        self.successResultOf(self.store.transact(puts=puts))

    def sign_in(self, principal: Principal, created: float = 0.0, lasts: float = 3600.0) -> None:
        """A session of this user's in the store."""
        began = self.clock.seconds() + created
        record = SessionRecord(principal, Tokens("", ""), began, began + lasts, 1)
        value = encode_record(record, SEALER)
        self.successResultOf(self.store.transact(puts=[Put(session_key(principal.session_id), value)]))

    def request(self, user: str = UPN, application: str = "intranet", **more: Any) -> ExplainRequest:
        """What an administrator asks."""
        return ExplainRequest(user=user, application=application, **more)

    def explain(self, *arguments: Any, **more: Any) -> Any:
        """What is told."""
        return self.result(self.explanations.kerberos(self.request(*arguments, **more), ADA))

    def refused(self, *arguments: Any, **more: Any) -> AdminError:
        """Why it is not tried."""
        asking = Deferred.fromCoroutine(self.explanations.kerberos(self.request(*arguments, **more), ADA))
        error = self.failureResultOf(asking, AdminError).value
        assert isinstance(error, AdminError)
        return error

    def sent(self) -> Principal:
        """The user that the connectors were told of last."""
        principal: Principal = self.asked.explained[-1][3]
        return principal

    # -- connectors

    def test_each(self) -> None:
        """Each connector of the group is asked, at the catalog's revision, and its steps are told."""
        told = self.explain()
        self.assertEqual([row["name"] for row in told["connectors"]], ["cork", "dublin"])
        revision = self.edge.feed.current.revision
        self.assertEqual(
            [each[:3] for each in self.asked.explained], [(id_, "intranet", revision) for id_ in ("c2", "c1")]
        )
        self.assertEqual(told["connectors"][0]["steps"], [step("the clock")])
        self.assertEqual((told["failed"], told["connector_group"]), (0, "hq"))

    def test_one(self) -> None:
        """One is asked by its name or id; one of another group is not."""
        for name in ("dublin", "c1"):
            self.assertEqual([row["connector"] for row in self.explain(connector=name)["connectors"]], ["c1"])
        error = self.refused(connector="oslo")
        self.assertEqual(error.code, "not_found")
        self.assertIn("of the group hq", error.message)
        self.assertEqual(len(self.asked.explained), 2)

    def test_too_many(self) -> None:
        """Of a large group one has to be named: all of them would ask the KDC at once."""
        self.patch(explaining, "MAXIMUM_ASKED", 1)
        self.assertEqual(self.refused().code, "bad_request")
        self.explain(connector="cork")

    def test_none(self) -> None:
        """A group without a connector is told as a failure."""
        for id_ in ("c1", "c2"):
            self.result(self.edge.enrol(id_, id_, "lab"))
        told = self.explain()
        self.assertEqual((told["failed"], told["connectors"][0]["reason"]), (1, "no_connector"))

    def test_failures(self) -> None:
        """A step that failed is a failure, and so is a connector that cannot be asked; it has advice, too."""
        steps = [step("the clock"), step("the keytab", "failed", "keytab_stale", advice="Write it.")]
        self.asked.explanations["c1"] = ExplainOutcome("x", steps)
        self.asked.explanations["c2"] = ExplainOutcome("x", reason="no_questions", detail="1.0")
        told = self.explain()
        self.assertEqual(told["failed"], 2)
        cork, dublin = told["connectors"]
        self.assertEqual(dublin["steps"], steps)
        self.assertIn("older version", cork["advice"])

    def test_wrong_application(self) -> None:
        """What has another sign-on, or is not there, is refused without asking anybody."""
        self.publish("wiki")
        self.assertEqual(self.refused(application="intranett").code, "not_found")
        error = self.refused(application="wiki")
        self.assertEqual(error.code, "refused")
        self.assertIn('"headers"', error.message)
        self.assertEqual(self.asked.explained, [])

    # -- the user

    def test_session(self) -> None:
        """Who is signed in has the claims of the newest session; of those the application's are sent."""
        self.sign_in(BOB)
        newer = replace(BOB, session_id="f" * 32, on_premises_sam_account_name="bob")
        self.sign_in(newer, created=10.0)
        self.sign_in(
            replace(BOB, session_id="e" * 32, user_principal_name="eve@example.com", mail=""), created=20.0
        )
        for user in (UPN, " BOB@Example.com"):
            told = self.explain(user)
            expected = {"on_premises_sam_account_name": "bob", "user_principal_name": UPN}
            self.assertEqual((told["claims"], told["signed_in"], told["missing"]), (expected, True, []))
            self.assertEqual(
                self.sent(),
                Principal(ISSUER, "", "", user_principal_name=UPN, on_premises_sam_account_name="bob"),
            )

    def test_no_session(self) -> None:
        """Neither an expired session nor one that has ended is one."""
        self.sign_in(BOB, created=-7200.0)
        tombstone = Put(SESSIONS + "d" * 32, b"{}")
        self.successResultOf(self.store.transact(puts=[tombstone]))
        told = self.explain()
        self.assertFalse(told["signed_in"])
        self.assertEqual(told["missing"], ["on_premises_sam_account_name"])

    def test_given(self) -> None:
        """Names that are given take the place of a session's; of those, too, the application's are sent."""
        self.sign_in(BOB)
        told = self.explain(on_premises_sam_account_name="robert", on_premises_sid="S-1-5-21-1")
        self.assertEqual(
            (told["signed_in"], told["unused"], told["missing"]), (False, ["on_premises_sid"], [])
        )
        self.assertEqual(
            self.sent(),
            Principal(ISSUER, "", "", user_principal_name=UPN, on_premises_sam_account_name="robert"),
        )

    # -- the log

    def test_log(self) -> None:
        """Who asked about whom is audited, before anybody is asked; what came of it is logged."""
        self.asked.explanations["c1"] = ExplainOutcome("x", [step("the keytab", "failed", "keytab_stale")])
        with capturedLogs() as events:
            self.explain()
        audits = [event for event in events if event.get("event") == "audit"]
        (audited,) = audits
        self.assertEqual((audited["actor"], audited["action"]), ("ada", "explain"))
        self.assertEqual((audited["object"], audited["user"]), ("applications/intranet", UPN))
        lines = [event for event in events if event.get("event") == "explain"]
        self.assertEqual([line["outcome"] for line in lines], ["ok", "keytab_stale"])
        self.assertEqual({line["actor"] for line in lines}, {"ada"})
        self.assertLess(events.index(audited), events.index(lines[0]))
