"""
What is done with a request that ended: it is counted, written down, and remembered for a while.
"""

from __future__ import annotations

from appproxy.observe.access_log import AccessFormat, LineWriter
from appproxy.observe.recent import Recent
from appproxy.observe.series import Series
from appproxy.observe.transaction import Transaction


class Account:
    """
    @param form: of the line; L{None}: none is written.
    """

    __slots__ = ("_form", "_recent", "_series", "_writer")

    def __init__(self, series: Series, writer: LineWriter, form: AccessFormat | None, recent: Recent) -> None:
        self._series = series
        self._writer = writer
        self._form = form
        self._recent = recent

    def finished(self, transaction: Transaction) -> None:
        """A request is over."""
        self._series.observe(transaction)
        if self._form is not None:
            self._writer.write(self._form.line(transaction))
        self._recent.keep(transaction)
