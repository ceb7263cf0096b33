"""
What each refusal means, and what an administrator does about it. Pure.

Commands for Windows (PowerShell with the ActiveDirectory module) and for Samba stand side by side.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from appproxy.kerberos.causes import Cause, KerberosError, Stage


class Advice(NamedTuple):
    """One sentence each."""

    meaning: str
    remedy: str


_PLACEHOLDERS: Final = {
    "account": "ACCOUNT",
    "user": "USER",
    "spn": "SPN",
    "realm": "REALM",
    "keytab": "KEYTAB",
}

_HARMLESS: Final = re.compile(r"[A-Za-z0-9_./:@*$-]{1,256}")
"""What may be put into a command that an administrator pastes into a shell."""

_OWN: Final = Stage.own_ticket
_SELF: Final = Stage.s4u2self
_PROXY: Final = Stage.s4u2proxy
_MUTUAL: Final = Stage.mutual
_OUTBOUND: Final = Stage.outbound_proxy

_KEYTAB: Final = (
    "Make a new keytab: ktpass /princ {account}@{realm} /mapuser {account} /crypto AES256-SHA1 /ptype "
    "KRB5_NT_PRINCIPAL /pass * /out connector.keytab on Windows, samba-tool domain exportkeytab "
    "connector.keytab --principal='{account}' on Samba; then kerberos.keytab_file of connector.toml."
)

_CLOCK: Final = (
    "Let both machines take their time from the domain controllers: w32tm /resync on Windows, chronyc "
    "makestep on Linux."
)

_UNLOCK: Final = (
    "Get-ADUser '{user}' -Properties LockedOut,AccountExpirationDate,LogonHours; then Enable-ADAccount "
    "'{user}' or Unlock-ADAccount '{user}'; samba-tool user enable '{user}' on Samba."
)

_TARGETS: Final = (
    "Set-ADObject (Get-ADObject -Filter \"sAMAccountName -eq '{account}'\") -Add "
    "@{{'msDS-AllowedToDelegateTo'='{spn}'}}, or samba-tool delegation add-service '{account}' '{spn}'."
)

_TRANSITION: Final = (
    "Choose \"Use any authentication protocol\": Set-ADAccountControl '{account}' "
    "-TrustedToAuthForDelegation $true, or samba-tool delegation for-any-protocol '{account}' on."
)

_DISABLED: Final = Advice(
    "The connector's account '{account}' is disabled or locked.",
    "Enable-ADAccount '{account}' or Unlock-ADAccount '{account}', or samba-tool user enable '{account}'.",
)

_ANY_STAGE: Final[dict[Cause, Advice]] = {
    Cause.kdc_unreachable: Advice(
        "No domain controller of {realm} answers.",
        "Look whether one is running and TCP port 88 is open from the connector: nc -vz DC 88; kdc = in "
        "the [realms] of /etc/krb5.conf, or DNS: dig SRV _kerberos._tcp.{realm}.",
    ),
    Cause.kdc_timeout: Advice(
        "A domain controller of {realm} takes connections and does not answer within kerberos.deadline.",
        "Look at its load and at firewalls between; take it out of kdc = in /etc/krb5.conf meanwhile. The "
        "realm is tried again by one request at a time.",
    ),
    Cause.kdc_unknown: Advice(
        "It is not known which machines are domain controllers of {realm}.",
        "Name them: [realms] {realm} = {{ kdc = dc1.example.com }} in /etc/krb5.conf, or the DNS record "
        "_kerberos._tcp.{realm}; is the realm spelt in capitals?",
    ),
    Cause.kdc_error: Advice(
        "A domain controller of {realm} reports an error of its own.",
        "Look at its log: Event Viewer, System, source Kerberos-Key-Distribution-Center; log.samba on Samba.",
    ),
    Cause.overloaded: Advice(
        "More tickets were asked for at once than the connector lets wait.",
        "Nothing is wrong with the user; if it lasts, add a connector to the group, or find out why the "
        "domain controllers are slow.",
    ),
    Cause.configuration: Advice(
        "The Kerberos library cannot read its configuration.",
        "Look at /etc/krb5.conf, and at KRB5_CONFIG in the environment of the connector: "
        "KRB5_TRACE=/dev/stderr kinit -k -t '{keytab}' '{account}'.",
    ),
    Cause.encryption_unsupported: Advice(
        "The account, the domain controller and this machine have no encryption type in common.",
        "Allow AES: Set-ADUser or Set-ADComputer '{account}' -KerberosEncryptionType AES128,AES256, then "
        "set the password anew, which makes the keys; samba-tool: net ads enctypes set '{account}' 24.",
    ),
    Cause.clock_skew: Advice("The clocks are more than five minutes apart.", _CLOCK),
    Cause.ticket_expired: Advice(
        "A ticket was used after its end.", "If it happens again, clocks are wrong. " + _CLOCK
    ),
    Cause.ticket_revoked: Advice(
        "The domain controller does not accept a ticket that it gave: the domain's krbtgt was reset, or a "
        "controller was restored.",
        "Wait a moment and try again: the connector gets itself a new ticket; if it stays, look at "
        "replication: repadmin /showrepl, or samba-tool drs showrepl.",
    ),
    Cause.no_trust: Advice(
        "There is no trust path from the connector's domain to {realm}.",
        "Get-ADTrust -Filter *, or samba-tool domain trust list; the trust has to be two-way.",
    ),
    Cause.account_expired: Advice(
        "The account '{user}' has an end date, and it is past.",
        "Set-ADAccountExpiration '{user}' -DateTime DATE, or samba-tool user setexpiry '{user}' --days=DAYS.",
    ),
    Cause.password_expired: Advice(
        "The password of '{user}' has expired or must be changed at the next logon.",
        "Let the user change it, or Set-ADUser '{user}' -ChangePasswordAtLogon $false; samba-tool user "
        "setpassword '{user}' on Samba.",
    ),
    Cause.account_unknown: Advice(
        "The domain {realm} has no account '{user}'.",
        "Get-ADUser '{user}', or samba-tool user show '{user}'; compare sso.login_identity of the "
        "application with what the provider sends.",
    ),
    Cause.user_disabled: Advice(
        "The domain does not let '{user}' log on: disabled, locked, outside the logon hours, or by an "
        "authentication policy.",
        _UNLOCK,
    ),
    Cause.other: Advice(
        "Kerberos refused in a way that is not among the usual ones.",
        "The detail has the library's words; KRB5_TRACE=/dev/stderr in the environment of the connector "
        "writes each step.",
    ),
}

_AT_STAGE: Final[dict[tuple[Stage, Cause], Advice]] = {
    (_OWN, Cause.keytab_stale): Advice(
        "The key in the keytab is not the key of '{account}': its password was changed after the keytab "
        "was made.",
        _KEYTAB,
    ),
    (_OWN, Cause.keytab_unusable): Advice(
        "The keytab is missing, cannot be read, is open to others, or has no key of '{account}@{realm}'.",
        "Look at it: klist -k -e -t '{keytab}' and ls -l '{keytab}' (chmod 600). " + _KEYTAB,
    ),
    (_OWN, Cause.account_unknown): Advice(
        "The domain {realm} has no account '{account}'.",
        "Compare kerberos.principal of connector.toml with the sAMAccountName: Get-ADObject -Filter "
        "\"sAMAccountName -eq '{account}'\", or samba-tool computer list and samba-tool user list; a "
        "computer's name ends in $.",
    ),
    (_OWN, Cause.account_disabled): _DISABLED,
    (_OWN, Cause.account_expired): Advice(
        "The connector's account '{account}' has an end date, and it is past.",
        "Clear-ADAccountExpiration '{account}', or samba-tool user setexpiry '{account}' --noexpiry.",
    ),
    (_OWN, Cause.password_expired): Advice(
        "The password of the connector's account '{account}' has expired.",
        "Set-ADUser '{account}' -PasswordNeverExpires $true and a new keytab. " + _KEYTAB,
    ),
    (_OWN, Cause.realm_unknown): Advice(
        "The domain controllers that were found do not serve {realm}.",
        "Correct the part behind @ in kerberos.principal, or kdc = in the [realms] of /etc/krb5.conf.",
    ),
    (_SELF, Cause.realm_unknown): Advice(
        "The domain controllers know no realm by the name in '{user}'.",
        "The part behind @ has to be the Kerberos realm of the user's domain, not a UPN suffix: "
        "Get-ADTrust -Filter *.",
    ),
    (_SELF, Cause.not_delegated): Advice(
        "The domain controller gives '{account}' no tickets for users (S4U2Self).",
        "The account needs a service principal name: setspn -L '{account}', "
        "or samba-tool spn list '{account}'. " + _TRANSITION,
    ),
    (_PROXY, Cause.spn_unknown): Advice(
        "No account of the domain has the service principal name {spn}.",
        "Find who should have it: setspn -Q '{spn}'; then setspn -S '{spn}' SERVICE-ACCOUNT, or "
        "samba-tool spn add '{spn}' SERVICE-ACCOUNT.",
    ),
    (_PROXY, Cause.spn_ambiguous): Advice(
        "Several accounts have the service principal name {spn}.",
        "Find them with setspn -X; setspn -D '{spn}' ACCOUNT, or samba-tool spn delete '{spn}' ACCOUNT, "
        "removes one.",
    ),
    (_PROXY, Cause.not_delegated): Advice(
        "The domain controller does not let '{account}' sign '{user}' on to {spn}, and the directory "
        "shows no reason.",
        "Wait until domain controllers have replicated the last change; look for forwardable = false "
        "below a realm's name in the [libdefaults] of /etc/krb5.conf.",
    ),
    (_PROXY, Cause.user_sensitive): Advice(
        "'{user}' is marked \"Account is sensitive and cannot be delegated\": nobody may sign on as this "
        "user.",
        "Leave it so for administrators; else Set-ADAccountControl '{user}' -AccountNotDelegated $false, "
        "or samba-tool user sensitive '{user}' off.",
    ),
    (_PROXY, Cause.user_protected): Advice(
        "'{user}' is in the group Protected Users: nobody may sign on as this user.",
        "Leave it so for administrators; else Remove-ADGroupMember 'Protected Users' '{user}', or "
        "samba-tool group removemembers 'Protected Users' '{user}'.",
    ),
    (_PROXY, Cause.no_delegation): Advice(
        "'{account}' may not sign users on to any service.", _TARGETS + " " + _TRANSITION
    ),
    (_PROXY, Cause.no_protocol_transition): Advice(
        "'{account}' may sign on only users who came with Kerberos (\"Use Kerberos only\").", _TRANSITION
    ),
    (_PROXY, Cause.spn_not_listed): Advice(
        "'{account}' may sign users on to other services, not to {spn}: the name is compared letter by "
        "letter.",
        _TARGETS,
    ),
    (_PROXY, Cause.resource_based_missing): Advice(
        "The account of {spn} does not name '{account}' among those who may sign users on to it "
        "(resource-based delegation, the only kind across domains).",
        "Set-ADUser or Set-ADComputer SERVICE-ACCOUNT -PrincipalsAllowedToDelegateToAccount "
        "(Get-ADObject -Filter \"sAMAccountName -eq '{account}'\"), or samba-tool delegation "
        "add-principal SERVICE-ACCOUNT '{account}'; Samba 4.17 refuses this kind, 4.22 has it.",
    ),
    (_OUTBOUND, Cause.spn_unknown): Advice(
        "No account of the domain has the service principal name {spn} of the HTTP proxy.",
        "Write the proxy into proxy.url of connector.toml by the name that its keytab has: klist -k there; "
        "or setspn -S '{spn}' PROXY-ACCOUNT, or samba-tool spn add '{spn}' PROXY-ACCOUNT, and a new keytab.",
    ),
    (_OUTBOUND, Cause.spn_ambiguous): Advice(
        "Several accounts have the service principal name {spn} of the HTTP proxy.",
        "Find them with setspn -X; setspn -D '{spn}' ACCOUNT, or samba-tool spn delete '{spn}' ACCOUNT, "
        "removes one.",
    ),
    (_OUTBOUND, Cause.account_disabled): _DISABLED,
    (_MUTUAL, Cause.wrong_service): Advice(
        "The application has no key for {spn}: it runs as another account than the one that has this name.",
        "Let it run as the account that setspn -Q '{spn}' names, or move the name there; IIS: "
        "useAppPoolCredentials; elsewhere klist -k of the application's keytab.",
    ),
    (_MUTUAL, Cause.wrong_key): Advice(
        "The application's key for {spn} is not the domain's: its password was changed, or the name is "
        "another account's.",
        "Make the application a new keytab, or restart it; setspn -Q '{spn}' shows whose name it is; IIS: "
        "useAppPoolCredentials.",
    ),
    (_MUTUAL, Cause.replayed): Advice(
        "The application says that it has seen this very request before.",
        "Look for a proxy between connector and application that sends requests twice.",
    ),
    (_MUTUAL, Cause.clock_skew): Advice(
        "The clocks of the application and of the connector are more than five minutes apart.", _CLOCK
    ),
    (_MUTUAL, Cause.reply_missing): Advice(
        "The application answered without proving that it is {spn}.",
        "Is it behind a proxy that drops WWW-Authenticate? If it never sends it, switch "
        "sso.mutual_authentication off for this application.",
    ),
    (_MUTUAL, Cause.reply_malformed): Advice(
        "What the application sent to prove who it is cannot be read, or is of another exchange.",
        "Look for a proxy between connector and application that mixes up answers; try the other "
        'sso.token ("spnego", "kerberos").',
    ),
    (_MUTUAL, Cause.rejected): Advice(
        "The application refused the ticket without saying why.",
        'Look at its own log; try the other sso.token ("spnego", "kerberos"); is Extended Protection '
        "required in IIS?",
    ),
    (_MUTUAL, Cause.wrong_mechanism): Advice(
        "The application wants another mechanism than Kerberos, most likely NTLM.",
        "IIS: put Negotiate before NTLM among the providers of Windows Authentication; give the "
        "application {spn}: setspn -Q '{spn}'.",
    ),
}


def advice_for(stage: Stage, cause: Cause) -> Advice:
    """What is known of a refusal, with placeholders such as C{{account}}."""
    return _AT_STAGE.get((stage, cause)) or _ANY_STAGE.get(cause) or _ANY_STAGE[Cause.other]


def advise(error: KerberosError, **names: str) -> Advice:
    """
    What an error means, with its names filled in.

    @param names: C{account}, C{user}, C{spn}, C{realm}, C{keytab}: what is missing, or could do
        harm in a command, stays a word in capitals.
    """
    filled = {
        name: names[name] if _HARMLESS.fullmatch(names.get(name, "")) else placeholder
        for name, placeholder in _PLACEHOLDERS.items()
    }
    meaning, remedy = advice_for(error.stage, error.cause)
    return Advice(meaning.format(**filled), remedy.format(**filled))
