"""
Tests of L{appproxy.pages.assets}.
"""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from appproxy.pages.assets import ASSETS_PATH, AssetsResource, packaged_assets
from appproxy.pages.tiles import COLOURS
from tests.pages.support import Answer, ask, refuses_other_methods


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio of two C{#rrggbb}."""

    def luminance(colour: str) -> float:
        parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
        red, green, blue = (
            each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


class AssetsResourceTests(SynchronousTestCase):
    """L{AssetsResource}."""

    def setUp(self) -> None:
        self.assets = packaged_assets()

    def get(self, url: str) -> Answer:
        """One file by its address."""
        return ask(AssetsResource(self.assets), "/" + url.removeprefix(ASSETS_PATH))

    def test_served(self) -> None:
        """Each file comes with its type and may be kept for good."""
        for asset in self.assets.values():
            answer = self.get(asset.url)
            self.assertEqual((answer.status, answer.body), (200, asset.content))
            self.assertEqual(answer.headers["Content-Type"], asset.media_type)
            self.assertIn("immutable", answer.headers["Cache-Control"])

    def test_missing(self) -> None:
        """Anything else is 404 and not kept."""
        for url in ("/style.css", "/", "/../pages.py", f"{self.assets['style.css'].url}/x"):
            answer = self.get(url)
            self.assertEqual(answer.status, 404, url)
            self.assertEqual(answer.headers["Cache-Control"], "no-store")

    def test_other_methods(self) -> None:
        """They are read, and nothing else."""
        for url in ("/", "/" + self.assets["style.css"].name):
            refuses_other_methods(self, AssetsResource(self.assets), url)

    def test_pictures_in_style(self) -> None:
        """The stylesheet names its pictures as they are served."""
        style = self.assets["style.css"].content.decode()
        named = set(re.findall(r"url\(([^)]+)\)", style))
        self.assertEqual(named, {self.assets["arches.svg"].name})


class ContrastTests(SynchronousTestCase):
    """The colours of the stylesheet, light and dark (WCAG 2.2, 1.4.3 and 1.4.11)."""

    def setUp(self) -> None:
        self.style = packaged_assets()["style.css"].content.decode()
        light, dark = re.findall(r":root \{(.*?)\}", self.style, re.DOTALL)
        self.light = dict(re.findall(r"--([\w-]+): (#\w{6});", light))
        self.dark = self.light | dict(re.findall(r"--([\w-]+): (#\w{6});", dark))

    def test_text(self) -> None:
        """Text has at least 4.5 to 1 on whatever it stands on."""
        pairs = [(text, ground) for text in ("ink", "soft", "accent") for ground in ("paper", "card")]
        pairs += [("accent-ink", "accent"), ("warn", "warn-soft"), ("ink", "accent-soft")]
        for colours in (self.light, self.dark):
            for text, ground in pairs:
                self.assertGreaterEqual(_contrast(colours[text], colours[ground]), 4.5, (text, ground))

    def test_controls(self) -> None:
        """Borders of fields and buttons, and the focus ring, have at least 3 to 1."""
        for colours in (self.light, self.dark):
            for line in ("field", "accent"):
                self.assertGreaterEqual(_contrast(colours[line], colours["paper"]), 3.0, line)

    def test_tiles(self) -> None:
        """There is a colour for each number, and white initials can be read on all."""
        colours = dict(re.findall(r"\.c(\d+) \{ background: (#\w{6}); \}", self.style))
        self.assertEqual(set(colours), {str(number) for number in range(COLOURS)})
        for colour in colours.values():
            self.assertGreaterEqual(_contrast(colour, "#ffffff"), 4.5, colour)
