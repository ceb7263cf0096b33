"""Tests of joining as an administrator does it: a token at the edge, enroll at the other machine."""

from __future__ import annotations

import stat
from pathlib import Path

from click.testing import Result
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.threads import deferToThread

from appproxy.admin.service import Surroundings
from appproxy.admin.tokens import TokenObjects, TokenRequest
from appproxy.cli import tokens
from appproxy.pki.enrolment import ALPN, EnrolmentFactory
from appproxy.pki.identity import load
from appproxy.pki.join import parse_token, redeem
from appproxy.pki.server_identity import ensure_server_identity
from appproxy.transport.addresses import ListenAddress
from appproxy.transport.contexts import server_context
from appproxy.transport.listener import listen
from appproxy.transport.peeking import Route
from tests.admin.support import ADA
from tests.cli.support import CommandTestCase, run


class TokenTests(CommandTestCase):
    """Tokens are printed to be pasted."""

    async def test_token(self) -> None:
        """The token alone is on stdout; on a terminal the lines around it make it a command."""
        await self.ask("apply", self.file, "--yes")
        result = await self.ask("connector", "token", "--group", "hq")
        self.assertEqual(parse_token(result.stdout).role, "connector")
        self.assertIn("appproxy enroll --token-file FILE\n", result.stderr)
        self.patch(tokens, "on_terminal", lambda: True)
        result = await self.ask("connector", "token", "--group", "hq")
        self.assertEqual(parse_token(result.stdout).role, "connector")
        self.assertNotIn(result.stdout.strip(), result.stderr)
        self.assertIn("appproxy enroll --token-file - <<'TOKEN'\nTOKEN\n", result.stderr)
        answer = await self.ask_json("connector", "token", "--group", "hq")
        self.assertIn(answer["token"], answer["command"])
        self.assertEqual(len(await self.ask_json("list", "tokens")), 3)

    async def test_relay(self) -> None:
        """A relay has its own kind of token, while the issuer's key is in place."""
        result = await self.ask("relay", "token", "--valid", "10m")
        self.assertEqual(parse_token(result.stdout).role, "relay")
        self.edge.infrastructure_key.unlink()
        await self.ask("relay", "token", code=1)

    async def test_wrong(self) -> None:
        """An unknown group is exit code 5; a duration that is none is a wrong use."""
        await self.ask("connector", "token", "--group", "hq", code=5)
        await self.ask("connector", "token", "--group", "hq", "--valid", "soon", code=2)
        result = await self.ask("connector", "token", "--group", "hq", "--valid", "8d", code=2)
        self.assertIn("7d at most", result.stderr)
        await self.ask("connector", "token", code=2)


class RevokeTests(CommandTestCase):
    """A machine is trusted no more."""

    async def test_revoke(self) -> None:
        """It is asked before, and who it was is told; a name that there is not is exit code 5."""
        await self.ask("apply", self.file, "--yes")
        await self.edge.enrol("c1", "dublin", "hq")
        await self.ask("connector", "revoke", "dublin", code=2)
        result = await self.ask("connector", "revoke", "dublin", "--yes")
        self.assertIn("revoked the connector dublin; 0 tunnels of it closed", result.stderr)
        (row,) = await self.ask_json("list", "connectors")
        self.assertTrue(row["revoked_at"])
        await self.ask("connector", "revoke", "paris", "--yes", code=5)


class EnrollTests(CommandTestCase):
    """A machine becomes a connector, over real TLS."""

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """An edge where one can enrol, and a connector's file."""
        await super().setUp()
        await self.ask("apply", self.file, "--yes")
        around = self.edge.around
        port = await self.listen_for_enrolments(around)
        self.edge.addresses[:] = [f"127.0.0.1:{port}"]
        identity = self.folder / "connector" / "identity"
        text = f'identity = "{identity}"\nallowed_backends = ["wiki.corp.example:8080"]\n'
        self.identity, self.config = identity, self.write("connector.toml", text)

    async def listen_for_enrolments(self, around: Surroundings) -> int:
        """Listen as the edge does; the port."""
        authority = around.authority
        server = await ensure_server_identity(authority, self.folder / "edge", around.connect_host)
        context = server_context(server.chain_pem + server.ca_pem, server.key_pem, alpn=(ALPN,))
        factory = EnrolmentFactory(lambda request: redeem(authority, request), reactor)
        route = Route(context, lambda hello: factory.buildProtocol())
        [port] = await listen(reactor, ListenAddress("tcp", "127.0.0.1"), lambda *_: route, reactor)
        self.addCleanup(port.stopListening)
        address = port.getHost()
        assert isinstance(address, IPv4Address)
        return address.port

    async def token(self) -> str:
        """A join token of this edge."""
        around = self.edge.around
        tokens = TokenObjects(around.authority, around.addresses, around.connect_host)
        made = await tokens.make(TokenRequest(role="connector", group="hq", name="dublin"), ADA)
        return str(made["token"])

    async def enroll(self, token: str, *more: str, code: int = 0) -> Result:
        """Run the command on the connector's machine."""
        arguments = ("enroll", "--config", self.config, "--token-file", "-", *more)
        result = await deferToThread(run, *arguments, stdin=token)
        self.assertEqual(result.exit_code, code, (result.output, result.exception))
        self.assertNotIn(token, result.output)
        return result

    async def test_enroll(self) -> None:
        """The identity is in its folder, for its owner alone; the edge knows it; the next step is told."""
        result = await self.enroll(await self.token())
        identity = load(self.identity)
        self.assertEqual((identity.name, identity.group, identity.role), ("dublin", "hq", "connector"))
        self.assertEqual(self.edge.connectors.current[identity.id].name, "dublin")
        for path in (self.identity, *self.identity.glob("key*")):
            self.assertEqual(stat.S_IMODE(path.stat().st_mode) & 0o077, 0, path)
        self.assertIn(f"twistd -n appproxy-connector --config {self.config}", result.stderr)

    async def test_token_file(self) -> None:
        """The token may be in a file."""
        path = self.write("token", await self.token() + "\n")
        result = await deferToThread(run, "enroll", "--config", self.config, "--token-file", path)
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertEqual(load(self.identity).name, "dublin")

    async def test_used(self) -> None:
        """A token that another machine has used is refused, with what to do."""
        token = await self.token()
        await self.enroll(token)
        self.config = self.write("other.toml", Path(self.config).read_text().replace("/identity", "/other"))
        result = await self.enroll(token, code=1)
        self.assertIn("used by another machine", result.stderr)

    async def test_not_a_token(self) -> None:
        """What is no token is not repeated."""
        result = await self.enroll("secret-secret", code=1)
        self.assertIn("a join token begins with", result.stderr)

    async def test_no_edge(self) -> None:
        """If no edge answers, the exit code is 4."""
        self.edge.addresses[:] = ["127.0.0.1:1"]
        await self.enroll(await self.token(), code=4)

    async def test_wrong_configuration(self) -> None:
        """A connector's file with problems is told before anything is sent."""
        self.config = self.write("wrong.toml", "allowed_backends = []\n")
        result = await self.enroll(await self.token(), code=3)
        self.assertIn("allowed_backends", result.stderr)

    async def test_needs_a_terminal(self) -> None:
        """Without a terminal there has to be a token file."""
        self.assertEqual(run("enroll", "--config", self.config).exit_code, 2)
