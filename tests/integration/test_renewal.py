"""Certificates that come to their end while people work: nobody notices."""

from __future__ import annotations

from typing import Final

from tests.integration.support.living import DAY, LivingCase

STEP: Final = 20 * DAY
"""Two thirds of a connector's certificate, and a little: it was made before the test began."""


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
