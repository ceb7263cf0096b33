"""
C{appproxy check --online}: the connector's account in Kerberos.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Final

from appproxy.cli.online import Finding
from appproxy.cli.online_access import Account
from appproxy.cli.online_directory import DIRECTORY, advised, check_directory
from appproxy.config.connector import ConnectorSettings, KerberosSettings
from appproxy.config.secrets import only_in_unit
from appproxy.connector.own_account import NoAccount, own_account
from appproxy.kerberos.causes import Cause, KerberosError, Stage

KERBEROS: Final = "Kerberos"


def check_kerberos(
    settings: ConnectorSettings, account: Account | None, now: Callable[[], float] = time.time
) -> Iterator[Finding]:
    """
    The keytab, the connector's own ticket, each domain controller, the right to delegate.

    @param account: who runs the daemon; L{None} if that may read everything.
    @param now: the clock that tickets will be judged by.
    """
    if "kerberos" not in settings.allowed_sso:
        return
    own = settings.kerberos
    assert own.keytab_file is not None, "the settings were checked"
    if elsewhere := only_in_unit(own.keytab_file):
        what = "CREDENTIALS_DIRECTORY=FOLDER before this command says where to look instead"
        yield Finding("warning", KERBEROS, f"kerberos.keytab_file: {elsewhere}; {what}")
        return
    found = _own_ticket(own, own.keytab_file, account)
    yield found
    if found.verdict == "failed" and settings.directory.bind == "keytab":
        yield Finding("skipped", DIRECTORY, "is bound to with the keytab")
        return
    yield from check_directory(settings, now)


def _own_ticket(own: KerberosSettings, keytab: Path, account: Account | None) -> Finding:
    """As the daemon gets it, when it first needs one."""
    try:
        delegator = own_account(own, "allowed_sso", account.user if account else None)
        if account is not None and not _reaches(account, keytab):
            reader = f"the user {account.name} may not read it"
            return Finding("failed", KERBEROS, f"kerberos.keytab_file: {keytab}: {reader}")
        _within(own.deadline, delegator.log_in)
    except NoAccount as error:
        return Finding("failed", KERBEROS, str(error))
    except KerberosError as error:
        return Finding("failed", KERBEROS, advised(error, own))
    realm = own.principal.rpartition("@")[2]
    return Finding("ok", KERBEROS, f"a KDC of {realm} gives {own.principal} a ticket for its key")


def _reaches(account: Account, keytab: Path) -> bool:
    """What systemd hands over it reads itself, as root."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    return (credentials is not None and keytab.parent == Path(credentials)) or account.can_read(keytab)


def _within(seconds: float, call: Callable[[], None]) -> None:
    """
    Wait so long for what cannot be interrupted: the library asks a silent KDC for half a minute.

    @raise KerberosError: if it is not done, besides whatever the call raises.
    """
    done: Future[None] = Future()

    def run() -> None:
        try:
            call()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    # It does not keep the process from ending.
    threading.Thread(target=run, daemon=True).start()
    if not wait([done], seconds).done:
        raise KerberosError(Stage.own_ticket, Cause.kdc_timeout, f"no answer in {seconds:g} s")
    done.result()
