"""
Who and what is in the directory: plain data, for C{populate.py}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

REALM: Final = "CORP.EXAMPLE.TEST"
DOMAIN: Final = REALM.lower()
BASE: Final = "DC=corp,DC=example,DC=test"
OTHER_SUFFIX: Final = "example.test"
"""Of user principal names that are unlike the realm's."""

PASSWORD: Final = "Us3r-passw0rd!"
"""Of every account."""

INTRANET: Final = f"HTTP/intranet.{DOMAIN}"
UNLISTED: Final = f"HTTP/hr.{DOMAIN}"
"""Of a service that no connector may delegate to."""
UNKNOWN: Final = f"HTTP/nowhere.{DOMAIN}"
"""No account has it, yet it stands in the connector's list."""
STALE: Final = f"HTTP/stale.{DOMAIN}"
"""Of a service whose password has changed since its keytab was made."""
RESOURCE_BASED: Final = f"HTTP/rbcd.{DOMAIN}"
"""Of a service that itself names the connector (msDS-AllowedToActOnBehalfOfOtherIdentity)."""
SEVERAL: Final = (f"HTTP/one.apps.{DOMAIN}", f"HTTP/two.apps.{DOMAIN}")
"""Of one service, below one domain."""

ACCOUNTDISABLE: Final = 0x2
DONT_EXPIRE_PASSWORD: Final = 0x10000
NOT_DELEGATED: Final = 0x100000
TRUSTED_TO_AUTH_FOR_DELEGATION: Final = 0x1000000
AES: Final = str(0x08 | 0x10)
"""C{msDS-SupportedEncryptionTypes} for AES128 and AES256: without it, keys and tickets are RC4."""

LONG_AGO: Final = "126227808000000000"
"""2001-01-01 as a FILETIME."""
SHARED_CONSISTENCY_GUID: Final = b"one and the same"
"""C{mS-DS-ConsistencyGuid} of both C{twins}."""

Values = str | Sequence[str]


@dataclass(frozen=True)
class Entry:
    """
    A user or a computer.

    @ivar flags: bits of userAccountControl besides the kind's own.
    @ivar attributes: replace what is there.
    @ivar password: empty for an account that only others speak for: keys cost time.
    """

    name: str
    flags: int = 0
    attributes: Mapping[str, Values] = field(default_factory=dict)
    computer: bool = False
    password: str = PASSWORD


@dataclass(frozen=True)
class Wanted:
    """
    What the directory is to hold besides what it has.

    @ivar groups: a group's members, which may be groups.
    @ivar allowed_to_act: who a service lets act for others, by their SAM names.
    @ivar keytabs: file name and principals; made after accounts and before C{passwords}.
    @ivar passwords: new ones, by SAM name.
    @ivar service_names: more servicePrincipalNames, by SAM name.
    @ivar suffixes: of user principal names.
    @ivar policy: attributes of the domain itself.
    """

    accounts: Sequence[Entry] = ()
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    distribution_groups: Sequence[str] = ()
    allowed_to_act: Mapping[str, str] = field(default_factory=dict)
    keytabs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    passwords: Mapping[str, str] = field(default_factory=dict)
    service_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    suffixes: Sequence[str] = ()
    policy: Mapping[str, Values] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Plain data for JSON."""
        return asdict(self)


def user(
    name: str, flags: int = 0, *, upn: str = "", consistency_guid: bytes = b"", **attributes: Values
) -> Entry:
    """A person; the user principal name is made of the SAM name unless given."""
    if consistency_guid:
        attributes["mS-DS-ConsistencyGuid"] = consistency_guid.decode("ascii")
    return Entry(name, flags, {"userPrincipalName": upn or f"{name}@{DOMAIN}", **attributes})


def service(name: str, *spns: str) -> Entry:
    """An account that an application runs as."""
    attributes: dict[str, Values] = {"servicePrincipalName": spns, "msDS-SupportedEncryptionTypes": AES}
    return Entry(name, DONT_EXPIRE_PASSWORD, attributes)


def connector(name: str, flags: int = 0, delegates_to: Sequence[str] = ()) -> Entry:
    """A computer account; its SAM name ends with a dollar sign."""
    host = f"{name}.{DOMAIN}"
    attributes: dict[str, Values] = {
        "dNSHostName": host,
        "servicePrincipalName": [f"HOST/{host}"],
        "msDS-SupportedEncryptionTypes": AES,
        "msDS-AllowedToDelegateTo": delegates_to,
    }
    return Entry(f"{name}$", flags, attributes, computer=True)


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
