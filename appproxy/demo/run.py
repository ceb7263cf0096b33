"""
Brings the whole demo up, in order, and takes it down again.
"""

from __future__ import annotations

import fcntl
import grp
import os
import re
import secrets
import shutil
import socket
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, maybeDeferred
from twisted.internet.task import deferLater

from appproxy.demo.certificates import ensure_certificate
from appproxy.demo.chat import chat_resource
from appproxy.demo.files import files_site
from appproxy.demo.headers import headers_resource
from appproxy.demo.page import DemoPages, site_of
from appproxy.demo.plan import CHAT, DOMAIN, FILES, GROUP, HEADERS, LOGIN, USERS, Folder, Plan
from appproxy.demo.probe import ProbeFailed, sign_in_and_open
from appproxy.demo.processes import Daemon, DemoFailed, program, run_command
from appproxy.demo.provider import Provider
from appproxy.demo.provider_site import provider_resource
from appproxy.demo.uploads import Shelf

if TYPE_CHECKING:
    from twisted.internet.interfaces import IListeningPort
    from twisted.web.server import Site

START_SECONDS: Final = 60.0
"""For a daemon to be ready; a cold disk takes most of it."""

PROBE_SECONDS: Final = 45.0
"""For the first sign-in to work, once both daemons are ready."""

_LONGEST_SOCKET_FOLDER: Final = 80
"""sun_path holds 108 bytes (unix(7)); the names in the folder need the rest."""

_MARKER: Final = ".appproxy-demo"
_MADE_ANEW: Final = ("edge", "connector", "uploads", "log")
_TOKEN: Final = re.compile(r"apj1\.[A-Za-z0-9_-]+")


class Demo:
    """
    One run.

    @param reactor: the global one, with processes and sockets.
    @param root: the folder for everything that the demo writes.
    @param port: of the edge, on C{127.0.0.1}.
    @param tell: receives progress, for people.
    """

    def __init__(self, reactor: Any, root: Path, port: int, tell: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._root = root.resolve()
        self._requested_port = port
        self._tell = tell
        self._lock: IO[bytes] | None = None
        self._temporary: Path | None = None
        self._ports: list[IListeningPort] = []
        self._daemons: list[Daemon] = []

    async def start(self) -> Plan:
        """
        Everything, until a sign-in has worked.

        @raise DemoFailed: with what stopped it.
        """
        check_port(self._requested_port)
        folder = self._prepare_folder()
        plan = self._listen(folder)
        self._write_files(plan)
        await self._start_daemons(plan)
        self._tell("Signing in once, to be sure")
        await self._probe(plan)
        return plan

    async def wait(self) -> None:
        """
        Until something ends by itself, which nothing should.

        @raise DemoFailed: with what it was.
        """
        first: Deferred[str] = Deferred()

        def ended(text: str, daemon: Daemon) -> None:
            if not first.called:
                first.callback(daemon.explain(text))

        for daemon in self._daemons:
            daemon.when_ended().addCallback(ended, daemon)
        raise DemoFailed(await first)

    async def stop(self) -> None:
        """Stop everything; may be called at any time."""
        for daemon in reversed(self._daemons):
            await daemon.stop()
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()

    def _prepare_folder(self) -> Folder:
        root = self._root
        marker = root / _MARKER
        if root.exists() and not marker.exists() and any(root.iterdir()):
            raise DemoFailed(f"{root} has other things in it; name a new folder with --state")
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o700)
        self._lock = marker.open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoFailed(f"a demo is running already in {root}") from None
        for name in _MADE_ANEW:
            shutil.rmtree(root / name, ignore_errors=True)
        for name in ("edge", "connector", "log"):
            (root / name).mkdir(mode=0o700)
        return Folder(root, self._socket_folder())

    def _socket_folder(self) -> Path:
        folder = self._root / "edge"
        if len(os.fsencode(folder)) <= _LONGEST_SOCKET_FOLDER:
            return folder
        self._temporary = Path(tempfile.mkdtemp(prefix="appproxy-demo-"))
        return self._temporary

    def _listen(self, folder: Folder) -> Plan:
        """Start the services, each on a port that the system picks."""
        self._tell("Starting the sample applications and the demo sign-in")
        secret = secrets.token_urlsafe(32)
        write_secret(folder.client_secret, secret)
        services: dict[str, int] = {}
        metrics = (free_port(), free_port())
        plan = Plan(folder, self._requested_port, services, metrics, own_group())
        for name, site in build_sites(plan, secret, self._reactor.seconds).items():
            port = self._reactor.listenTCP(0, site, interface="127.0.0.1")
            self._ports.append(port)
            services[name] = port.getHost().port
        return plan

    def _write_files(self, plan: Plan) -> None:
        folder = plan.folder
        ensure_certificate(DOMAIN, folder.ca, folder.certificate, self._reactor.seconds())
        folder.edge.write_text(plan.edge_toml())
        folder.connector.write_text(plan.connector_toml())
        folder.applications.write_text(plan.applications_toml())

    async def _start_daemons(self, plan: Plan) -> None:
        folder, server = plan.folder, plan.folder.admin
        self._tell("Starting the edge, with the relay inside")
        await self._start_daemon("edge", folder, folder.edge)
        await self._appproxy("--server", server, "apply", "--yes", str(folder.applications))
        self._tell("Enrolling and starting the connector")
        printed = await self._appproxy(
            "--server", server, "connector", "token", "--group", GROUP, "--name", GROUP
        )
        token = _TOKEN.search(printed)
        if token is None:
            raise DemoFailed("appproxy connector token printed no token")
        await self._appproxy(
            "enroll", "--config", str(folder.connector), "--token-file", "-", stdin=token[0] + "\n"
        )
        await self._start_daemon("connector", folder, folder.connector)

    async def _start_daemon(self, name: str, folder: Folder, configuration: Path) -> None:
        daemon = Daemon(self._reactor, name, folder.log(name), folder.sockets)
        self._daemons.append(daemon)
        daemon.start([program("twistd"), "-n", f"appproxy-{name}", "--config", str(configuration)])
        await daemon.wait_until_ready(START_SECONDS)

    async def _appproxy(self, *arguments: str, stdin: str = "") -> str:
        return await run_command(self._reactor, [program("appproxy"), *arguments], stdin)

    async def _probe(self, plan: Plan) -> None:
        deadline = self._reactor.seconds() + PROBE_SECONDS
        ca = plan.folder.ca.read_bytes()
        while True:
            try:
                await sign_in_and_open(self._reactor, ca, plan.url(HEADERS, "/json"), USERS[0])
            except Exception as error:
                # Refused, reset, timed out or wrong: each may pass within the first seconds.
                if self._reactor.seconds() > deadline:
                    text = (
                        str(error) if isinstance(error, ProbeFailed) else f"{type(error).__name__}: {error}"
                    )
                    raise DemoFailed(f"the first sign-in does not work: {text}") from error
                await deferLater(self._reactor, 1.0, lambda: None)
            else:
                return


def build_sites(plan: Plan, secret: str, now: Callable[[], float]) -> dict[str, Site]:
    """The demo's web servers by name."""
    pages = DemoPages(plan.url("portal"))
    provider = Provider(plan.issuer, plan.client(secret), USERS, now)
    return {
        HEADERS: site_of(headers_resource(pages)),
        CHAT: site_of(chat_resource(pages, now)),
        FILES: files_site(pages, Shelf(plan.folder.uploads)),
        LOGIN: site_of(provider_resource(provider, pages)),
    }


def check_port(port: int) -> None:
    """
    Whether the edge will be able to listen.

    @raise DemoFailed: if not, with what to do.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = error.strerror or "cannot be used"
            raise DemoFailed(f"port {port}: {reason}. Choose another: DEMO_PORT=9443 make demo") from error


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def own_group() -> str:
    """The group of whoever runs this, by name if it has one."""
    group = os.getgid()
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)


def write_secret(path: Path, secret: str) -> None:
    """A file that only its owner reads."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret)


def run(reactor: Any, demo: Demo, show: Callable[[Plan], None], tell: Callable[[str], None]) -> int:
    """
    Run the demo until it is stopped.

    @param show: called once all of it works.
    @return: the exit code.
    """
    codes = [0]

    def fail(text: str) -> None:
        tell(text)
        codes.append(1)
        reactor.stop()

    async def main() -> None:
        try:
            show(await demo.start())
            await demo.wait()
        except CancelledError:
            pass
        except DemoFailed as failure:
            fail(f"The demo has stopped: {failure}")
        except Exception:
            fail(traceback.format_exc())

    async def stop() -> None:
        for each in running:
            each.cancel()
        tell("Stopping everything")
        await demo.stop()

    running: list[Deferred[None]] = []
    reactor.addSystemEventTrigger("before", "shutdown", lambda: ensureDeferred(stop()))
    reactor.callWhenRunning(lambda: running.append(ensureDeferred(main())))
    reactor.run()
    return codes[-1]
