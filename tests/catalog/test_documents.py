"""Tests of how the catalog stands in the store."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from appproxy.catalog.documents import UnreadableDocument, decode, digest, encode, key_of
from tests.catalog.examples import application, group, read


class DocumentTests(SynchronousTestCase):
    """Keys and values."""

    def test_round_trip(self) -> None:
        """Every object of a file is read back from the store as it was."""
        for entry_id, entry in read().applications.items():
            key = key_of("application", entry_id)
            self.assertEqual(decode(key, encode(entry)), ("application", entry_id, entry))
        key = key_of("connector_group", "hq")
        self.assertEqual(decode(key, encode(group())), ("connector_group", "hq", group()))

    def test_keys(self) -> None:
        """The keys are those of the documentation."""
        self.assertEqual(key_of("application", "wiki"), "/appproxy/1/catalog/applications/wiki")
        self.assertEqual(key_of("connector_group", "hq"), "/appproxy/1/catalog/connector-groups/hq")

    def test_defaults_are_written(self) -> None:
        """A default that a later version changes does not change what is published."""
        plain = json.loads(encode(application()))
        self.assertEqual((plain["v"], plain["backend_timeout"], plain["everyone"]), (1, "85s", False))

    def test_unreadable(self) -> None:
        """Another version, another key, broken JSON and wrong content are told, never guessed."""
        key = key_of("connector_group", "hq")
        for bad_key, value in (
            (key, b'{"v":2,"name":"Headquarters"}'),
            (key, b'{"name":"Headquarters"}'),
            (key, b"[]"),
            (key, b"\xff"),
            (key, b'{"v":1,"name":"Headquarters","colour":"red"}'),
            ("/appproxy/1/catalog/other/x", b'{"v":1}'),
        ):
            with self.assertRaises(UnreadableDocument):
                decode(bad_key, value)

    def test_digest(self) -> None:
        """Equal objects have equal hashes, others have others, and nothing has none."""
        self.assertEqual(digest(application()), digest(application()))
        self.assertNotEqual(digest(application()), digest(application(everyone=True)))
        self.assertEqual(digest(None), "")
