"""
The connector's own account in Kerberos: what signs users on, and what the proxy on the way out is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appproxy.config.connector import KerberosSettings

if TYPE_CHECKING:
    from appproxy.kerberos.delegation import Delegator


class NoAccount(Exception):
    """It cannot be used; the text names the setting."""


def own_account(settings: KerberosSettings, needed_by: str, owner: int | None = None) -> Delegator:
    """
    A way to tickets with the account's keytab, which is looked at. No KDC is asked yet.

    @param needed_by: the setting for which all this is needed.
    @param owner: to whom the keytab may belong besides root and whoever runs this.
    @raise NoAccount: if there is no Kerberos here, or the keytab is not there, not safe or not the account's.
    """
    # Most connectors have no use for Kerberos.
    from appproxy.kerberos.causes import KerberosError, KerberosUnavailable
    from appproxy.kerberos.library import make_delegator

    assert settings.keytab_file is not None, "the settings were checked"
    try:
        delegator = make_delegator(settings.principal, settings.keytab_file.absolute(), owner)
        delegator.check_keytab()
    except KerberosUnavailable as error:
        raise NoAccount(f"{needed_by}: {error}") from error
    except KerberosError as error:
        raise NoAccount(f"kerberos.keytab_file: {error.detail}") from error
    except ValueError as error:
        raise NoAccount(f"kerberos.principal: {error}") from error
    return delegator
