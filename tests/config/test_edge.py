"""C{edge.toml}."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from appproxy.config.common import parse_settings
from appproxy.config.edge import EdgeSettings
from appproxy.config.fields import FileContext

DOMAIN = 'domain = "Apps.Example.com"\n'
SIGN_IN = DOMAIN + '[sign_in]\nissuer = "https://i.example/"\nclient_id = "c"\nclient_secret_file = "s"\n'


def read(text: str) -> EdgeSettings | list[str]:
    """The settings, or the problems as text without the file's name."""
    found = parse_settings(EdgeSettings, text, "", FileContext(Path("/etc/x")))
    return [str(each).lstrip(":") for each in found] if isinstance(found, list) else found


class EdgeTests(SynchronousTestCase):
    """L{EdgeSettings}."""

    def settings(self, text: str) -> EdgeSettings:
        """Settings that must be without problems."""
        found = read(text)
        assert isinstance(found, EdgeSettings), found
        return found

    def test_domain_is_enough(self) -> None:
        """One line makes an edge for passthrough applications; the hosts follow from it."""
        settings = self.settings(DOMAIN)
        self.assertEqual(settings.domain, "apps.example.com")
        self.assertEqual(settings.hosts.auth, "auth.apps.example.com")
        self.assertEqual(settings.hosts.connect, "connect.apps.example.com")
        self.assertIsNone(settings.sign_in)
        self.assertEqual(settings.session.maximum_lifetime, 14 * 3600)
        self.assertEqual(settings.store.path, Path("/var/lib/appproxy/edge/store.sqlite3"))

    def test_one_host_named(self) -> None:
        """A named host is taken, the others still follow from the domain."""
        settings = self.settings(DOMAIN + '[hosts]\nauth = "login.example.com"\n')
        self.assertEqual(settings.hosts.auth, "login.example.com")
        self.assertEqual(settings.hosts.portal, "portal.apps.example.com")

    def test_hosts_differ(self) -> None:
        """Two roles on one host are refused."""
        self.assertEqual(
            read(DOMAIN + '[hosts]\nauth = "portal.apps.example.com"\n'),
            ["2: hosts: auth, portal and connect are three different hosts"],
        )

    def test_wrong_domain_is_one_problem(self) -> None:
        """A wrong or missing domain is reported once, not once a host."""
        self.assertEqual(read('domain = "a b"\n'), ["1: domain: 'a b' is not a host name"])
        self.assertEqual(read('domain = "10.0.0.1"\n'), ["1: domain: write a host name, not an address"])
        self.assertEqual(read(""), ["domain: is missing"])

    def test_paths(self) -> None:
        """The store's and the secrets' paths are relative to the file."""
        settings = self.settings(SIGN_IN + '[store]\nurl = "sqlite:s.db"\n[admin]\nlisten = "unix:a.sock"\n')
        assert settings.sign_in
        self.assertEqual(settings.sign_in.client_secret_file, Path("/etc/x/s"))
        self.assertEqual(settings.store.path, Path("/etc/x/s.db"))
        self.assertEqual(settings.admin.listen, "unix:/etc/x/a.sock")

    def test_issuer(self) -> None:
        """The issuer is kept byte by byte, and is https unless the provider is on this machine."""
        settings = self.settings(SIGN_IN)
        assert settings.sign_in
        self.assertEqual(settings.sign_in.issuer, "https://i.example/")
        for local in ("http://localhost:3000", "http://127.0.0.1:3000/x", "http://op.localhost:1"):
            self.settings(SIGN_IN.replace("https://i.example/", local))
        for wrong in ("http://i.example/", "https://i.example/?a=b", "https://u:p@i.example/", "i.example"):
            self.assertEqual(len(read(SIGN_IN.replace("https://i.example/", wrong))), 1)  # type: ignore[arg-type]

    def test_scopes(self) -> None:
        """Without openid there is no ID token."""
        self.assertEqual(
            read(SIGN_IN + 'scopes = ["email"]\n'), ['6: sign_in.scopes: "openid" is always among the scopes']
        )

    def test_group_names(self) -> None:
        """Names for what the provider sends."""
        settings = self.settings(SIGN_IN + '[sign_in.group_names]\nHR = "7d2a"\n')
        assert settings.sign_in
        self.assertEqual(settings.sign_in.group_names, {"HR": "7d2a"})

    def test_admin_is_never_on_the_network(self) -> None:
        """The admin interface takes a Unix socket only."""
        self.assertEqual(
            read(DOMAIN + '[admin]\nlisten = "127.0.0.1:1"\n'),
            ['3: admin.listen: write "unix:" and a path: this is never served on the network'],
        )

    def test_relay(self) -> None:
        """Remote relays need addresses, and addresses need the mode."""
        settings = self.settings(
            DOMAIN + '[relay]\nmode = "remote"\ndial = ["R.example:443", "[::1]:8443"]\n'
        )
        self.assertEqual(settings.relay.dial, ("r.example:443", "[::1]:8443"))
        self.assertEqual(
            read(DOMAIN + '[relay]\nmode = "remote"\n'),
            ['2: relay: mode "remote" needs the relays in dial'],
        )
        self.assertEqual(
            read(DOMAIN + '[relay]\ndial = ["r:443"]\n'), ['2: relay: dial is for mode "remote"']
        )

    def test_listeners(self) -> None:
        """Every form of a listener, and what is none."""
        forms = [":443", "127.0.0.1:8443", "[::1]:8443", "127.0.0.1:0", "unix:/run/x", "systemd:https"]
        settings = self.settings(DOMAIN + f"[listen]\nhttps = {forms!r}\nhttp = []\n")
        self.assertEqual(list(settings.listen.https), forms)
        wrong = [
            "443",
            "",
            ":65536",
            "example.com:443",
            "[::1]",
            "unix:",
            "systemd:",
            "systemd:a:b",
            "tcp:443",
        ]
        self.assertEqual(len(read(DOMAIN + f"[listen]\nhttps = {wrong!r}\n")), len(wrong))  # type: ignore[arg-type]

    def test_lifetimes(self) -> None:
        """Nothing is zero, endless, or idle for longer than it lives."""
        for wrong in ('idle_lifetime = "15h"', 'maximum_lifetime = "0s"', 'maximum_lifetime = "900d"'):
            self.assertEqual(len(read(DOMAIN + f"[session]\n{wrong}\n")), 1, wrong)  # type: ignore[arg-type]

    def test_probes(self) -> None:
        """Probes come seldom enough for everybody, or not at all."""
        self.assertEqual(self.settings(DOMAIN + '[probes]\ninterval = "0s"\n').probes.interval, 0)
        self.assertEqual(self.settings(DOMAIN + '[probes]\ninterval = "10s"\n').probes.interval, 10)
        for text in ("9s", "1ms", "2d"):
            found = read(DOMAIN + f'[probes]\ninterval = "{text}"\n')
            self.assertEqual(found, ['3: probes.interval: write "0s" for none, or from "10s" to "1d"'])

    def test_later_keys(self) -> None:
        """A key of a later stage takes its default and nothing else."""
        self.settings(DOMAIN + '[session]\nrefresh_interval = "10m"\n')
        self.assertEqual(
            read(DOMAIN + '[session]\nrefresh_interval = "5m"\n[store]\nurl = "etcd:https://e:1"\n'),
            [
                '3: session.refresh_interval: not supported yet; leave it out, or write "10m"',
                '5: store.url: "etcd:" is not supported yet; write "sqlite:" and a path',
            ],
        )

    def test_balancers(self) -> None:
        """Balancers are networks or addresses; anything else is refused."""
        listen = '[listen]\nproxy_protocol_from = ["10.0.0.5/32", "fd00::/64"]\n'
        self.assertEqual(
            self.settings(DOMAIN + listen).listen.proxy_protocol_from, ("10.0.0.5/32", "fd00::/64")
        )
        problems = read(DOMAIN + '[listen]\nproxy_protocol_from = ["balancer", "10.0.0.0/33"]\n')
        self.assertEqual(len(problems), 2)  # type: ignore[arg-type]

    def test_plugins(self) -> None:
        """Folders are relative to the file like every path."""
        settings = self.settings(DOMAIN + '[plugins]\ndirectories = ["p"]\nenabled = ["office_hours"]\n')
        self.assertEqual(settings.plugins.directories, (Path("/etc/x/p"),))
        self.assertEqual(settings.plugins.enabled, ("office_hours",))
