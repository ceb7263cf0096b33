"""
The Kerberos library, which is optional: imported when it is needed, not before.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from appproxy.kerberos.causes import KerberosUnavailable
from appproxy.kerberos.environment import prepare

if TYPE_CHECKING:
    from appproxy.kerberos.delegation import Delegator


def make_delegator(account: str, keytab: Path, owner: int | None = None) -> Delegator:
    """
    The connector's way to tickets. It asks no KDC yet and reads no keytab.

    @param account: the connector's own principal, C{name@REALM}.
    @param owner: a user to whom the keytab may belong, besides root and this process's.
    @raise KerberosUnavailable: if gssapi is not installed, or finds no libkrb5.
    @raise ValueError: if the account is no such name.
    """
    prepare(os.environ)
    try:
        from appproxy.kerberos.delegation import Delegator
    except ImportError as error:
        raise KerberosUnavailable(
            f"Kerberos needs gssapi: install libkrb5-dev, gcc and python3-dev, then etc/install ({error})"
        ) from error
    return Delegator(account, keytab, owner=owner)
