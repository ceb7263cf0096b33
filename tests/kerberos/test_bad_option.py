"""Tests of L{appproxy.kerberos.bad_option}."""

from __future__ import annotations

from dataclasses import dataclass, replace

from twisted.trial.unittest import SynchronousTestCase

from appproxy.kerberos.bad_option import explain_bad_option
from appproxy.kerberos.causes import Cause

SPN = "HTTP/wiki.corp.example.com"


HOME = "CORP.EXAMPLE.COM"


@dataclass(frozen=True)
class Service:
    """A connector's account."""

    uses_any_protocol: bool = True
    delegates_to: frozenset[str] = frozenset({SPN})
    realm: str = HOME


@dataclass(frozen=True)
class Target:
    """An application's account."""

    has_allowed_to_act: bool = False
    realm: str = HOME


@dataclass(frozen=True)
class User:
    """Somebody."""

    sensitive: bool = False
    protected: bool = False


WELL = Service()
EMPTY = Service(False, frozenset())


class ExplainTests(SynchronousTestCase):
    """L{explain_bad_option}."""

    def assertCause(
        self,
        cause: Cause,
        service: Service,
        user: User = User(),
        spn: str = SPN,
        target: Target | None = Target(),
    ) -> None:
        """It is this cause."""
        self.assertIs(explain_bad_option(service, user, spn, target), cause)

    def test_user(self) -> None:
        """What is marked on the user comes before all that is wrong with the connector's account."""
        for service in (WELL, EMPTY):
            self.assertCause(Cause.user_sensitive, service, User(sensitive=True))
            self.assertCause(Cause.user_protected, service, User(protected=True))

    def test_own_list(self) -> None:
        """No list, another name in it, no protocol transition: three things to mend."""
        for target in (None, Target()):
            self.assertCause(Cause.no_delegation, EMPTY, target=target)
            self.assertCause(Cause.no_delegation, replace(EMPTY, uses_any_protocol=True), target=target)
            self.assertCause(Cause.spn_not_listed, WELL, spn="HTTP/wiki", target=target)
            self.assertCause(
                Cause.no_protocol_transition, replace(WELL, uses_any_protocol=False), target=target
            )

    def test_case_and_realm(self) -> None:
        """As the KDC does, names are compared in any case; the realm is no part of the list."""
        self.assertCause(Cause.not_delegated, WELL, spn="http/WIKI.corp.example.com@CORP.EXAMPLE.COM")

    def test_resource_based(self) -> None:
        """Across domains, and where the application's account names others, only its own list counts."""
        self.assertCause(Cause.resource_based_missing, WELL, target=Target(realm="HR.EXAMPLE.COM"))
        self.assertCause(Cause.resource_based_missing, EMPTY, target=Target(has_allowed_to_act=True))

    def test_nothing_found(self) -> None:
        """When the directory shows no reason, none is made up."""
        self.assertCause(Cause.not_delegated, WELL)
        self.assertCause(Cause.not_delegated, WELL, target=Target(has_allowed_to_act=True))
