"""Tests of the admin socket with real connections."""

from __future__ import annotations

import getpass
import grp
import http.client
import json
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs
from twisted.trial.unittest import TestCase

from appproxy.admin import site
from appproxy.admin.service import AdminService, Reactor
from appproxy.store.sqlite import SqliteStore
from appproxy.transport.addresses import ListenAddress
from tests.admin.support import Edge, short_folder
from tests.catalog.examples import APPLICATIONS


class SocketTestCase(TestCase):
    """An edge's admin service, listening."""

    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        """Open a store in a file, and the socket."""
        self.folder = short_folder(self.addCleanup)
        self.path = self.folder / "admin.sock"
        store = await SqliteStore.open(self.folder / "store.sqlite3", reactor)
        self.addCleanup(store.close)
        self.edge = await Edge.start(store, reactor, self.folder)
        self.addCleanup(self.edge.stop)
        self.service = self.new_service()
        self.service.startService()
        self.addCleanup(self.stop)

    async def stop(self) -> None:
        """Stop the service that is the test's by now."""
        await self.service.stopService()

    def new_service(self, group: str = "") -> AdminService:
        """A service for the same path."""
        running: Reactor = reactor  # type: ignore[assignment]
        return AdminService(running, ListenAddress.parse(f"unix:{self.path}"), group, self.edge.around)


def ask(
    path: Path, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] = {}
) -> tuple[int, Any]:
    """One request, as given; to be called in a thread."""
    connection = http.client.HTTPConnection("appproxy", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    try:
        connection.putrequest(method, target, skip_host=True)
        for name, value in {"Host": "appproxy", **headers}.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


JSON = {"Content-Type": "application/json"}


class RequestTests(SocketTestCase):
    """What is understood, and how refusals are told."""

    async def check(self, expected: int, *request: Any, **more: Any) -> Any:
        """The answer has this status, and a message if it is a refusal."""
        status, answer = await deferToThread(ask, self.path, *request, **more)
        self.assertEqual(status, expected, answer)
        if expected != 200:
            self.assertTrue(answer["message"])
        return answer

    async def test_status(self) -> None:
        """A question is answered with JSON."""
        self.assertTrue((await self.check(200, "GET", "/v1/status"))["store_up"])

    async def test_unknown(self) -> None:
        """What is not there is a 404, whatever its name tries to be."""
        for target in ("/", "/v1", "/v2/status", "/v1/objects/x", "/v1/objects/tokens/%2e%2e%2fx", "/v1/%ff"):
            await self.check(404, "GET", target)
        await self.check(404, "PUT", "/v1/status")

    async def test_other_host(self) -> None:
        """A request that was meant for another host, as a browser's would be, is refused."""
        for host in ("localhost", "appproxy.evil.example", "appproxy:80"):
            await self.check(400, "GET", "/v1/status", headers={"Host": host})

    async def test_bodies(self) -> None:
        """Only JSON of the right shape is understood."""
        await self.check(400, "POST", "/v1/plan", b"{}", {"Content-Type": "text/plain"})
        await self.check(400, "POST", "/v1/plan", b"{", JSON)
        await self.check(400, "POST", "/v1/plan", b"[" * 100_000, JSON)
        await self.check(400, "POST", "/v1/plan", b'{"files":[]}', JSON)
        await self.check(400, "POST", "/v1/plan")
        await self.check(400, "POST", "/v1/tokens", b'{"role":"edge"}', JSON)

    async def test_too_large(self) -> None:
        """A body beyond the bound is thrown away as it comes, and refused."""
        self.patch(site, "MAXIMUM_BODY", 1000)
        await self.check(413, "POST", "/v1/plan", b" " * 50_000, JSON)
        await self.check(200, "GET", "/v1/status")

    async def test_bug(self) -> None:
        """A bug is a 500 without a traceback in the answer; the log has it."""
        self.patch(self.edge.feed, "current", None)
        answer = await self.check(500, "GET", "/v1/status")
        self.assertEqual(answer["error"], "bug")
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    async def test_store_away(self) -> None:
        """While the store is away, that is what is told."""
        await self.edge.store.close()
        answer = await self.check(503, "GET", "/v1/objects/applications")
        self.assertEqual(answer["error"], "store_unreachable")

    async def test_who_did_it(self) -> None:
        """The audit line names the user whom the kernel names."""
        files = [{"name": "apps.toml", "text": APPLICATIONS}]
        plan = await self.check(200, "POST", "/v1/plan", json.dumps({"files": files}).encode(), JSON)
        body = json.dumps({"files": files, "revision": plan["revision"]}).encode()
        with capturedLogs() as events:
            await self.check(200, "POST", "/v1/apply", body, JSON)
        actors = {(e["actor"], e["actor_uid"]) for e in events if e.get("event") == "audit"}
        self.assertEqual(actors, {(getpass.getuser(), os.getuid())})


class ListeningTests(SocketTestCase):
    """The socket in the file system."""

    def mode(self) -> int:
        """Who may use it."""
        return stat.S_IMODE(self.path.stat().st_mode)

    async def test_owner_only(self) -> None:
        """Without a group, only the daemon's own user may use it."""
        self.assertEqual(self.mode(), 0o600)

    async def test_group(self) -> None:
        """With a group, that group may use it too, and nobody else."""
        await self.service.stopService()
        group = os.getgroups()[0] if os.getgroups() else os.getgid()
        self.service = self.new_service(_group_name(group))
        self.service.startService()
        self.assertEqual((self.mode(), self.path.stat().st_gid), (0o660, group))

    async def test_unknown_group(self) -> None:
        """A group that there is not opens the socket to nobody, and the log says so."""
        await self.service.stopService()
        self.service = self.new_service("no-such-group")
        with capturedLogs() as events:
            self.service.startService()
        self.assertEqual(self.mode(), 0o600)
        self.assertEqual([event["fault"] for event in events if "fault" in event], ["operator"])

    async def test_stopped(self) -> None:
        """After the service has stopped there is no socket."""
        await self.service.stopService()
        self.assertFalse(self.path.exists())

    async def test_left_behind(self) -> None:
        """A socket that a killed daemon left is replaced."""
        await self.service.stopService()
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(self.path))
        self.service = self.new_service()
        self.service.startService()
        status, _ = await deferToThread(ask, self.path, "GET", "/v1/status")
        self.assertEqual(status, 200)

    async def test_in_use(self) -> None:
        """A socket that somebody listens on is left alone, as is any other file."""
        with self.assertRaises(CannotListenError):
            self.new_service().startService()
        status, _ = await deferToThread(ask, self.path, "GET", "/v1/status")
        self.assertEqual(status, 200)
        await self.service.stopService()
        self.path.write_text("a file")
        with self.assertRaises(CannotListenError):
            self.new_service().startService()
        self.assertEqual(self.path.read_text(), "a file")


def _group_name(gid: int) -> str:
    return grp.getgrgid(gid).gr_name
