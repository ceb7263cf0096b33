"""
What libkrb5 says of a failure, as our own error.
"""

from __future__ import annotations

from typing import NoReturn

from gssapi.raw.misc import GSSError

from appproxy.kerberos.causes import KerberosError, Stage, cause_of


def refuse(stage: Stage, error: GSSError) -> NoReturn:
    """
    Let a step fail.

    @raise KerberosError: always.
    """
    raise error_of(stage, error) from None


def error_of(stage: Stage, error: GSSError) -> KerberosError:
    """What the library says of it, without the number of GSSAPI's own that goes before."""
    cause = cause_of(stage, error.maj_code, error.min_code)
    words = str(error).rpartition("): ")[2]
    return KerberosError(stage, cause, f"{words}, {_signed(error.min_code)}")


def _signed(minor: int) -> int:
    return minor - (1 << 32) if minor >= 1 << 31 else minor
