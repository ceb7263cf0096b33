"""A connector and a relay that was stolen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from appproxy.httpwire.block import blocks_of
from appproxy.httpwire.field import fields
from appproxy.httpwire.heads import UNTIL_END
from appproxy.httpwire.wire_heads import pack_request, unpack_response
from appproxy.model.application import Backend
from appproxy.model.principal import Principal
from tests.corpus.cases import TUNNEL_REQUESTS
from tests.integration.support.attacked import attacked
from tests.integration.support.case import shared
from tests.integration.support.processes import Running, wait_until
from tests.integration.support.stolen import Answered, MachineTestCase, StolenRelay
from tests.tunnel.support import stream_of


def _steal() -> tuple[tuple[StolenRelay, Running], Callable[[], object]]:
    victims = attacked()
    site = victims.site
    token = site.appproxy_json("relay", "token", "--name", "stolen")["token"]
    identity = site.folder / "stolen" / "identity"
    config = site.write("stolen", {"identity": identity})
    site.appproxy("enroll", "--config", config, "--token-file", "-", stdin=token)
    relay = StolenRelay(identity)
    victims.keeper.addCleanup(relay.close)
    victim = site.start_connector(
        "hq", [f"127.0.0.1:{victims.backend.port}"], {"connect": [f"127.0.0.1:{relay.port}"]}
    )
    relay.accept()
    return (relay, victim), relay.close


stolen: Final = shared(_steal)


class StolenRelayTests(MachineTestCase):
    """A connector does for a relay or edge what its own file allows, and nothing else."""

    def setUp(self) -> None:
        """Get the relay, to which a connector of its own came."""
        super().setUp()
        self.relay, victim = stolen()
        self.watch(victim)
        self.relay.revision += 1

    def application(self, name: str, internal_url: str, **more: Any) -> Backend:
        """What the relay tells of an application."""
        usual = {
            "id": name,
            "external_url": self.site.url(name),
            "internal_url": internal_url,
            "pre_authentication": "passthrough",
            "sso": {"mode": "none"},
            "backend_timeout": "5s",
            "translate_host_header": True,
            "verify_backend_certificate": False,
            "upgrades": ["websocket"],
        }
        return Backend.model_validate({**usual, **more})

    def assert_refused(self, recorder: Answered, *reasons: str) -> None:
        """Nothing was done."""
        self.assertEqual(recorder.calls[-1][0], "reset", recorder.calls)
        self.assertIn(recorder.calls[-1][1], reasons)

    def test_other_servers(self) -> None:
        """
        No server is asked that the connector's file does not name, in whatever spelling.

        Security row 34.
        """
        port = self.attacked.other.port
        urls = {
            "port": f"http://127.0.0.1:{port}/",
            "name": f"http://localhost:{port}/",
            "dotted": f"http://other.localhost:{port}/",
            "mapped": f"http://[::ffff:127.0.0.1]:{port}/",
            "six": f"http://[::1]:{port}/",
            "metadata": "http://169.254.169.254/",
            "tls": f"https://127.0.0.1:{port}/",
        }
        backends = [self.application(name, url) for name, url in urls.items()]
        self.relay.serve([self.application("ours", self.backend.internal_url), *backends])
        recorder = self.relay.ask("ours", pack_request(b"GET", b"/control", []))
        self.assertEqual(unpack_response(recorder.calls[0][1])[0], 200)
        for name in (*urls, "unknown", "echo"):
            recorder = self.relay.ask(name, pack_request(b"GET", b"/", []))
            self.assert_refused(recorder, "backend_not_allowed")
        self.assertEqual(self.attacked.other.connections, 0)
        self.assertEqual([seen.target for seen in self.backend.seen], [b"/control"])

    def test_heads(self) -> None:
        """
        No head makes it ask another host, or say two requests at once.

        Security row 26, security row 34.
        """
        url = self.backend.internal_url
        self.relay.serve(
            [
                self.application("ours", url),
                self.application("part", f"{url}part/", external_url=self.site.url("part", "/part/")),
            ],
        )
        other = f"127.0.0.1:{self.attacked.other.port}".encode()
        for case in TUNNEL_REQUESTS:
            recorder = self.relay.ask(case.application, case.head.replace(b"$other", other))
            self.assertEqual(recorder.calls, [("reset", "bug")], case.name)
        self.assertEqual((self.backend.begun, self.attacked.other.connections), ([], 0))
        for name, target in (("ours", b"/control"), ("part", b"/part/control")):
            recorder = self.relay.ask(name, pack_request(b"GET", target, []))
            self.assertEqual(unpack_response(recorder.calls[0][1])[0], 200)

    def test_bodies(self) -> None:
        """
        A body that is not as long as was said, or that breaks off, is no request to the application.

        Security row 26.
        """
        self.relay.serve([self.application("ours", self.backend.internal_url)])
        head = pack_request(b"POST", b"/body", [])
        for data in (b"abcGET /evil HTTP/1.1\r\n\r\n", b"ab"):
            recorder = self.relay.begin("ours", head, 3, data)
            stream_of(recorder).end()
            self.relay.until_over(recorder)
            self.assert_refused(recorder, "bug")
        for body in (3, UNTIL_END):
            count = len(self.backend.begun)
            recorder = self.relay.begin("ours", head, body, b"ab")
            wait_until(lambda: len(self.backend.begun) > count, "it begins")  # noqa: B023
            stream_of(recorder).reset("cancelled")
            self.relay.flush()
            wait_until(lambda: len(self.backend.broken) == len(self.backend.begun), "it breaks off")
        self.assertEqual((self.backend.seen, set(self.backend.begun)), ([], {b"/body"}))
        recorder = self.relay.ask("ours", pack_request(b"GET", b"/control", []))
        self.assertEqual(unpack_response(recorder.calls[0][1])[0], 200)

    def test_users(self) -> None:
        """
        Without a user there is no application with sign-in, nor with one who fits into no header.

        Security row 28.
        """
        sso = {"mode": "headers", "headers": {"X-Remote-User": {"claim": "user_principal_name"}}}
        private = self.application(
            "private", self.backend.internal_url, pre_authentication="sign_in", sso=sso
        )
        self.relay.serve([private])
        head = pack_request(
            b"GET", b"/", blocks_of(fields([(b"x_remote_user", b"evil"), (b"X.Remote.User", b"evil")]))
        )
        self.assert_refused(self.relay.ask("private", head), "backend_not_allowed")
        ada = Principal("https://idp.example", "ada", "0" * 32, user_principal_name="ada@example.com")
        eve = Principal("https://idp.example", "eve", "1" * 32, user_principal_name="eve\r\nX-Admin: 1")
        for number, user in enumerate((ada, eve), 1):
            claims = user.encoded
            self.relay.session.send_principal(number, claims)
            recorder = self.relay.ask("private", head, number, claims)
            if user is eve:
                self.assert_refused(recorder, "sso_failed")
        (seen,) = self.backend.seen
        self.assertEqual(seen.cgi["X_REMOTE_USER"], [b"ada@example.com"])
