"""C{appproxy init}."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from appproxy.cli.init import DEFAULT_CONFIG, Choices, advice, config_text, init
from appproxy.config.common import file_context, parse_settings
from appproxy.config.edge import EdgeSettings, load_edge


class InitTests(SynchronousTestCase):
    """The command."""

    def setUp(self) -> None:
        """A place for the file."""
        self.config = Path(self.mktemp()).absolute() / "edge.toml"

    def run_init(
        self, *more: str, domain: str = "apps.example.com", issuer: str = "https://i.example"
    ) -> Result:
        """Run the command."""
        options = ("--domain", domain, "--issuer", issuer, "--client-id", "c", "--config", str(self.config))
        return CliRunner().invoke(init, [*options, *more])

    def test_writes(self) -> None:
        """
        A file without problems, whose places are below its own folder and closed to others.

        Security row 39.
        """
        result = self.run_init()
        self.assertEqual(result.exit_code, 0, result.output)
        settings = load_edge(self.config, {})
        assert isinstance(settings, EdgeSettings) and settings.sign_in
        folder = self.config.parent
        self.assertEqual(settings.store.path, folder / "state" / "store.sqlite3")
        self.assertEqual(settings.sign_in.client_secret_file, folder / "oidc-client-secret")
        self.assertEqual(self.config.stat().st_mode & 0o777, 0o640)
        self.assertEqual((folder / "state").stat().st_mode & 0o777, 0o700)
        self.assertEqual(settings.pki.infrastructure_key_file.stat().st_mode & 0o777, 0o600)
        self.assertTrue((folder / "certificates").is_dir())

    def test_advice(self) -> None:
        """DNS, addresses to register (with a port that is not 443) and the next command are printed."""
        printed = self.run_init("--listen", "127.0.0.1:8443").output
        for line in (
            "*.apps.example.com.  A  <address of this edge>",
            "https://auth.apps.example.com:8443/.appproxy/callback\n",
            "https://auth.apps.example.com:8443/.appproxy/signed-out\n",
            f"Next: appproxy check {self.config} --online\n",
        ):
            self.assertIn(line, printed)

    def test_never_overwrites(self) -> None:
        """A file that is there stays as it is."""
        self.run_init()
        before = self.config.read_bytes()
        result = self.run_init(domain="other.example.com")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("is there already; nothing was changed", result.output)
        self.assertEqual(self.config.read_bytes(), before)

    def test_wrong_words(self) -> None:
        """Wrong options are a matter of usage, and nothing is written."""
        result = self.run_init(domain="a b", issuer="i.example")
        self.assertEqual(result.exit_code, 2)
        self.assertIn("domain: 'a b' is not a host name", result.output)
        self.assertIn("sign_in.issuer: ", result.output)
        self.assertFalse(self.config.parent.exists())

    def test_quotes(self) -> None:
        """What was said cannot break out of its quotes."""
        self.run_init("--client-id", 'x"\n[admin]\nlisten = "\\')
        settings = load_edge(self.config, {})
        assert isinstance(settings, EdgeSettings) and settings.sign_in
        self.assertEqual(settings.sign_in.client_id, 'x"\n[admin]\nlisten = "\\')

    def test_of_the_system(self) -> None:
        """The system's edge keeps the defaults, and has its secret and its ports from systemd."""
        choices = Choices("apps.example.com", "https://i.example", "c", DEFAULT_CONFIG, Path("/x"), ":443")
        text = config_text(choices)
        settings = parse_settings(EdgeSettings, text, "", file_context(DEFAULT_CONFIG.parent, {}))
        assert isinstance(settings, EdgeSettings)
        self.assertNotIn("[store]", text)
        self.assertIn('"credential:oidc-client-secret"', text)
        self.assertEqual(settings.listen.https, ("systemd:https",))
        self.assertEqual((settings.listen.http, settings.listen.port), (("systemd:http",), 443))
        self.assertIn("Then: systemctl enable --now appproxy-edge", advice(choices, settings))
