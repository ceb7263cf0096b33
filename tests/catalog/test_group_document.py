"""L{appproxy.catalog.group_document}."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from appproxy.catalog.group_document import read_group, write_group
from tests.connector.support import backend

SSO: dict[str, Any] = {"mode": "headers", "headers": {"X-User": {"claim": "groups", "join": ";"}}}


class DocumentTests(SynchronousTestCase):
    """What connectors are told."""

    def test_round_trip(self) -> None:
        """What is written reads back as it was, and equal applications are equal bytes."""
        backends = (
            backend(),
            backend(
                "signed", passthrough=False, sso=SSO, timeout="250ms", internal="https://[fd00::1]:8443/x/"
            ),
        )
        self.assertEqual(read_group(write_group(backends)), (backends, {}, None))
        self.assertEqual(write_group(backends), write_group(read_group(write_group(backends)).backends))
        self.assertEqual(read_group(write_group([])), ((), {}, None))

    def test_no_users(self) -> None:
        """A connector is told no users and no groups."""
        (plain,) = json.loads(write_group([backend()]))["applications"]
        self.assertFalse({"users", "groups", "everyone"} & set(plain))

    def test_garbage(self) -> None:
        """What no relay sends is refused."""
        for payload in (
            b"",
            b"\xff",
            b"[]",
            b"{}",
            b'{"applications": 1}',
            b'{"applications": [[]]}',
            b"[" * 9,
            b"[" * 50_000,
        ):
            self.assertRaises(ValueError, read_group, payload)

    def test_one_that_is_newer(self) -> None:
        """One application that this version does not know costs no other; it is named, with the place."""
        plain = json.loads(write_group([backend(), backend("new"), backend("newer")]))
        plain["applications"][1]["verify_backend_certificate"] = "false"
        plain["applications"][2]["compress"] = True
        document = read_group(json.dumps(plain).encode())
        self.assertEqual([each.id for each in document.backends], ["wiki"])
        self.assertIn("verify_backend_certificate", document.unreadable["new"])
        self.assertIn("compress", document.unreadable["newer"])
