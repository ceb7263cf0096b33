"""
Tests of L{appproxy.store.keys}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.store import keys
from appproxy.store.istore import check_prefix
from appproxy.store.keys import BadDocument, decode_document, encode_document


class DocumentTests(SynchronousTestCase):
    """Documents of the store."""

    def test_round_trip(self) -> None:
        """A document is read as it was written; the version is not part of it."""
        document = {"name": "Überblick", "list": [1, None]}
        self.assertEqual(decode_document(encode_document(document)), document)

    def test_canonical(self) -> None:
        """Equal documents are equal bytes, and say their version."""
        self.assertEqual(encode_document({"b": 1, "a": 2}), b'{"a":2,"b":1,"v":1}')

    def test_bad(self) -> None:
        """What is no document of this version is refused."""
        for value in (b"", b"{", b"[]", b"{}", b'{"v":2}', b'{"v":"1"}', b"\xff", b"null"):
            self.assertRaises(BadDocument, decode_document, value)

    def test_prefixes(self) -> None:
        """Every prefix that is named is one."""
        prefixes = [
            value for value in vars(keys).values() if isinstance(value, str) and value[:10] == "/appproxy/"
        ]
        self.assertGreaterEqual(len(prefixes), 9)
        for prefix in prefixes:
            check_prefix(prefix)
