"""What a real KDC and a real acceptor refuse, and what that is called: one row for each cause."""

from __future__ import annotations

import shutil
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from twisted.trial.unittest import SkipTest

from appproxy.demo.ports import free_port
from appproxy.kerberos.advice import advice_for
from appproxy.kerberos.causes import Cause, KerberosError, Progress, Stage
from appproxy.kerberos.library import make_delegator
from appproxy.kerberos.spnego import MECHANISMS
from tests.integration.support.active_directory import acceptor
from tests.integration.support.active_directory.acceptor import Acceptor
from tests.integration.support.active_directory.accounts import (
    DOMAIN,
    INTRANET,
    PASSWORD,
    REALM,
    RESOURCE_BASED,
    STALE,
    UNKNOWN,
    UNLISTED,
)
from tests.integration.support.kerberos import KerberosCase
from tests.integration.support.processes import must_run
from tests.kerberos.test_keytab import entry
from tests.kerberos.test_spnego import KRB5, NTLM, response, state, token, value
from tests.prepare import find_command

if TYPE_CHECKING:
    from appproxy.kerberos.negotiation import Negotiation

OWN, SELF, PROXY, MUTUAL, _ = Stage

USERS: Final[Mapping[str, tuple[str, Stage, Cause]]] = {
    "a UPN with another suffix is no Kerberos name": (
        "bob.smith@EXAMPLE.TEST",
        SELF,
        Cause.realm_unknown,
    ),
    "a UPN's user part is not the SAM name": (f"bob.smith@{REALM}", SELF, Cause.account_unknown),
    "unknown": (f"nobody@{REALM}", SELF, Cause.account_unknown),
    "disabled": (f"disabled@{REALM}", SELF, Cause.user_disabled),
    "expired": (f"expired@{REALM}", SELF, Cause.account_expired),
    "must change the password": (f"mustchange@{REALM}", PROXY, Cause.password_expired),
    "sensitive": (f"sensitive@{REALM}", PROXY, Cause.not_delegated),
}

SERVICES: Final[Mapping[str, tuple[str, Cause]]] = {
    "not in the list": (UNLISTED, Cause.not_delegated),
    "the same account's short name, not in the list": ("HTTP/intranet", Cause.not_delegated),
    "in the list, but nobody's": (UNKNOWN, Cause.spn_unknown),
    "unknown altogether": (f"HTTP/nosuch.{DOMAIN}", Cause.spn_unknown),
}

CONNECTORS: Final[Mapping[str, tuple[str, Stage, Cause]]] = {
    "may delegate for users of Kerberos only": ("connkrbonly", PROXY, Cause.not_delegated),
    "may not delegate": ("connplain", PROXY, Cause.not_delegated),
    "has a new password": ("connstale", OWN, Cause.keytab_stale),
}


class RefusalTests(KerberosCase):
    """What the KDC says."""

    def go(self, user: str = f"alice@{REALM}", spn: str = INTRANET, connector: str = "connector") -> None:
        """The whole way to a token that the application takes."""
        delegator = self.delegator(connector)
        ticket = delegator.service_ticket(delegator.impersonate(user), f"{spn}@{REALM}")
        negotiation = ticket.negotiate(True)
        name, reply = Acceptor(self.domain.keytab("svc-intranet")).accept(negotiation.token)
        self.assertEqual(name, user)
        negotiation.verify(reply)

    def test_works(self) -> None:
        """Users with a SAM name like and unlike the UPN, and the service's name in other letters."""
        self.go()
        self.go(f"bsmith@{REALM}")
        self.go(spn=f"http/INTRANET.{DOMAIN}")

    def test_users(self) -> None:
        """Each user whom the domain does not let be signed on is refused with the reason."""
        for what, (user, stage, cause) in USERS.items():
            self.assertExplained(what, stage, cause, partial(self.go, user))

    def test_services(self) -> None:
        """Each service that the connector may not sign on to is refused with the reason."""
        for what, (spn, cause) in SERVICES.items():
            self.assertExplained(what, PROXY, cause, partial(self.go, spn=spn))

    def test_connectors(self) -> None:
        """Each account that lacks rights or keys is refused with the reason."""
        for what, (connector, stage, cause) in CONNECTORS.items():
            self.assertExplained(what, stage, cause, partial(self.go, connector=connector))

    def test_resource_based(self) -> None:
        """
        A service that names the connector itself: old versions of Samba refuse it, new ones do not.
        """
        delegator = self.delegator()
        user = delegator.impersonate(f"alice@{REALM}")
        ask = partial(delegator.service_ticket, user, f"{RESOURCE_BASED}@{REALM}")
        version = must_run(("samba", "--version")).split()[-1]
        if tuple(int(each) for each in version.split("-")[0].split(".")[:2]) < (4, 19):
            self.assertExplained("resource-based", PROXY, Cause.not_delegated, ask)
        else:
            ask()

    def test_protected(self) -> None:
        """
        Samba lets members of Protected Users be delegated, where Windows does not: the connector has to look.
        """
        self.go(f"protected@{REALM}")

    def test_keytabs(self) -> None:
        """A keytab that is missing, or another account's, and an account that is not there."""
        missing = self.folder / "missing.keytab"
        for what, keytab in {"another's": self.domain.keytab("connplain"), "missing": missing}.items():
            self.assertExplained(what, OWN, Cause.keytab_unusable, self.delegator("connector", keytab).log_in)
        log_in = self.delegator("nosuch", self.made_keytab("nosuch$", REALM)).log_in
        self.assertExplained("unknown account", OWN, Cause.account_unknown, log_in)

    def test_no_kdc(self) -> None:
        """A KDC that is not there, and a realm whose KDC nobody knows."""
        self.use_krb5_config(self.domain.krb5_config_for("127.0.0.1", free_port()))
        self.assertExplained("down", OWN, Cause.kdc_unreachable, self.delegator().log_in)
        elsewhere = make_delegator("a@NOWHERE.TEST", self.made_keytab("a", "NOWHERE.TEST"))
        self.assertExplained("unknown realm", OWN, Cause.kdc_unknown, elsewhere.log_in)

    def test_configuration(self) -> None:
        """A krb5.conf that cannot be read."""
        broken = self.folder / "broken.conf"
        broken.write_text("forwardable = true\n[libdefaults\n}\n")
        self.use_krb5_config(broken)
        self.assertExplained("broken", OWN, Cause.configuration, self.delegator().log_in)

    def made_keytab(self, name: str, realm: str) -> Path:
        """A keytab with a key that nobody else has."""
        path = self.folder / f"{name}.keytab"
        path.write_bytes(b"\x05\x02" + entry(name, realm, 1))
        path.chmod(0o600)
        return path

    def assertExplained(self, what: str, stage: Stage, cause: Cause, call: Callable[[], object]) -> None:
        """It is refused so, and there are words of its own for it."""
        try:
            self.assertRefused(stage, cause, call)
        except self.failureException as error:
            raise self.failureException(f"{what}: {error}") from None
        self.assertNotEqual(advice_for(stage, cause), advice_for(stage, Cause.other))


class MutualTests(KerberosCase):
    """What the application says, and how it proves itself."""

    def negotiation(self, spn: str = INTRANET, wrapped: bool = True) -> Negotiation:
        """One request's."""
        return self.ticket(spn=spn).negotiate(wrapped)

    def accepted(self, service: str, negotiation: Negotiation) -> tuple[str, bytes]:
        """What a service answers."""
        return Acceptor(self.domain.keytab(service)).accept(negotiation.token)

    def test_proof(self) -> None:
        """In SPNEGO and without, the application's proof is taken, among other challenges too."""
        for wrapped in (True, False):
            negotiation = self.negotiation(wrapped=wrapped)
            name, reply = self.accepted("svc-intranet", negotiation)
            self.assertEqual(name, f"alice@{REALM}")
            negotiation.verify(b"NTLM", reply)

    def test_signed_mechanisms(self) -> None:
        """A signature over the offered mechanisms is checked where there is one; a repeated token is none."""
        right, wrong, repeated = (self.negotiation(wrapped=False) for _ in range(3))
        right.verify(self.signed(right, lambda reply, mic: mic))
        repeated.verify(self.signed(repeated, lambda reply, mic: reply))
        challenge = self.signed(wrong, lambda reply, mic: mic[:-1] + bytes((mic[-1] ^ 1,)))
        self.assertRefused(MUTUAL, Cause.reply_malformed, partial(wrong.verify, challenge))

    def signed(self, negotiation: Negotiation, choose: Callable[[bytes, bytes], bytes]) -> bytes:
        """An answer with what is chosen of the application's token and signature for the signature."""
        acceptor = Acceptor(self.domain.keytab("svc-intranet"))
        reply, mic = acceptor.accept_and_sign(negotiation.token, MECHANISMS)
        fields = state(0), value(0xA1, KRB5), token(reply), value(0xA3, value(4, choose(reply, mic)))
        return b"Negotiate " + encoded(response(*fields))

    def test_another_service(self) -> None:
        """An application with the keys of another service, and with old ones, says so; in both forms."""
        for wrapped in (True, False):
            for service, spn, cause in (
                ("svc-hr", INTRANET, Cause.wrong_service),
                ("svc-stale", STALE, Cause.wrong_key),
            ):
                negotiation = self.negotiation(spn, wrapped)
                name, reply = self.accepted(service, negotiation)
                self.assertEqual(name, "")
                self.assertRefused(MUTUAL, cause, partial(negotiation.verify, reply))

    def test_replayed(self) -> None:
        """An application that is shown a token twice refuses it, and says so."""
        negotiation = self.negotiation()
        self.accepted("svc-intranet", negotiation)
        name, reply = self.accepted("svc-intranet", negotiation)
        self.assertEqual(name, "")
        self.assertRefused(MUTUAL, Cause.replayed, partial(negotiation.verify, reply))

    def test_anothers_proof(self) -> None:
        """The proof for another request proves nothing."""
        first, second = self.negotiation(), self.negotiation()
        _, reply = self.accepted("svc-intranet", first)
        error = self.assertRaises(KerberosError, second.verify, reply)
        self.assertIs(error.stage, Stage.mutual)

    def test_no_proof(self) -> None:
        """Answers without a token, with a refusal, with another mechanism, with nonsense."""
        krb5, ntlm = value(0xA1, KRB5), value(0xA1, NTLM)
        for challenge, cause in (
            (b"", Cause.reply_missing),
            (b"NTLM", Cause.reply_missing),
            (b"Negotiate", Cause.reply_missing),
            (b"Negotiate ???", Cause.reply_malformed),
            (b"Negotiate " + encoded(response(state(0), krb5)), Cause.reply_missing),
            (b"Negotiate " + encoded(response(state(2))), Cause.rejected),
            (b"Negotiate " + encoded(response(state(1), ntlm)), Cause.wrong_mechanism),
            (b"Negotiate " + encoded(response(state(0), krb5, token(b"nonsense"))), Cause.reply_malformed),
            (b"Negotiate " + encoded(b"nonsense"), Cause.reply_malformed),
            (b"Negotiate " + encoded(response(state(0))[:-1]), Cause.reply_malformed),
        ):
            self.assertRefused(MUTUAL, cause, partial(self.negotiation().verify, challenge))

    def test_clock_of_application(self) -> None:
        """An application whose clock is an hour ahead refuses, and says why."""
        negotiation = self.negotiation()
        name, challenge = self.other_clock("+1h", Path(acceptor.__file__), "svc-intranet", negotiation.token)
        self.assertEqual(name, "-")
        self.assertRefused(MUTUAL, Cause.clock_skew, partial(negotiation.verify, challenge.encode()))

    def test_clock_of_connector(self) -> None:
        """
        A connector whose clock is an hour off gets tickets, as libkrb5 corrects it there, but no token that
        an application takes: ahead, the application says so; behind, the ticket seems to lie in the future.
        """
        program = self.folder / "connector.py"
        program.write_text(
            "import sys\n"
            "from pathlib import Path\n"
            "from appproxy.kerberos.causes import KerberosError, Progress\n"
            "from appproxy.kerberos.library import make_delegator\n"
            f"delegator = make_delegator('connector$@{REALM}', Path(sys.argv[1]))\n"
            f"ticket = delegator.ticket('alice@{REALM}', '{INTRANET}@{REALM}', Progress())\n"
            "try:\n"
            "    print(ticket.negotiate(True).token.decode())\n"
            "except KerberosError as error:\n"
            "    print(error.cause.value)\n"
        )
        (ahead,) = self.other_clock("+1h", program, "connector", b"")
        name, reply = Acceptor(self.domain.keytab("svc-intranet")).accept(ahead.encode())
        self.assertEqual(name, "")
        self.assertRefused(MUTUAL, Cause.clock_skew, partial(self.negotiation().verify, reply))
        self.assertEqual(self.other_clock("-1h", program, "connector", b""), [Cause.clock_skew.value])

    def other_clock(self, offset: str, program: Path, keytab: str, argument: bytes) -> list[str]:
        """The lines that a program writes where the clock is that much off."""
        if find_command("faketime") is None:
            raise SkipTest("not installed: faketime")
        command = ("faketime", "-f", offset, sys.executable, program, self.domain.keytab(keytab))
        return must_run((*command, argument.decode())).splitlines()


def encoded(content: bytes) -> bytes:
    """In Base64."""
    return b64encode(content)


class RefusedKeytabTests(KerberosCase):
    """A keytab with the account's last password."""

    def test_not_again(self) -> None:
        """It is not tried again for every user, which would lock the account; a new one is, at once."""
        relay = self.use_relay()
        keytab = self.folder / "connector.keytab"
        shutil.copy(self.domain.keytab("connstale"), keytab)
        delegator = self.delegator("connstale", keytab)

        def ask() -> object:
            return delegator.ticket(f"alice@{REALM}", f"{INTRANET}@{REALM}", Progress())

        self.assertRefused(Stage.own_ticket, Cause.keytab_stale, ask)
        before = relay.connections
        self.assertRefused(Stage.own_ticket, Cause.keytab_stale, ask)
        self.assertEqual(relay.connections, before)
        self.assertRefused(Stage.own_ticket, Cause.keytab_stale, delegator.log_in)
        self.assertGreater(relay.connections, before)
        self.domain.renew_keytab("connstale")
        self.addCleanup(self.domain.set_password, "connstale$", f"0ther-{PASSWORD}")
        shutil.copy(self.domain.keytab("connstale"), keytab)
        self.assertIsNotNone(ask())
