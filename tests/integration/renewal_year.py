"""
C{python -m tests tests.integration.renewal_year}: a year of everybody's certificates in some minutes.

Not among C{make test}'s, which L{tests.integration.test_renewal} is: it takes minutes.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Final

from appproxy.connector.service import ASK_AGAIN_SECONDS
from tests.integration.support.living import DAY, LivingCase

STEP: Final = 20 * DAY
"""Two thirds of a connector's certificate, and a little: it was made before the test began."""

YEAR: Final = 260 * DAY
"""Edge and relay renew theirs after two thirds of 365 days."""


class RemoteTests(LivingCase):
    """A relay of its own."""

    connectors = 2
    with_clock = True
    with_relay = True

    def test_year(self) -> None:
        """
        Everybody's certificate comes to its end at least once in a year, the connectors' every thirty days:
        all are renewed in time, and what was begun at the beginning of the year goes on all the time.
        """
        before = {name: self.identity(name) for name in self.daemons}
        self.begin()
        while self.clock.ahead < YEAR:
            self.pass_time()
        for name, identity in before.items():
            self.assertGreater(self.identity(name).expires_at, identity.expires_at + 200 * DAY, name)
        self.wait_for(lambda: self.events("edge", "tunnel_up"), "the edge dialled the relay anew")
        self.end()

    passed = 0
    asked_again = 0

    def pass_time(self) -> None:
        """Let some weeks pass, and wait until all that is due was renewed."""
        self.passed += 1
        self.asked_again = 0
        self.clock.set(self.clock.ahead + STEP)
        connectors = [name for name in self.daemons if name.startswith("connector")]
        before = {name: self.identity(name) for name in self.daemons}
        old = {name: identity.fingerprint for name, identity in before.items() if self.is_due(name)}
        self.assertLessEqual(set(connectors), set(old))
        self.look()
        for name, fingerprint in old.items():
            self.wait_for(partial(self.is_renewed, name, fingerprint, time.monotonic()), name)
        self.wait_for(self.all_serve, "the connectors are back")

    def is_renewed(self, name: str, fingerprint: str, since: float) -> bool:
        """
        Whether a daemon has another certificate. Who asked while the next one on the way was changing its
        own asks again, in hours by itself, here every few seconds.
        """
        if self.identity(name).fingerprint != fingerprint:
            return True
        if time.monotonic() - since > ASK_AGAIN_SECONDS * (1 + self.asked_again):
            self.asked_again += 1
            self.look(name)
        return False

    def is_due(self, name: str) -> bool:
        """Whether a daemon's certificate is, now."""
        return self.identity(name).renewal_due(time.time() + self.clock.ahead)

    def all_serve(self) -> bool:
        """Whether each connector has a certificate more for each time, and has shown the newest one."""
        return all(
            len(self.events(name, "renewed")) >= self.passed < len(self.events(name, "tunnel_up"))
            for name in self.daemons
            if name.startswith("connector")
        )
