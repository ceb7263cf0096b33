"""
What is done with a request that ended: it is counted and written down.
"""

from __future__ import annotations

from appproxy.observe.access_log import AccessFormat, LineWriter
from appproxy.observe.series import Series
from appproxy.observe.transaction import Transaction


class Account:
    """
    @param form: of the line; L{None}: none is written.
    """

    __slots__ = ("_form", "_series", "_writer")

    def __init__(self, series: Series, writer: LineWriter, form: AccessFormat | None) -> None:
        self._series = series
        self._writer = writer
        self._form = form

    def finished(self, transaction: Transaction) -> None:
        """A request is over."""
        self._series.observe(transaction)
        if self._form is not None:
            self._writer.write(self._form.line(transaction))
