"""
C{appproxy check --online}: the domain controllers, and what the connector's account may do there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from appproxy.cli.online import Finding, Verdict
from appproxy.config.connector import ConnectorSettings, KerberosSettings
from appproxy.connector.kerberos_means import CannotSignOn, directory_settings
from appproxy.directory.account import Entry, ServiceAccount
from appproxy.directory.client import Call, Client
from appproxy.directory.errors import DirectoryError
from appproxy.directory.lookups import Searches, find_by_spn, find_service, find_sids, find_time
from appproxy.directory.session import Scope
from appproxy.directory.settings import DirectoryClientSettings, ServerAddress
from appproxy.kerberos.advice import advise
from appproxy.kerberos.bad_option import explain_accounts
from appproxy.kerberos.causes import Cause, KerberosError, Stage
from appproxy.model.service_name import NameRefused, parse_service, permits
from appproxy.sso.kerberos_advice import ADVICE
from appproxy.sso.kerberos_steps import MAXIMUM_SKEW_SECONDS

DIRECTORY: Final = "directory"
DELEGATION: Final = "delegation"

CLOCK_SECONDS: Final = 2.0
"""A directory tells whole seconds."""


class _Asking:
    """
    Searches for somebody who wants to know: each has the time that a user's has, and a server that
    refused lately is tried again. L{close} it.
    """

    def __init__(self, directory: DirectoryClientSettings) -> None:
        self._seconds = directory.deadline_seconds
        self._client = Client(directory, time.monotonic)
        self.close = self._client.close

    def __call__(
        self, base: str, query: str, scope: Scope, attributes: Sequence[str], size_limit: int = 0
    ) -> list[Entry]:
        """As L{Searches}."""
        call = Call(time.monotonic() + self._seconds, insistent=True)
        return self._client.search(call, base, query, scope, attributes, size_limit)


def check_directory(settings: ConnectorSettings, now: Callable[[], float]) -> Iterator[Finding]:
    """
    Each server; then whether the directory knows all that the connector's file names.

    @param now: this machine's clock, seconds since 1970.
    """
    try:
        directory = directory_settings(settings)
    except CannotSignOn as error:
        yield Finding("failed", DIRECTORY, str(error))
        return
    servers = [_check_server(directory, server, now) for server in directory.servers]
    yield from servers
    if all(each.verdict == "failed" for each in servers):
        return
    search = _Asking(directory)
    try:
        if settings.never_impersonate:
            yield _check_rules(search, settings)
        yield from _check_delegation(search, settings)
    except DirectoryError as error:
        yield Finding("failed", DIRECTORY, _told(error))
    finally:
        search.close()


def _check_server(
    directory: DirectoryClientSettings, server: ServerAddress, now: Callable[[], float]
) -> Finding:
    """Whether it takes us, and what time it is there."""
    search = _Asking(replace(directory, servers=(server,)))
    try:
        ahead = find_time(search) - now()
    except DirectoryError as error:
        return Finding("failed", DIRECTORY, _told(error))
    finally:
        search.close()
    verdict: Verdict = "failed" if abs(ahead) > MAXIMUM_SKEW_SECONDS else "ok"
    remedy = "" if verdict == "ok" else f". {ADVICE['clock_skew']}"
    return Finding(verdict, DIRECTORY, f"{server} takes the connector's account; {_clock(ahead)}{remedy}")


def _clock(ahead_seconds: float) -> str:
    if abs(ahead_seconds) < CLOCK_SECONDS:
        return "its clock and ours agree"
    return f"its clock is {abs(ahead_seconds):.0f} s {'ahead of' if ahead_seconds > 0 else 'behind'} ours"


def _check_rules(search: Searches, settings: ConnectorSettings) -> Finding:
    """A name that the directory does not know would stop all sign-on."""
    names = settings.never_impersonate
    try:
        find_sids(search, settings.directory.base, names)
    except DirectoryError as error:
        if error.reason != "group_unknown":
            raise
        return Finding("failed", DIRECTORY, f"never_impersonate: {_told(error)}")
    return Finding("ok", DIRECTORY, "never_impersonate: every name is known")


def _check_delegation(search: Searches, settings: ConnectorSettings) -> Iterator[Finding]:
    """What the connector's file allows against what the domain does."""
    account = find_service(search, settings.directory.base, settings.kerberos.principal.rpartition("@")[0])
    if not account.uses_any_protocol:
        yield _warning(settings, Cause.no_protocol_transition)
    for text in settings.allowed_spns:
        if parse_service(text).is_pattern:
            yield _check_pattern(settings, account, text)
        else:
            yield _check_service(search, settings, account, text)


def _check_pattern(settings: ConnectorSettings, account: ServiceAccount, text: str) -> Finding:
    fitting = [each for each in account.delegates_to if _fits(settings, text, each)]
    if fitting:
        count = f"{account.sam_account_name} may delegate to {len(fitting)} services of {text}"
        return Finding("ok", DELEGATION, f"{count}: {fitting[0]}{', ...' if fitting[1:] else ''}")
    # There may be services that name the connector themselves.
    told = f"{account.sam_account_name} may delegate to no service of {text}"
    return Finding("warning", DELEGATION, f"{told}: its list has to name each of them")


def _fits(settings: ConnectorSettings, pattern: str, spn: str) -> bool:
    realm = settings.kerberos.principal.rpartition("@")[2]
    try:
        return permits([parse_service(pattern)], parse_service(spn), realm)
    except NameRefused:
        # Whatever else the account may delegate to.
        return False


def _check_service(
    search: Searches, settings: ConnectorSettings, account: ServiceAccount, text: str
) -> Finding:
    name = parse_service(text).name
    owner = find_by_spn(search, settings.directory.base, name)
    if owner is None:
        return _warning(settings, Cause.spn_unknown, name)
    cause = explain_accounts(account, name, owner)
    # Without protocol transition is told once, of the account.
    if cause in (Cause.not_delegated, Cause.no_protocol_transition):
        told = f"{account.sam_account_name} may delegate to {name}, which is {owner.sam_account_name}'s"
        return Finding("ok", DELEGATION, told)
    if owner.has_allowed_to_act:
        told = f"{owner.sam_account_name}, whose {name} is, has a list of its own of who may delegate to it"
        return Finding("ok", DELEGATION, told)
    return _warning(settings, cause, name)


def _warning(settings: ConnectorSettings, cause: Cause, spn: str = "") -> Finding:
    told = advised(KerberosError(Stage.s4u2proxy, cause), settings.kerberos, spn)
    return Finding("warning", DELEGATION, told)


def advised(error: KerberosError, own: KerberosSettings, spn: str = "") -> str:
    """What an error of the connector's own account means, and what to do."""
    account, _, realm = own.principal.rpartition("@")
    advice = advise(error, account=account, user=account, realm=realm, keytab=str(own.keytab_file), spn=spn)
    detail = f" ({error.detail})" if error.detail else ""
    return f"{advice.meaning}{detail} {advice.remedy}"


def _told(error: DirectoryError) -> str:
    remedy = ADVICE.get(error.reason, "")
    return f"{error.detail}. {remedy}".rstrip()
