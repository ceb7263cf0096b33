"""Reading a file, and what the three files share."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from appproxy.config.common import LogSettings
from appproxy.config.edge import EdgeSettings, load_edge
from appproxy.config.relay import RelaySettings, load_relay


class ReadTests(SynchronousTestCase):
    """L{appproxy.config.common.read_settings}, by way of the three loaders."""

    def setUp(self) -> None:
        """A folder for the files."""
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def test_missing_file(self) -> None:
        """A file that is not there is one problem, not a traceback."""
        found = load_edge(self.folder / "edge.toml", {})
        assert isinstance(found, list)
        self.assertEqual(
            [str(each) for each in found],
            [f"{self.folder}/edge.toml: cannot be read: No such file or directory"],
        )

    def test_not_text(self) -> None:
        """Nor is a file in another encoding."""
        path = self.folder / "relay.toml"
        path.write_bytes(b"identity = '\xff'")
        found = load_relay(path, {})
        assert isinstance(found, list)
        self.assertEqual(str(found[0]), f"{path}: is not UTF-8 text")

    def test_relative_paths(self) -> None:
        """Paths are relative to the file that names them, wherever the process stands."""
        path = self.folder / "relay.toml"
        path.write_text('identity = "id"\n[listen]\nhttps = ["unix:edge.sock"]\n[log]\nfile = "/x.log"\n')
        relay = load_relay(path, {})
        assert isinstance(relay, RelaySettings)
        self.assertEqual(relay.identity, self.folder / "id")
        self.assertEqual(relay.listen.https, (f"unix:{self.folder}/edge.sock",))
        self.assertEqual(relay.log.file, Path("/x.log"))

    def test_credentials(self) -> None:
        """C{credential:} is systemd's folder, and without one stays a name that no file has."""
        path = self.folder / "edge.toml"
        path.write_text(
            'domain = "a.example"\n[sign_in]\nissuer = "https://i.example"\nclient_id = "c"\n'
            'client_secret_file = "credential:secret"\n'
        )
        under_systemd = load_edge(path, {"CREDENTIALS_DIRECTORY": "/run/credentials/x"})
        by_hand = load_edge(path, {})
        assert isinstance(under_systemd, EdgeSettings) and under_systemd.sign_in
        assert isinstance(by_hand, EdgeSettings) and by_hand.sign_in
        self.assertEqual(under_systemd.sign_in.client_secret_file, Path("/run/credentials/x/secret"))
        self.assertEqual(by_hand.sign_in.client_secret_file, Path("credential:secret"))


class LogTests(SynchronousTestCase):
    """L{LogSettings}."""

    def test_format(self) -> None:
        """Text for a person at a terminal, unless the file names a format."""
        self.assertEqual(LogSettings().format_on(terminal=True), "text")
        self.assertEqual(LogSettings().format_on(terminal=False), "json")
        self.assertEqual(LogSettings(format="json").format_on(terminal=True), "json")
