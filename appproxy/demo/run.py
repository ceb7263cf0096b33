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
from appproxy.demo.kind import Kind
from appproxy.demo.page import DemoPages, site_of
from appproxy.demo.plan import DOMAIN, GROUP, LOGIN, Folder, Plan
from appproxy.demo.ports import free_port
from appproxy.demo.probe import ProbeFailed, sign_in_and_open
from appproxy.demo.processes import DemoFailed, program, run_command
from appproxy.demo.programs import Programs
from appproxy.demo.provider import Provider
from appproxy.demo.provider_site import provider_resource

if TYPE_CHECKING:
    from twisted.internet.interfaces import IListeningPort
    from twisted.web.server import Site

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
    @param kind: which demo it is.
    @param root: the folder for everything that the demo writes.
    @param port: of the edge, on C{127.0.0.1}.
    @param tell: receives progress, for people.
    """

    def __init__(self, reactor: Any, kind: Kind, root: Path, port: int, tell: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._kind = kind
        self._root = root.resolve()
        self._requested_port = port
        self._tell = tell
        self._lock: IO[bytes] | None = None
        self._temporary: Path | None = None
        self._ports: list[IListeningPort] = []
        self._programs: Programs | None = None

    async def start(self) -> Plan:
        """
        Everything, until a sign-in has worked.

        @raise DemoFailed: with what stopped it.
        """
        check_port(self._requested_port)
        self._kind.check()
        folder = self._prepare_folder()
        self._programs = Programs(self._reactor, folder, self._tell)
        plan = Plan(folder, self._requested_port, {}, (free_port(), free_port()), own_group())
        pages = DemoPages(plan.url("portal"))
        self._listen(plan, pages)
        await self._kind.start(plan, pages, self._programs)
        self._write_files(plan)
        await self._start_daemons(plan, self._programs)
        self._tell("Signing in once, to be sure")
        await self._probe(plan)
        return plan

    async def wait(self) -> None:
        """
        Until something ends by itself, which nothing should.

        @raise DemoFailed: with what it was.
        """
        assert self._programs is not None
        await self._programs.wait()

    async def stop(self) -> None:
        """Stop everything; may be called at any time."""
        if self._programs is not None:
            await self._programs.stop()
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        self._kind.remove()
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

    def _listen(self, plan: Plan, pages: DemoPages) -> None:
        """Start the services of this process, each on a port that the system picks."""
        self._tell("Starting the demo sign-in and the sample applications")
        secret = secrets.token_urlsafe(32)
        write_secret(plan.folder.client_secret, secret)
        for name, site in build_sites(self._kind, plan, pages, secret, self._reactor.seconds).items():
            port = self._reactor.listenTCP(0, site, interface="127.0.0.1")
            self._ports.append(port)
            plan.services[name] = port.getHost().port

    def _write_files(self, plan: Plan) -> None:
        folder = plan.folder
        ensure_certificate(DOMAIN, folder.ca, folder.certificate, self._reactor.seconds())
        folder.edge.write_text(plan.edge_toml())
        folder.connector.write_text(self._kind.connector_toml(plan))
        folder.applications.write_text(self._kind.applications_toml(plan))

    async def _start_daemons(self, plan: Plan, programs: Programs) -> None:
        folder, server = plan.folder, plan.folder.admin
        self._tell("Starting the edge, with the relay inside")
        await programs.start("edge", _daemon("edge", folder.edge))
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
        environment = self._kind.connector_environment
        await programs.start("connector", _daemon("connector", folder.connector), environment=environment)

    async def _appproxy(self, *arguments: str, stdin: str = "") -> str:
        return await run_command(self._reactor, [program("appproxy"), *arguments], stdin)

    async def _probe(self, plan: Plan) -> None:
        deadline = self._reactor.seconds() + PROBE_SECONDS
        ca = plan.folder.ca.read_bytes()
        while True:
            try:
                page = await sign_in_and_open(
                    self._reactor, ca, self._kind.first_page(plan), self._kind.users[0]
                )
                self._kind.check_first_page(page)
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


def _daemon(name: str, configuration: Path) -> list[str]:
    return [program("twistd"), "-n", f"appproxy-{name}", "--config", str(configuration)]


def build_sites(
    kind: Kind, plan: Plan, pages: DemoPages, secret: str, now: Callable[[], float]
) -> dict[str, Site]:
    """The demo's web servers by name."""
    provider = Provider(plan.issuer, plan.client(secret), kind.users, now)
    return {LOGIN: site_of(provider_resource(provider, pages)), **kind.sites(plan, pages, now)}


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
