"""
Forms of contexts, made once each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from appproxy.transport.contexts import ClientContext, ServerContext

Form = TypeVar("Form")


class Forms(Generic[Form]):
    """What one TLS library makes of our contexts; a form goes with its context."""

    def __init__(
        self, server: Callable[[ServerContext], Form], client: Callable[[ClientContext], Form]
    ) -> None:
        self._server = server
        self._client = client
        self._made: WeakKeyDictionary[ServerContext | ClientContext, Form] = WeakKeyDictionary()

    def __call__(self, context: ServerContext | ClientContext) -> Form:
        """
        The form of a context.

        @raise BadCertificate: if the library refuses a certificate or key.
        """
        form = self._made.get(context)
        if form is None:
            if isinstance(context, ServerContext):
                form = self._server(context)
            else:
                form = self._client(context)
            self._made[context] = form
        return form
