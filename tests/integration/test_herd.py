"""All connectors lose their edge at once, and find it again."""

from __future__ import annotations

import os
import sys
from typing import Final

from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.herd import Herd

COUNT: Final = int(os.environ.get("APPPROXY_HERD_CONNECTORS", "50"))


class HerdTests(IntegrationTestCase):
    """An edge that is killed and started again."""

    timeout = 1200

    def test_restart(self) -> None:
        """
        All connectors come back by themselves, and from the first one that does on, every request is served,
        while the others still knock.
        """
        herd = Herd(self, COUNT)
        came = herd.come_back()
        print(f"{COUNT} connectors: {came}", file=sys.stderr)
        self.assertEqual(herd.tunnels(), COUNT)
        self.assertEqual(came.failed, 0)
        self.assertNotIn('"level":"error"', herd.edge.text)
