"""
What an administrator does about the causes that are not Kerberos' own. Pure.
"""

from __future__ import annotations

from typing import Final

from appproxy.kerberos.advice import advise
from appproxy.kerberos.causes import Cause, KerberosError, Stage
from appproxy.sso.errors import SignOnError

ADVICE: Final = {
    "name_refused": "Look at sign_in.claims of the edge: does it name the claim that the application's "
    "sso.login_identity needs, and does the provider send it?",
    "user_unknown": "Compare the name with the account's attribute in the directory, and directory.base "
    "with where the account is; choose another sso.login_identity if it is another name.",
    "user_ambiguous": "Give the accounts different names in the directory: a user is signed on only if "
    "there is exactly one.",
    "never_impersonated": "This is what never_impersonate of connector.toml is for: use another account.",
    "group_unknown": "Correct never_impersonate in connector.toml: until each name is known, nobody is "
    "signed on. Where names are translated, write the SID: that of Domain Admins ends in -512.",
    "directory_unreachable": "Look at directory.servers of connector.toml, and at the way there: port 636 "
    "for ldaps://, 389 for ldap://.",
    "directory_timeout": "A domain controller does not answer in time: directory.timeout, and its load.",
    "directory_tls": "Set directory.ca_file to the authority of the domain controllers' certificates, and "
    "name servers as their certificates do.",
    "directory_refused": "The directory does not take the connector's account, or lets it not read: look "
    "at directory.bind, and give it the right to read tokenGroups.",
    "clock_skew": "Let both machines take their time from the domain controllers: w32tm /resync on "
    "Windows, chronyc makestep on Linux.",
    "forgotten": "Try again: a session of the user's ended while the ticket was got.",
    "overloaded": "The connector has more sign-ons under way than it can do: try again, or start another.",
}
"""By cause."""

_OWN: Final = {cause.value: cause for cause in Cause}


def remedy_of(error: SignOnError, user: str) -> str:
    """
    What to do.

    @param user: the user principal name, for commands.
    """
    if error.cause in ADVICE:
        return ADVICE[error.cause]
    # What the guards find before any KDC does is named as it would be where a KDC finds it last.
    return advise(KerberosError(Stage.s4u2proxy, _OWN.get(error.cause, Cause.other)), user=user).remedy
