"""
Who and what is in the directory of the tests: plain data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from appproxy.demo.active_directory.accounts import (
    BASE,
    DOMAIN,
    DONT_EXPIRE_PASSWORD,
    INTRANET,
    NOT_DELEGATED,
    OTHER_SUFFIX,
    PASSWORD,
    REALM,
    TRUSTED_TO_AUTH_FOR_DELEGATION,
    Entry,
    Wanted,
    connector,
    service,
    user,
)

__all__ = [
    "BASE",
    "DOMAIN",
    "EVERYTHING",
    "INTRANET",
    "OTHER_SUFFIX",
    "PASSWORD",
    "REALM",
    "Wanted",
    "crowd",
    "user",
]

ACCOUNTDISABLE: Final = 0x2

UNLISTED: Final = f"HTTP/hr.{DOMAIN}"
"""Of a service that no connector may delegate to."""
UNKNOWN: Final = f"HTTP/nowhere.{DOMAIN}"
"""No account has it, yet it stands in the connector's list."""
STALE: Final = f"HTTP/stale.{DOMAIN}"
"""Of a service whose password has changed since its keytab was made."""
RESOURCE_BASED: Final = f"HTTP/rbcd.{DOMAIN}"
"""Of a service that itself names the connector (msDS-AllowedToActOnBehalfOfOtherIdentity)."""
LOCAL_PROXY: Final = "HTTP/localhost"
"""Of an HTTP proxy on this machine, which has no other name everywhere."""
SEVERAL: Final = (f"HTTP/one.apps.{DOMAIN}", f"HTTP/two.apps.{DOMAIN}")
"""Of one service, below one domain."""

LONG_AGO: Final = "126227808000000000"
"""2001-01-01 as a FILETIME."""
SHARED_CONSISTENCY_GUID: Final = b"one and the same"
"""C{mS-DS-ConsistencyGuid} of both C{twins}."""

USERS: Final = (
    user("alice", mail=f"alice@{OTHER_SUFFIX}", displayName="Alice Able"),
    user("bsmith", upn=f"bob.smith@{OTHER_SUFFIX}", mail=f"bob.smith@{OTHER_SUFFIX}"),
    user("carol"),
    user("sensitive", NOT_DELEGATED),
    user("protected"),
    user("disabled", ACCOUNTDISABLE),
    user("mustchange", pwdLastSet="0"),
    user("expired", accountExpires=LONG_AGO),
    user("boss"),
    user("deputy"),
    *(user(each, consistency_guid=SHARED_CONSISTENCY_GUID) for each in ("twin1", "twin2")),
    # Names that mean something in filters, and in Kerberos principals.
    user("par)(en", upn=f"*)(sAMAccountName=*@{OTHER_SUFFIX}"),
    user("eve@admin", upn=f"eve/admin@{OTHER_SUFFIX}"),
    user("svc-ldap", DONT_EXPIRE_PASSWORD),
)

SERVICES: Final = (
    service("svc-intranet", INTRANET, "HTTP/intranet"),
    service("svc-apps", *SEVERAL),
    service("svc-hr", UNLISTED),
    service("svc-stale", STALE),
    service("svc-rbcd", RESOURCE_BASED),
    service("svc-proxy", LOCAL_PROXY),
)

DELEGATES_TO: Final = (INTRANET, *SEVERAL, STALE, UNKNOWN)

CONNECTORS: Final = (
    connector("connector", TRUSTED_TO_AUTH_FOR_DELEGATION, DELEGATES_TO),
    connector("connkrbonly", 0, DELEGATES_TO),
    connector("connplain"),
    connector("connstale", TRUSTED_TO_AUTH_FOR_DELEGATION, DELEGATES_TO),
)

GROUPS: Final[Mapping[str, Sequence[str]]] = {
    "Intranet-Users": ["alice", "bsmith"],
    "All-Staff": ["Intranet-Users", "carol"],
    "Server-Keepers": ["deputy"],
    "Domain Admins": ["boss", "Server-Keepers"],
    "Protected Users": ["protected"],
}

EVERYTHING: Final = Wanted(
    (*USERS, *SERVICES, *CONNECTORS),
    GROUPS,
    allowed_to_act={"svc-rbcd": "connector$"},
    keytabs={
        **{each.name.rstrip("$"): [each.name] for each in CONNECTORS},
        **{each.name: list(each.attributes["servicePrincipalName"]) for each in SERVICES},
    },
    passwords=dict.fromkeys(("connstale$", "svc-stale"), f"N3w-{PASSWORD}"),
    suffixes=[OTHER_SUFFIX],
    # Without a limit wrong passwords are not counted.
    policy={"lockoutThreshold": "1000"},
)


def crowd(count: int, prefix: str = "load") -> Wanted:
    """Many users without passwords: C{load000} and so on."""
    return Wanted(
        [
            Entry(
                name,
                DONT_EXPIRE_PASSWORD,
                {"userPrincipalName": f"{name}@{DOMAIN}"},
                password="",
            )
            for name in (f"{prefix}{number:03}" for number in range(count))
        ]
    )
