"""L{appproxy.directory} against a real Active Directory."""

from __future__ import annotations

import base64
import importlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from appproxy.demo.ports import free_port
from appproxy.directory.account import Account
from appproxy.directory.client import REFUSED_SECONDS, Call, Client
from appproxy.directory.credential_cache import CredentialCache
from appproxy.directory.directory import Directory, open_directory
from appproxy.directory.errors import DirectoryError
from appproxy.directory.filters import Identity, IdentityKind, name_filter
from appproxy.directory.settings import DirectoryClientSettings, ServerAddress
from appproxy.directory.values import EncryptionTypes
from tests.integration.support.active_directory.accounts import (
    BASE,
    DELEGATES_TO,
    DOMAIN,
    INTRANET,
    OTHER_SUFFIX,
    PASSWORD,
    REALM,
    RESOURCE_BASED,
    SHARED_CONSISTENCY_GUID,
    UNKNOWN,
    Wanted,
    user,
)
from tests.integration.support.active_directory.controller import (
    KERBEROS_PORT,
    LDAPS_PORT,
    DomainController,
    active_directory,
    need_active_directory,
    need_gssapi,
    use_krb5_config,
)
from tests.integration.support.certificates import TestAuthority

TRICKS: Final = (
    *("*", "a*", "alice)(objectClass=*", "*)(sAMAccountName=alice", "\0", "alice\0", "ali\\63e", "alice\\"),
    *("CORP\\alice", "alice@CORP.EXAMPLE.TEST@x", "alice/admin", "", " ", "alice ", "\ud800", "x" * 5000),
)


def sam(name: str) -> Identity:
    """A user by SAM name."""
    return Identity(IdentityKind.SAM_ACCOUNT_NAME, name)


def upn(name: str) -> Identity:
    """A user by user principal name."""
    return Identity(IdentityKind.USER_PRINCIPAL_NAME, name)


class DirectoryCase(TestCase):
    """Makes directories of the run's domain."""

    timeout = 300

    def setUp(self) -> None:
        """Nothing is opened yet."""
        need_active_directory()
        need_gssapi()
        self.domain: DomainController = active_directory()
        use_krb5_config(self, self.domain.krb5_config)

    def settings(self, *urls: str, **changes: Any) -> DirectoryClientSettings:
        """With a keytab, at the domain itself unless told otherwise."""
        made = DirectoryClientSettings(
            servers=tuple(map(ServerAddress.parse, urls or (self.domain.ldaps_url,))),
            base=BASE,
            bind="keytab",
            principal=f"connector$@{REALM}",
            keytab=self.domain.keytab("connector"),
            ca_file=self.domain.ca_file,
            deadline_seconds=30.0,
        )
        return replace(made, **changes)

    def simple(self, *urls: str, **changes: Any) -> DirectoryClientSettings:
        """With a password."""
        login = {"user": f"svc-ldap@{DOMAIN}", "password": PASSWORD, **changes}
        return self.settings(*urls, bind="simple", **login)

    def open(
        self,
        settings: DirectoryClientSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> Directory:
        """Closed after the test."""
        directory = open_directory(settings or self.settings(), reactor, clock)
        self.addCleanup(directory.close)
        return directory

    async def error_of(self, waiting: Account | Deferred[Any]) -> DirectoryError:
        """Why something failed."""
        assert isinstance(waiting, Deferred)
        return await self.assertFailure(waiting, DirectoryError)

    async def find(self, directory: Directory, identity: Identity, *, fresh: bool = False) -> Account:
        """Whether it is remembered or not."""
        found = directory.find(identity, fresh=fresh)
        return found if isinstance(found, Account) else await found

    def find_all(self, directory: Directory, names: Sequence[str]) -> Deferred[list[Account]]:
        """Users by their SAM names, all at once."""
        return gatherResults([Deferred.fromCoroutine(self.find(directory, sam(name))) for name in names])


class LookUpTests(DirectoryCase):
    """What is found, and what is not."""

    async def test_by_every_name(self) -> None:
        """A user is the same one by every name that leads to them, whatever its case."""
        directory = self.open()
        bob = await self.find(directory, sam("bsmith"))
        self.assertEqual((bob.user_principal_name, bob.realm), (f"bob.smith@{OTHER_SUFFIX}", REALM))
        for identity in (
            sam("BSmith"),
            upn(f"bob.smith@{OTHER_SUFFIX}"),
            upn(f"Bob.Smith@{OTHER_SUFFIX.upper()}"),
            Identity(IdentityKind.SID, bob.sid),
        ):
            self.assertEqual(await self.find(directory, identity), bob)

    async def test_immutable_id(self) -> None:
        """An account is found by its objectGUID, or by what stands in its place, in base64."""
        guid = bytes(range(16))
        name = user("moved", consistency_guid=b"moved to us, ok.")
        self.domain.change(Wanted([name]))
        directory = self.open()
        identity = Identity(IdentityKind.IMMUTABLE_ID, base64.b64encode(b"moved to us, ok.").decode())
        self.assertEqual((await self.find(directory, identity)).sam_account_name, "moved")
        client = Client(self.simple(), time.monotonic)
        self.addCleanup(client.close)
        call = Call(time.monotonic() + 30)
        (entry,) = client.search(call, BASE, name_filter("alice"), "SUBTREE", ["objectGUID"])
        own = base64.b64encode(entry.one("objectGUID")).decode()
        alice = await self.find(directory, Identity(IdentityKind.IMMUTABLE_ID, own))
        self.assertEqual(alice.sam_account_name, "alice")
        nobody = Identity(IdentityKind.IMMUTABLE_ID, base64.b64encode(guid).decode())
        self.assertEqual((await self.error_of(directory.find(nobody))).reason, "user_unknown")

    async def test_ambiguous(self) -> None:
        """Two accounts with the same name are nobody; both are named."""
        both = Identity(IdentityKind.IMMUTABLE_ID, base64.b64encode(SHARED_CONSISTENCY_GUID).decode())
        error = await self.error_of(self.open().find(both))
        self.assertEqual(error.reason, "user_ambiguous")
        for name in ("twin1", "twin2"):
            self.assertIn(f"CN={name},", error.detail)

    async def test_tricks(self) -> None:
        """A name is never more than a name: what looks like a filter, a pattern or a path finds nobody."""
        directory = self.open()
        for name in TRICKS:
            for identity in (sam(name), upn(name), upn(f"{name}@{DOMAIN}")):
                error = await self.error_of(directory.find(identity))
                self.assertEqual(error.reason, "user_unknown", repr(identity))

    async def test_odd_names(self) -> None:
        """Whoever really has such a name is found by it, and nobody else is."""
        directory = self.open()
        for identity, name in (
            (sam("par)(en"), "par)(en"),
            (upn(f"*)(sAMAccountName=*@{OTHER_SUFFIX}"), "par)(en"),
            (upn(f"eve/admin@{OTHER_SUFFIX}"), "eve@admin"),
        ):
            self.assertEqual((await self.find(directory, identity)).sam_account_name, name)

    async def test_no_computers(self) -> None:
        """A computer or a group is no user."""
        directory = self.open()
        for name in ("connector$", "Domain Admins"):
            self.assertEqual((await self.error_of(directory.find(sam(name)))).reason, "user_unknown")

    async def test_states(self) -> None:
        """Everything that speaks against a delegation is seen, and nothing else."""
        directory = self.open()
        now = time.time()
        seen = {}
        for name in ("alice", "sensitive", "protected", "disabled", "mustchange", "expired"):
            account = await self.find(directory, sam(name))
            states = {
                "sensitive": account.sensitive,
                "protected": account.protected,
                "disabled": account.disabled,
                "mustchange": account.must_change_password and account.password_expired,
                "expired": account.expired_at(now),
            }
            seen[name] = [state for state, holds in states.items() if holds]
        self.assertEqual(seen, {"alice": [], **{name: [name] for name in list(seen)[1:]}})

    async def test_nested_groups(self) -> None:
        """Groups of groups count, and a rule may name groups and accounts by any of their names."""
        directory = self.open()
        administrators, staff = [
            await directory.group_sids([name]) for name in ("Domain Admins", f"CN=All-Staff,CN=Users,{BASE}")
        ]
        for name, expected in (("deputy", True), ("boss", True), ("alice", False)):
            account = await self.find(directory, sam(name))
            self.assertEqual(bool(account.sids & administrators), expected, name)
        for name in ("alice", "bsmith", "carol"):
            self.assertTrue((await self.find(directory, sam(name))).sids & staff, name)
        carol = await self.find(directory, sam("carol"))
        self.assertEqual(await directory.group_sids(["carol", carol.sid]), {carol.sid})

    async def test_unknown_groups(self) -> None:
        """A rule that could never hold is an error, which names all of its mistakes."""
        self.domain.change(Wanted(distribution_groups=["Newsletter"]))
        names = ["Domain Admins", "No such", f"CN=None,{BASE}", "*", "Newsletter"]
        error = await self.error_of(self.open().group_sids(names))
        self.assertEqual(error.reason, "group_unknown")
        for name in names[1:]:
            self.assertIn(repr(name), error.detail)
        self.assertIn("'Newsletter' is a distribution group", error.detail)

    async def test_services(self) -> None:
        """Of services and of the connector itself all is known that tells refusals of a KDC apart."""
        directory = self.open()
        own = await directory.own_account(f"connector$@{REALM}")
        self.assertEqual(set(own.delegates_to), set(DELEGATES_TO))
        self.assertTrue(own.uses_any_protocol and own.delegates(INTRANET.lower()))
        self.assertEqual(own.encryption_types, EncryptionTypes.AES128 | EncryptionTypes.AES256)
        self.assertFalse((await directory.own_account(f"connkrbonly$@{REALM}")).uses_any_protocol)
        self.assertEqual((await directory.own_account(f"connplain$@{REALM}")).delegates_to, ())
        intranet = await directory.account_of_spn(INTRANET.upper())
        resource_based = await directory.account_of_spn(RESOURCE_BASED)
        assert intranet is not None and resource_based is not None
        self.assertEqual(intranet.sam_account_name, "svc-intranet")
        self.assertTrue(resource_based.has_allowed_to_act and not intranet.has_allowed_to_act)
        self.assertIsNone(await directory.account_of_spn(UNKNOWN))

    async def test_host_names(self) -> None:
        """A service of a computer that has only its HOST/ name is found, as the KDC finds it."""
        found = await self.open().account_of_spn(f"HTTP/connector.{DOMAIN}")
        assert found is not None
        self.assertEqual(found.sam_account_name, "connector$")

    async def test_many_at_once(self) -> None:
        """Fifty look-ups at once all come back, each with its own user; so do fifty for the same one."""
        names = self.domain.add_crowd(50)
        directory = self.open()
        found = await self.find_all(directory, names)
        self.assertEqual([each.sam_account_name for each in found], names)
        same = await self.find_all(directory, ["alice"] * 50)
        self.assertEqual(len({id(each) for each in same}), 1)

    async def test_memory(self) -> None:
        """An unknown user is remembered as such until somebody wants to know it now."""
        directory = self.open()
        name = f"new{os.getpid()}"
        self.assertEqual((await self.error_of(directory.find(sam(name)))).reason, "user_unknown")
        self.domain.change(Wanted([user(name)]))
        self.assertEqual((await self.error_of(directory.find(sam(name)))).reason, "user_unknown")
        account = await self.find(directory, sam(name), fresh=True)
        self.assertIs(directory.find(sam(name)), account)


class BindTests(DirectoryCase):
    """How a connection is made, and how it is not."""

    async def test_binds(self) -> None:
        """By keytab and by password, with TLS from the start and with StartTLS."""
        for url in (self.domain.ldaps_url, self.domain.ldap_url):
            for settings in (self.settings(url), self.simple(url)):
                account = await self.find(self.open(settings), sam("alice"))
                self.assertEqual(account.sam_account_name, "alice")

    async def refusal(self, settings: DirectoryClientSettings) -> DirectoryError:
        """Why a connection cannot be made; never with the password in it."""
        error = await self.error_of(self.open(settings).find(sam("alice")))
        self.assertNotIn(settings.password or PASSWORD, str(error))
        return error

    async def test_certificates(self) -> None:
        """A stranger's authority, another host's name and an expired certificate are refused."""
        stranger = TestAuthority(self.domain.folder / "stranger")
        relay = self.domain.relay(LDAPS_PORT)
        self.addCleanup(relay.stop)
        for url in (self.domain.ldaps_url, self.domain.ldap_url):
            error = await self.refusal(self.simple(url, ca_file=stranger.ca_file))
            self.assertEqual(error.reason, "directory_tls")
            self.assertIn("unable to get local issuer certificate", error.detail)
        error = await self.refusal(self.simple(f"ldaps://localhost:{relay.port}"))
        self.assertEqual(error.reason, "directory_tls")
        self.assertIn("not valid for 'localhost'", error.detail)
        expired = self.domain.authority.issue(
            self.domain.address, to=self.domain.folder / "old.pem", until=datetime(2020, 1, 1, tzinfo=UTC)
        )
        self.addCleanup(self.domain.restart)
        self.domain.restart(expired)
        for url in (self.domain.ldaps_url, self.domain.ldap_url):
            error = await self.refusal(self.simple(url))
            self.assertEqual(error.reason, "directory_tls")
            self.assertIn("certificate has expired", error.detail)

    async def test_no_tls(self) -> None:
        """Where StartTLS is refused there is no bind: no password is sent in the clear."""
        self.addCleanup(self.domain.restart)
        self.domain.restart(tls=False)
        error = await self.refusal(self.simple(self.domain.ldap_url))
        self.assertEqual(error.reason, "directory_tls", error.detail)
        self.assertIn("no TLS", error.detail)

    async def test_system_authorities(self) -> None:
        """Without a file of authorities the system's count, which do not know this one."""
        error = await self.refusal(self.simple(ca_file=None))
        self.assertEqual(error.reason, "directory_tls")

    async def test_no_authorities(self) -> None:
        """A file of authorities that is missing or none is named."""
        for path in (self.domain.folder / "nowhere.pem", self.domain.krb5_config):
            error = await self.refusal(self.simple(ca_file=path))
            self.assertEqual(error.reason, "directory_tls")
            self.assertIn(str(path), error.detail)

    async def test_passwords(self) -> None:
        """What is wrong with the account of a simple bind is told."""
        for settings, text in (
            (self.simple(password="Wr0ng-passw0rd!"), "the password is wrong"),
            (self.simple(user=f"disabled@{DOMAIN}"), "disabled"),
            (self.simple(user=f"expired@{DOMAIN}"), "expired"),
            (self.simple(user=f"mustchange@{DOMAIN}"), "must change its password"),
        ):
            error = await self.refusal(settings)
            self.assertEqual(error.reason, "directory_refused")
            self.assertIn(text, error.detail)

    async def test_keytabs(self) -> None:
        """So is what is wrong with a keytab."""
        for settings, text in (
            (self.settings(keytab=self.domain.folder / "nowhere.keytab"), "Kerberos: "),
            (
                self.settings(principal=f"connstale$@{REALM}", keytab=self.domain.keytab("connstale")),
                "Preauthentication failed",
            ),
            (self.settings(principal=f"nobody$@{REALM}"), "Kerberos: "),
        ):
            error = await self.refusal(settings)
            self.assertEqual(error.reason, "directory_refused")
            self.assertIn(text, error.detail)

    async def test_refused_once(self) -> None:
        """
        A wrong password is tried once for many look-ups, so that it does not lock the account; later it is
        tried again, and at once for whoever asks for a fresh answer.
        """
        before = self.wrong_passwords()
        now = [time.monotonic()]
        directory = self.open(self.simple(password="Wr0ng-passw0rd!"), lambda: now[0])
        for _ in range(5):
            self.assertEqual((await self.error_of(directory.find(sam("alice")))).reason, "directory_refused")
        self.assertEqual(self.wrong_passwords() - before, 1)
        await self.error_of(directory.find(sam("alice"), fresh=True))
        self.assertEqual(self.wrong_passwords() - before, 2)
        now[0] += REFUSED_SECONDS
        await self.error_of(directory.find(sam("alice")))
        self.assertEqual(self.wrong_passwords() - before, 3)

    def wrong_passwords(self) -> int:
        """How many the account of simple binds has met since the last right one."""
        client = Client(self.settings(), time.monotonic)
        try:
            query, call = name_filter("svc-ldap"), Call(time.monotonic() + 30)
            (entry,) = client.search(call, BASE, query, "SUBTREE", ["badPwdCount"])
        finally:
            client.close()
        return entry.number("badPwdCount", 0)

    async def test_recovers(self) -> None:
        """A keytab that was renewed after a refusal is used."""
        self.domain.change_password("connplain$")
        keytab = self.domain.keytab("connplain")
        directory = self.open(self.settings(principal=f"connplain$@{REALM}", keytab=keytab))
        self.assertEqual((await self.error_of(directory.find(sam("alice")))).reason, "directory_refused")
        self.domain.renew_keytab("connplain")
        await self.find(directory, sam("alice"), fresh=True)

    async def test_useless_tickets(self) -> None:
        """Tickets that the KDC takes for expired, and the cache does not, are replaced: no look-up fails."""
        short = self.domain.folder / "krb5-short.conf"
        text = self.domain.krb5_config.read_text()
        # Samba's KDC takes a ticket that lasts no longer than clocks may differ, for expired.
        short.write_text(text.replace("[libdefaults]", "[libdefaults]\n    ticket_lifetime = 60s"))
        use_krb5_config(self, short)
        cache, settings = CredentialCache(0.0), self.settings()
        gssapi = importlib.import_module("gssapi")
        store = {"client_keytab": str(settings.keytab), "ccache": cache.name}
        gssapi.Credentials(name=gssapi.Name(settings.principal), usage="initiate", store=store)
        cache.works()
        use_krb5_config(self, self.domain.krb5_config)
        useless, told = cache.name, list[DirectoryError]()
        client = Client(settings, time.monotonic, told.append, cache)
        self.addCleanup(client.close)
        found = client.search(
            Call(time.monotonic() + 30), BASE, name_filter("alice"), "SUBTREE", ["sAMAccountName"]
        )
        self.assertEqual((len(found), told), (1, []))
        self.assertNotEqual(cache.name, useless)


class OutageTests(DirectoryCase):
    """Servers that go away, and servers that say nothing."""

    def nobody(self) -> str:
        """A server that is not there."""
        return f"ldaps://127.0.0.1:{free_port()}"

    async def test_down(self) -> None:
        """If nobody listens, that is told, and where."""
        url = self.nobody()
        error = await self.error_of(self.open(self.simple(url)).find(sam("alice")))
        self.assertEqual(error.reason, "directory_unreachable")
        self.assertIn(url, error.detail)
        self.assertIn("Connection refused", error.detail)

    async def test_unresolved(self) -> None:
        """A name that nobody knows is unreachable, too."""
        error = await self.error_of(self.open(self.simple("ldaps://dc.invalid")).find(sam("alice")))
        self.assertEqual(error.reason, "directory_unreachable")

    async def test_second_server(self) -> None:
        """The second server helps out; the first one is used again once the second one fails."""
        relay = self.domain.relay(LDAPS_PORT)
        self.addCleanup(relay.stop)
        through = f"ldaps://{relay.address}:{relay.port}"
        for servers in ((self.nobody(), through), (through, self.nobody())):
            directory = self.open(self.simple(*servers))
            await self.find(directory, sam("alice"))
        self.assertEqual(relay.connections, 2)

    async def test_all_refuse(self) -> None:
        """Of several failures the most telling one counts, and all are told."""
        url = self.nobody()
        settings = self.simple(url, self.domain.ldaps_url, password="Wr0ng-passw0rd!")
        error = await self.error_of(self.open(settings).find(sam("alice")))
        self.assertEqual(error.reason, "directory_refused")
        self.assertIn("the password is wrong", error.detail)
        self.assertIn("Connection refused", error.detail)

    async def test_restarted(self) -> None:
        """A restart in mid-use costs nobody a look-up: dead connections are replaced."""
        directory = self.open()
        names = ("alice", "bsmith", "carol", "boss", "deputy", "twin1")
        before = await self.find_all(directory, names)
        self.domain.restart()
        directory.forget()
        after = await self.find_all(directory, names)
        self.assertEqual(after, before)

    async def test_stopped(self) -> None:
        """While it is down look-ups fail, what is remembered stays, and later all is well by itself."""
        directory = self.open()
        alice = await self.find(directory, sam("alice"))
        self.domain.stop()
        try:
            error = await self.error_of(directory.find(sam("carol")))
            self.assertEqual(error.reason, "directory_unreachable")
            self.assertIs(directory.find(sam("alice")), alice)
        finally:
            self.domain.start()
        await self.find(directory, sam("carol"))

    async def test_silent(self) -> None:
        """A server that accepts and says nothing is given up after a step's time; another one is asked."""
        relay = self.domain.relay(LDAPS_PORT)
        self.addCleanup(relay.stop)
        relay.fall_silent()
        through = f"ldaps://{relay.address}:{relay.port}"
        error = await self.error_of(self.open(self.simple(through)).find(sam("alice")))
        self.assertEqual(error.reason, "directory_timeout")
        both = self.simple(through, self.domain.ldaps_url)
        await self.find(self.open(both), sam("alice"))

    async def test_silent_in_mid_use(self) -> None:
        """The same with one that falls silent later."""
        relay = self.domain.relay(LDAPS_PORT)
        self.addCleanup(relay.stop)
        through = f"ldaps://{relay.address}:{relay.port}"
        directory = self.open(self.simple(through, self.domain.ldaps_url))
        await self.find(directory, sam("alice"))
        self.assertEqual(relay.connections, 1)
        relay.fall_silent()
        await self.find(directory, sam("carol"))

    async def test_silent_kdc(self) -> None:
        """A KDC that says nothing while a connection is bound keeps nobody longer than the deadline."""
        relay = self.domain.relay(KERBEROS_PORT)
        self.addCleanup(relay.stop)
        use_krb5_config(self, self.domain.krb5_config_for(relay.address, relay.port))
        relay.fall_silent()
        directory = self.open(self.settings(deadline_seconds=1))
        for each in [directory.find(sam(name)) for name in ("alice", "bsmith", "carol", "boss", "deputy")]:
            self.assertEqual((await self.error_of(each)).reason, "directory_timeout")
        relay.speak()
        directory = self.open()
        await self.find(directory, sam("alice"))
        # A bound connection needs no KDC.
        relay.fall_silent()
        await self.find(directory, sam("carol"))

    async def test_deadline(self) -> None:
        """Within the deadline there is an answer, however long a step may take; the thread is free again."""
        relay = self.domain.relay(LDAPS_PORT)
        self.addCleanup(relay.stop)
        settings = self.simple(
            f"ldaps://{relay.address}:{relay.port}", step_timeout_seconds=60, deadline_seconds=5
        )
        directory = self.open(settings)
        await self.find(directory, sam("alice"))
        relay.fall_silent()
        waiting = [directory.find(sam(f"nobody{number}")) for number in range(20)]
        for each in waiting:
            self.assertEqual((await self.error_of(each)).reason, "directory_timeout")
        relay.speak()
        await self.find(directory, sam("carol"))
