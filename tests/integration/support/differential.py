"""
What policy saw and what a server understood: the promises, for servers of different kinds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from appproxy.httpwire.errors import BadMessage
from appproxy.httpwire.paths import canonical_path, loose_path
from tests.corpus.cases import PATHS
from tests.integration.support.attacked import SIGN_ON, AttackTestCase, attacked
from tests.integration.support.attacker import Answer, Headers, Pairs, Wire
from tests.integration.support.browser import Browser
from tests.integration.support.case import shared
from tests.integration.support.oidc_provider import ADA, GRACE, User
from tests.integration.support.processes import Running
from tests.integration.support.servers import TOLD, Apache, Gunicorn, Nginx, Node, Server, Understood
from tests.integration.support.spellings import EVIL, FORWARDING, IDENTITY, spoofed, targets

KINDS: Final[dict[str, type[Server]]] = {
    "nginx": Nginx,
    "apache": Apache,
    "gunicorn": Gunicorn,
    "node": Node,
}
COMBINATIONS: Final = 300
"""Of spellings, besides each of them once: a few seconds for each server."""

PART: Final = re.compile(rb"^/[^/?]*")

AT_ONCE: Final = 60
"""Headers in one request: Apache and gunicorn take a hundred, with ours."""

VALUES: Final = (
    *(b"plain", b"", b"a\tb  c", b'"a, b"; c=d', b"'\\`$(x)%0d%0a", b"\xe4\xc3\xa4\xff", b"a:b", b"," * 20),
    b"".join(bytes([each]) for each in range(0x21, 0x7F)),
)
"""Of a header that is nobody's business but the application's."""


@dataclass
class Served:
    """
    The servers, published.

    @ivar browsers: by the user's name; each signs in once for all tests.
    """

    servers: dict[str, Server]
    connector: Running
    browsers: dict[str, Browser]


def _serve() -> tuple[Served, Callable[[], object]]:
    """All servers that are installed, in two parts each: all for Ada, C{/private/} for Grace alone."""
    victims = attacked()
    site, keeper = victims.site, victims.keeper
    servers = {name: kind(keeper.folder / name) for name, kind in KINDS.items() if kind.is_installed()}
    applications: dict[str, dict[str, Any]] = {}
    for name, server in servers.items():
        keeper.addCleanup(server.stop)
        usual = {"sso": SIGN_ON, "connector_group": "servers"}
        applications[name] = {**usual, "internal_url": server.internal_url, "users": ["ada@example.com"]}
        applications[f"{name}-private"] = {
            **usual,
            "users": ["grace@example.com"],
            "external_url": site.url(name, "/private/"),
            "internal_url": f"{server.internal_url}private/",
        }
    victims.publish_more(applications, "servers")
    connector = site.start_connector("servers", [f"127.0.0.1:{each.port}" for each in servers.values()])
    return Served(servers, connector, {}), list


served: Final = shared(_serve)


def policy_path(target: bytes) -> str | None:
    """The path that policy sees; L{None} if it refuses to see one, or could mean two."""
    try:
        path = canonical_path(target)
    except BadMessage:
        return None
    if path.ambiguous or (is_private(loose_path(path.path)) and not is_private(path.path)):
        return None
    return path.path


def is_private(path: str) -> bool:
    """Whether this is Grace's part."""
    return path == "/private" or path.startswith("/private/")


class DifferentialCase(AttackTestCase):
    """
    The promises about one server.

    @cvar kind: one of L{KINDS}.
    """

    kind = ""

    def setUp(self) -> None:
        """Get the servers."""
        super().setUp()
        if not KINDS[self.kind].is_installed():
            self.need(KINDS[self.kind].command)
        self.served = served()
        self.server = self.served.servers[self.kind]
        self.watch(self.server.process)
        self.watch(self.served.connector)

    def visitor(self, user: User, path: str) -> Pairs:
        """The headers of somebody who signed in."""
        browser = self.served.browsers.setdefault(user.name, self.site.browser())
        self.site.sign_in(browser, self.site.url(self.kind, path), user)
        return [self.cookie(browser, self.kind)]

    def understood(self, answer: Answer) -> Understood:
        """What the server says of a request."""
        return self.server.understood(answer.body, answer.values(TOLD))

    def targets(self, private: bool) -> list[bytes]:
        """
        Every spelling of a target that policy takes for a path, and this test's share of the others: they
        never come as far as a server.
        """
        every = dict.fromkeys([*targets(COMBINATIONS), *(case.target for case in PATHS)])
        refused = [target for target in every if policy_path(target) is None]
        share = refused[list(KINDS).index(self.kind) * 2 + private :: len(KINDS) * 2]
        return [*(target for target in every if policy_path(target) is not None), *share]

    def asked(self, headers: Headers, private: bool) -> Iterator[tuple[bytes, Answer]]:
        """Each of L{targets}, some of them in absolute form, and its answer."""
        host = self.host(self.kind)
        wire: Wire | None = None
        for number, target in enumerate(self.targets(private)):
            if wire is None:
                wire = self.wire(self.kind)
            whole = f"https://{host}" if number % 4 == 0 and target[:1] == b"/" else ""
            answer = wire.ask(host, whole + target.decode("latin-1"), headers=headers)
            yield target, answer
            if answer.status == 400:
                wire.close()
                wire = None

    def check_paths(self, headers: Headers, private: bool) -> None:
        """Each request is refused, or the server took just the path that policy did, of this part alone."""
        passed = 0
        for target, answer in self.asked(headers, private):
            path = policy_path(target)
            if path is None:
                # Whoever may not enter learns no more than that.
                self.assertIn(answer.status, (400, 403), target)
            elif is_private(path) != private:
                self.assertEqual(answer.status, 403, target)
            else:
                passed += 1
                self.assertEqual(answer.status, 200, target)
                understood = self.understood(answer)
                # What is published below a path has that path written anew, and nothing else.
                expected = PART.sub(b"/private", target) if private else target
                self.assertEqual(understood.target, expected)
                self.assertEqual((understood.path, understood.private), (path.encode(), private), target)
        self.assertGreater(passed, 10)

    def test_nobody_gets_into_the_private_part(self) -> None:
        """
        No spelling of a target brings to /private who may see all else.

        Security row 7, security row 8, security row 9.
        """
        self.check_paths(self.visitor(ADA, "/"), private=False)

    def test_nobody_gets_out_of_it(self) -> None:
        """
        Nor out of it who may see that alone.

        Security row 7, security row 8, security row 9.
        """
        self.check_paths(self.visitor(GRACE, "/private/"), private=True)

    def test_identity(self) -> None:
        """
        Whatever is sent, the server has one value of each header, ours.

        Security row 1, security row 3, security row 4.
        """
        cookie = self.visitor(ADA, "/")
        every = spoofed((*IDENTITY, *FORWARDING))
        tokens = b"close, x-remote-user, X_Tenant, X-Forwarded-For"
        with self.wire(self.kind) as wire:
            for start in range(0, len(every), AT_ONCE):
                headers = [*cookie, *every[start : start + AT_ONCE]]
                answer = wire.ask(self.host(self.kind), "/x", headers=headers)
                self.assert_ours(answer)
            headers = [*cookie, *spoofed(IDENTITY)[:AT_ONCE], (b"Connection", tokens)]
            self.assert_ours(wire.ask(self.host(self.kind), "/x", headers=headers))

    def assert_ours(self, answer: Answer) -> None:
        """The server was told of Ada, by nobody but us."""
        self.assertEqual(answer.status, 200, answer.body)
        self.assertNotIn(EVIL, answer.body)
        variables = self.understood(answer).variables
        told = [variables.get(name) for name in ("X_REMOTE_USER", "X_TENANT", "X_FORWARDED_FOR")]
        self.assertEqual(told, [[b"ada@example.com"], [b"ours"], [b"127.0.0.1"]])
        self.assertEqual(variables["X_FORWARDED_PROTO"], [b"https"])
        self.assertEqual(len(variables["X_REQUEST_ID"]), 1)

    def test_other_headers(self) -> None:
        """
        A header that is the application's business comes as it was sent, once.

        Security row 26.
        """
        cookie = self.visitor(ADA, "/")
        with self.wire(self.kind) as wire:
            for value in VALUES:
                headers = [*cookie, (b"X-Mine", value)]
                answer = wire.ask(self.host(self.kind), "/x", headers=headers)
                self.assertEqual(answer.status, 200, value)
                self.assertEqual(self.understood(answer).variables["X_MINE"], [value])
