"""
What the connector may ask of any sign-on mode.
"""

from __future__ import annotations

from collections.abc import Iterable

from mypy_extensions import i64

from appproxy.httpwire.field import Fields
from appproxy.httpwire.names import Name, plain_names
from appproxy.model.principal import Principal


class SignOn:
    """
    One application's sign-on.

    @ivar binds_connection: whether the backend knows the user by the connection,
        so that it may serve this user alone.
    @ivar owned_headers: the headers that only this mode may send, as
        L{plain_name<appproxy.httpwire.names.plain_name>} writes them.
    """

    def __init__(self, owned: Iterable[bytes] = (), binds_connection: bool = False) -> None:
        self.owned_headers = plain_names(owned)
        self.binds_connection = binds_connection
        # One bit for each length of a name, from 32 on for several at once.
        self._lengths: i64 = 0
        for name in self.owned_headers:
            self._lengths |= 1 << (len(name) & 31)

    def owns(self, name: Name) -> bool:
        """Whether only this mode may send such a header, in any spelling."""
        plain = name.plain
        # Most names are told apart by their length alone, without a look-up.
        return self._lengths >> (len(plain) & 31) & 1 == 1 and plain in self.owned_headers

    def headers(self, principal: Principal | None) -> Fields:
        """
        What is added to each request.

        @raise SignOnError: if it cannot be made for this user.
        """
        raise NotImplementedError
