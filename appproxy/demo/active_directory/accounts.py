"""
Who and what is in a directory: plain data, for C{populate.py}.
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
NETBIOS_NAME: Final = "CORP"
"""The domain's, before the backslash of C{CORP\\alice}."""

PASSWORD: Final = "Us3r-passw0rd!"
"""Of every account. It is public: the domain listens on this machine only."""

INTRANET: Final = f"HTTP/intranet.{DOMAIN}"
"""The application's service principal name."""

DONT_EXPIRE_PASSWORD: Final = 0x10000
NOT_DELEGATED: Final = 0x100000
TRUSTED_TO_AUTH_FOR_DELEGATION: Final = 0x1000000
AES: Final = str(0x08 | 0x10)
"""C{msDS-SupportedEncryptionTypes} for AES128 and AES256: without it, keys and tickets are RC4."""

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
