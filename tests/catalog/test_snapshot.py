"""Tests of the snapshot that requests are routed by."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.catalog.snapshot import Catalog
from tests.catalog.examples import application, group, read


class RouteTests(SynchronousTestCase):
    """Which application answers."""

    def setUp(self) -> None:
        """One host with three applications, one with a single one, one in another alphabet."""
        self.catalog = Catalog(
            7,
            {
                "root": application("https://a.example/"),
                "docs": application("https://a.example/docs/", connector_group="branch"),
                "deep": application("https://a.example/docs/deep/"),
                "single": application("https://b.example:8443/"),
                "below": application("https://c.example/only/"),
                "umlaut": application("https://bücher.example/"),
            },
            {"hq": group()},
        )

    def routed(self, host: bytes, path: str) -> str | None:
        """The id of the application that answers."""
        published = self.catalog.route(host, path)
        return None if published is None else published.id

    def test_most_specific_first(self) -> None:
        """
        The longest external path that the request is below wins, whole parts only.

        Security row 10.
        """
        self.assertEqual(self.routed(b"a.example", "/"), "root")
        self.assertEqual(self.routed(b"a.example", "/docs/x"), "docs")
        self.assertEqual(self.routed(b"a.example", "/docs/deep/"), "deep")
        self.assertEqual(self.routed(b"a.example", "/docs/deeper"), "docs")

    def test_without_the_last_slash(self) -> None:
        """
        A path without its last slash is no way around: it is the same application's.

        Security row 7.
        """
        self.assertEqual(self.routed(b"a.example", "/docs"), "docs")
        self.assertEqual(self.routed(b"a.example", "/docs/deep"), "deep")
        self.assertEqual(self.routed(b"a.example", "/doc"), "root")
        self.assertEqual(self.routed(b"a.example", "/docs2"), "root")

    def test_like_another(self) -> None:
        """Only a more specific application's path, spelt otherwise, is; two that differ so were wished so."""

        def alike(catalog: Catalog, path: str) -> bool:
            published = catalog.route(b"a.example", path)
            assert published is not None
            return catalog.like_another(b"a.example", path, published)

        for path in ("/DOCS/x", "/Docs", "/docs/Deep/", "/docs./x", "/docs/deep "):
            self.assertTrue(alike(self.catalog, path), path)
        for path in ("/", "/X", "/docs/X", "/DOCS2", "/docs/deep/DEEP", "/docs/DEEPER", "/x/DOCS/"):
            self.assertFalse(alike(self.catalog, path), path)
        both = Catalog(
            1, {"one": application("https://a.example/docs/"), "two": application("https://a.example/Docs/")}
        )
        for path in ("/docs/", "/Docs/"):
            self.assertFalse(alike(both, path), path)

    def test_nothing_outside(self) -> None:
        """Unknown hosts, and paths beside the published one, have no application."""
        self.assertIsNone(self.routed(b"example", "/"))
        self.assertIsNone(self.routed(b"c.example", "/"))
        self.assertIsNone(self.routed(b"c.example", "/ONLY/"))

    def test_hosts(self) -> None:
        """Hosts are known as they stand on the wire, without port."""
        self.assertEqual(self.routed(b"b.example", "/"), "single")
        self.assertEqual(self.routed(b"xn--bcher-kva.example", "/"), "umlaut")
        self.assertIn(b"c.example", self.catalog.hosts)

    def test_alone(self) -> None:
        """Only an application at the root of a host that no other shares is alone."""
        alone = {key for key, published in self.catalog.published.items() if published.alone}
        self.assertEqual(alone, {"single", "umlaut"})

    def test_by_group(self) -> None:
        """A group's connectors are told of its own applications only."""
        self.assertEqual([backend.id for backend in self.catalog.by_group("branch")], ["docs"])
        self.assertEqual(self.catalog.by_group("elsewhere"), ())


class SnapshotTests(SynchronousTestCase):
    """What stays from one snapshot to the next."""

    def test_backend_has_no_people(self) -> None:
        """What a connector is told names no user and no group."""
        catalog = Catalog(1, read().applications)
        self.assertNotIn("ada", catalog.published["wiki"].backend.model_dump_json())

    def test_unchanged_is_kept(self) -> None:
        """What did not change is the same object in the next snapshot; what did is a new one."""
        wiki, other = application(), application("https://b.example/")
        first = Catalog(1, {"wiki": wiki, "other": other})
        second = Catalog(2, {"wiki": wiki, "other": application("https://b.example/x/")}, previous=first)
        self.assertIs(second.published["wiki"], first.published["wiki"])
        self.assertIsNot(second.published["other"], first.published["other"])

    def test_a_neighbour_ends_being_alone(self) -> None:
        """An application whose host gets a second one is no longer alone there."""
        wiki = application()
        first = Catalog(1, {"wiki": wiki})
        second = Catalog(
            2, {"wiki": wiki, "x": application("https://wiki.apps.example.com/x/")}, previous=first
        )
        self.assertTrue(first.published["wiki"].alone)
        self.assertFalse(second.published["wiki"].alone)

    def test_immutable(self) -> None:
        """Nobody who holds a snapshot can change it."""
        catalog = Catalog(1, {"wiki": application()})
        with self.assertRaises(TypeError):
            catalog.applications["x"] = application()  # type: ignore[index]
