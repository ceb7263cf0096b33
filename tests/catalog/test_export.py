"""Tests of the catalog written back as a file."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from appproxy.catalog.documents import Document
from appproxy.catalog.export import export
from appproxy.catalog.snapshot import Catalog
from appproxy.model.application import Application, ConnectorGroup
from tests.catalog.examples import application, read

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
PRINTABLE = TEXTS.filter(str.isprintable)
TOKENS = st.from_regex(r"X-[A-Za-z0-9!#$%&'*+^_`|~-]{1,12}", fullmatch=True)
SOURCES = st.one_of(
    st.fixed_dictionaries({"value": PRINTABLE}),
    st.fixed_dictionaries({"claim": st.sampled_from(["groups", "mail"])}, optional={"join": PRINTABLE}),
)
SETTINGS = st.fixed_dictionaries(
    {"name": TEXTS},
    optional={
        "users": st.lists(TEXTS, max_size=3),
        "everyone": st.booleans(),
        "description": TEXTS,
        "backend_timeout": st.integers(1, 10**8).map(lambda n: f"{n}ms"),
        "upgrades": st.lists(st.sampled_from(["websocket", "tls"]), max_size=2),
        "cookie": st.fixed_dictionaries(
            {}, optional={"http_only": st.booleans(), "same_site": st.just("strict")}
        ),
        "home_page_url": st.just("https://wiki.apps.example.com/start/"),
        "sso": st.dictionaries(TOKENS, SOURCES, min_size=1, max_size=1).map(
            lambda headers: {"mode": "headers", "headers": headers}
        ),
    },
)


class ExportTests(SynchronousTestCase):
    """Whatever is published can be exported, and read back as the same."""

    def test_example(self) -> None:
        """The documented example comes back equal, and a second export is the same text."""
        text = export(read())
        self.assertEqual(read(text), read())
        self.assertEqual(export(read(text)), text)

    def test_catalog(self) -> None:
        """A catalog is exported as well as a file's document."""
        document = read()
        self.assertEqual(export(Catalog(3, document.applications, document.groups)), export(document))

    def test_empty(self) -> None:
        """An empty catalog is a valid file."""
        self.assertEqual(read(export(Document())), Document())

    def test_form(self) -> None:
        """Only what differs from the default is written, headers as one line each."""
        text = export(read())
        self.assertIn('headers.X-Remote-User = { claim = "user_principal_name" }', text)
        self.assertNotIn("retry", text)

    @settings(max_examples=200, deadline=None)
    @given(SETTINGS, TEXTS)
    def test_round_trip(self, some: dict[str, Any], group_name: str) -> None:
        """Any text in any setting survives: quotes, control characters, other alphabets."""
        made: Application = application(**some)
        document = Document({"wiki": made}, {"hq": ConnectorGroup(name=group_name)})
        self.assertEqual(read(export(document)), document)
