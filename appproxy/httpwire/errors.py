"""
The one way in which a message on the wire is refused.
"""

from __future__ import annotations


class BadMessage(Exception):
    """
    A message that breaks a rule of the wire; its connection must be closed.

    @ivar status: the HTTP status to answer with: 4xx for a request, 502 for a
        response.
    @ivar rule: the name of the broken rule, C{both_length_and_chunked} for
        example; it never holds bytes of the message.
    """

    def __init__(self, status: int, rule: str) -> None:
        super().__init__(status, rule)
        self.status = status
        self.rule = rule

    def __str__(self) -> str:
        return f"{self.status} {self.rule}"
