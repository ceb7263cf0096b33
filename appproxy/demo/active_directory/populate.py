"""
Make a domain's accounts, groups and keytabs what standard input says (L{accounts.Wanted} as JSON).

Debian's own Python runs this, for it alone has Samba's library: C{populate.py SMB_CONF KEYTAB_FOLDER}. It
writes to the domain's database itself, whether the controller runs or not, in one process, since each call
of C{samba-tool} takes as long as all of this. What exists stays, and gets the attributes that are wanted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import ldb
import samba.dckeytab  # noqa: F401  (adds Net.export_keytab)
from samba import dsdb
from samba.auth import system_session
from samba.credentials import Credentials
from samba.dcerpc import security
from samba.ndr import ndr_pack
from samba.net import Net
from samba.param import LoadParm
from samba.samdb import SamDB

FOUND = ["objectSid", "member", "servicePrincipalName"]


class Domain:
    """The database of one domain, opened with all rights."""

    def __init__(self, smb_conf: str) -> None:
        self._parameters = LoadParm()
        self._parameters.load(smb_conf)
        self._credentials = Credentials()
        self._credentials.guess(self._parameters)
        self.database = SamDB(
            url=self._parameters.private_path("sam.ldb"),
            session_info=system_session(self._parameters),
            credentials=self._credentials,
            lp=self._parameters,
        )
        self.base = str(self.database.domain_dn())

    def find(self, sam_account_name: str) -> Any:
        """The entry of a SAM name, or None."""
        expression = f"(sAMAccountName={ldb.binary_encode(sam_account_name)})"
        found = self.database.search(self.base, expression=expression, attrs=FOUND)
        return found[0] if found else None

    def replace(self, name: Any, attributes: Mapping[str, Any]) -> None:
        """Set attributes of an entry; an empty list removes one."""
        message = ldb.Message(ldb.Dn(self.database, str(name)))
        for attribute, value in attributes.items():
            message[attribute] = ldb.MessageElement(value, ldb.FLAG_MOD_REPLACE, attribute)
        self.database.modify(message)

    def set_password(self, sam_account_name: str, password: str) -> None:
        """Without it an account has no keys, and its keytab would be empty."""
        expression = f"(sAMAccountName={ldb.binary_encode(sam_account_name)})"
        self.database.setpassword(expression, password, force_change_at_next_login=False)

    def account(self, entry: Mapping[str, Any]) -> None:
        """Make a user or a computer, or change one."""
        name, computer = entry["name"], entry["computer"]
        kind = dsdb.UF_WORKSTATION_TRUST_ACCOUNT if computer else dsdb.UF_NORMAL_ACCOUNT
        if self.find(name) is None:
            box = "Computers" if computer else "Users"
            distinguished = ldb.Dn(self.database, f"CN={box},{self.base}")
            distinguished.add_child("CN=unnamed")
            distinguished.set_component(0, "CN", name.rstrip("$"))
            self.database.add(
                {
                    "dn": str(distinguished),
                    "objectClass": "computer" if computer else "user",
                    "sAMAccountName": name,
                    "userAccountControl": str(kind | dsdb.UF_ACCOUNTDISABLE | dsdb.UF_PASSWD_NOTREQD),
                }
            )
            if entry["password"]:
                self.set_password(name, entry["password"])
        flags = entry["flags"] | (0 if entry["password"] else dsdb.UF_PASSWD_NOTREQD)
        self.replace(self.find(name).dn, {"userAccountControl": str(kind | flags), **entry["attributes"]})

    def group(self, name: str, members: Iterable[str]) -> None:
        """Make a group, or add members."""
        if self.find(name) is None:
            self.database.newgroup(name)
        self.add_values(name, "member", [str(self.find(member).dn) for member in members])

    def distribution_group(self, name: str) -> None:
        """Make one: its members' tokens do not have it."""
        if self.find(name) is None:
            self.database.newgroup(name, grouptype=dsdb.GTYPE_DISTRIBUTION_GLOBAL_GROUP)

    def add_values(self, name: str, attribute: str, values: Iterable[str]) -> None:
        """Add what is not there yet to an attribute of an account or a group."""
        entry = self.find(name)
        missing = set(values) - set(map(str, entry.get(attribute, [])))
        if missing:
            message = ldb.Message(entry.dn)
            message[attribute] = ldb.MessageElement(sorted(missing), ldb.FLAG_MOD_ADD, attribute)
            self.database.modify(message)

    def allow_to_act(self, service: str, actor: str) -> None:
        """Resource-based delegation: the service's entry names who may act for others."""
        sid = self.database.schema_format_value("objectSid", self.find(actor)["objectSid"][0]).decode()
        descriptor = security.descriptor.from_sddl(
            f"O:BAD:(A;;CCDCLCSWRPWPDTLOCRSDRCWDWO;;;{sid})", security.dom_sid(self.database.get_domain_sid())
        )
        attribute = "msDS-AllowedToActOnBehalfOfOtherIdentity"
        self.replace(self.find(service).dn, {attribute: ndr_pack(descriptor)})

    def export_keytab(self, path: Path, principals: Iterable[str]) -> None:
        """Write a keytab anew."""
        path.unlink(missing_ok=True)
        net = Net(self._credentials, self._parameters, server=None)
        for principal in principals:
            net.export_keytab(keytab=str(path), principal=principal)
        if not path.exists():
            sys.exit(f"{path} is empty: no keys of {principals}")


def populate(domain: Domain, wanted: Mapping[str, Any]) -> None:
    """All but keytabs and new passwords."""
    if wanted["suffixes"]:
        partitions = f"CN=Partitions,CN=Configuration,{domain.base}"
        domain.replace(partitions, {"uPNSuffixes": wanted["suffixes"]})
    if wanted["policy"]:
        domain.replace(domain.base, wanted["policy"])
    for entry in wanted["accounts"]:
        domain.account(entry)
    for name, members in wanted["groups"].items():
        domain.group(name, members)
    for name in wanted["distribution_groups"]:
        domain.distribution_group(name)
    for name, values in wanted["service_names"].items():
        domain.add_values(name, "servicePrincipalName", values)
    for service, actor in wanted["allowed_to_act"].items():
        domain.allow_to_act(service, actor)


def main() -> None:
    """Do it all."""
    domain, keytabs = Domain(sys.argv[1]), Path(sys.argv[2])
    wanted = json.load(sys.stdin)
    domain.database.transaction_start()
    try:
        populate(domain, wanted)
    except BaseException:
        domain.database.transaction_cancel()
        raise
    domain.database.transaction_commit()
    for name, principals in wanted["keytabs"].items():
        domain.export_keytab(keytabs / f"{name}.keytab", principals)
    for name, password in wanted["passwords"].items():
        domain.set_password(name, password)


if __name__ == "__main__":
    main()
