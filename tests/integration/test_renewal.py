"""Certificates that come to their end while people work: nobody notices."""

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


class InsideTests(LivingCase):
    """The relay inside of the edge."""

    with_clock = True

    def test_renewed(self) -> None:
        """
        A connector's certificate is renewed once two thirds of its life are over; a new tunnel with the new
        one takes over, and what goes through the old one goes on to its end.
        """
        before = self.identity("connector")
        self.begin()
        self.look("connector")
        self.clock.set(STEP)
        self.look("connector")
        self.wait_for(lambda: self.identity("connector").fingerprint != before.fingerprint, "a new one")
        after = self.identity("connector")
        self.assertGreater(after.expires_at, before.expires_at + STEP - DAY)
        self.wait_for(lambda: len(self.tunnels()) == 2, "a second tunnel")
        self.streams.move()
        self.assertEqual(len(self.tunnels()), 2, "what is under way holds the first one open")
        self.end()
        self.wait_for_one_tunnel()

    def wait_for_one_tunnel(self) -> None:
        """Once nothing goes through the first one, it is closed."""
        del self.streams
        self.wait_for(lambda: len(self.tunnels()) == 1, "the first tunnel is closed")
        self.wait_for(lambda: self.events("connector", "tunnel_down"), "the connector says so")
        (down,) = self.events("connector", "tunnel_down")
        self.assertIn("drained", down["message"])


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
