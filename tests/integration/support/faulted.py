"""
An installation whose daemons may die at any moment: what must hold once they are back.
"""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from appproxy.cli.client import AdminClient, Refused, ServerAway
from bench.sessions import GROUP, ISSUER, make_sessions, user
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.installation import Installation
from tests.integration.support.load import Load, Person, Place
from tests.integration.support.look import at_work
from tests.integration.support.marked_backend import USER_HEADER, MarkedBackend
from tests.integration.support.processes import Running, wait_until
from tests.integration.support.toml import toml_text

PEOPLE: Final = 50
APPLICATION: Final = "work"
CONNECTORS: Final = ("connector", "connector-2")
DAEMONS: Final = ("edge", "relay", *CONNECTORS)
SIGN_ON: Final = {"mode": "headers", "headers": {USER_HEADER: {"claim": "user_principal_name"}}}


def store_problems(store: Path, beside: Path) -> str:
    """
    What SQLite finds wrong with a store, of which a copy is looked at.

    @return: empty if it is sound.
    """
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    for part in (store, store.with_name(f"{store.name}-wal")):
        if part.exists():
            shutil.copy(part, beside)
    return sqlite_problems(str(beside / store.name))


def sqlite_problems(store: str) -> str:
    """What C{integrity_check} and C{foreign_key_check} say; empty if that is nothing."""
    connection = sqlite3.connect(store, timeout=10)
    try:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
        orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
    finally:
        connection.close()
    return "" if verdict == "ok" and not orphans else f"{verdict}, {orphans}"


class Administrator(threading.Thread):
    """
    Somebody who changes the catalog again and again, whether or not the edge lives.

    @ivar promised: the number of the last change that was acknowledged, and its revision.
    @ivar tried: the number of the last one that was sent.
    @ivar problems: refusals, which there is no reason for.
    """

    def __init__(self, server: str, catalog: Callable[[int], str]) -> None:
        """
        @param catalog: the catalog's file form after so many changes.
        """
        super().__init__(daemon=True, name="administrator")
        self.promised = (0, 0)
        self.tried = 0
        self.problems: list[str] = []
        self._client = AdminClient(server)
        self._catalog = catalog
        self._stopping = threading.Event()
        self._may_work = threading.Event()
        self._is_idle = threading.Event()

    def run(self) -> None:
        """Change, and change again."""
        while not self._stopping.is_set():
            if not self._may_work.is_set():
                self._is_idle.set()
                self._may_work.wait()
                continue
            self._is_idle.clear()
            self._change()
            self._stopping.wait(0.05)

    def go_on(self) -> None:
        """Work."""
        self._may_work.set()

    def pause(self) -> None:
        """Finish what was begun."""
        self._is_idle.clear()
        self._may_work.clear()
        self._is_idle.wait()

    def end(self) -> None:
        """Work no more."""
        self._stopping.set()
        self._may_work.set()
        self.join()

    def _change(self) -> None:
        request = {"files": [{"name": "all.toml", "text": self._catalog(self.tried + 1)}], "prune": True}
        try:
            planned = self._client.post("plan", request)
            self.tried += 1
            made = self._client.post("apply", {**request, "revision": planned["revision"]})
        except ServerAway:
            return
        except Refused as error:
            # What was sent to the dead edge, and not acknowledged, may stand there.
            if error.code != "store_unreachable":
                self.problems.append(f"a change was refused: {error.code}: {error}")
            return
        self.promised = (self.tried, made["revision"])


class Faulted:
    """
    Edge, a relay of its own, two connectors of one group, and people who work.

    @ivar load: their work; it stands still at first.
    @ivar problems: everything that was found wrong.
    @ivar kills: how many daemons were killed.
    """

    def __init__(self, case: IntegrationTestCase, seed: int) -> None:
        """Start everything."""
        self._random = random.Random(seed)
        self._case = case
        self.kills = 0
        self._found: list[str] = []
        self.backend = MarkedBackend(case.folder / "backend")
        case.start(self.backend.process)
        self.site = site = Installation(case, settings=sign_in_settings(case.folder))
        self.store = site.folder / "edge" / "store.sqlite3"
        people = sign_in(site, PEOPLE)
        site.start_edge()
        relay, port = site.start_relay()
        site.restart_edge({"relay": {"mode": "remote", "dial": [f"127.0.0.1:{port}"]}})
        self.daemons: dict[str, Running] = {"edge": site.edge, "relay": relay}
        self.admin = AdminClient(site.admin)
        site.appproxy("apply", site.write("applications", self._catalog(0)), "--yes", "--prune")
        for name in CONNECTORS:
            self.daemons[name] = site.start_connector(
                "hq", [f"127.0.0.1:{self.backend.port}"], {"log": {"level": "info", "access": False}}
            )
        self.wait_for_tunnels()
        place = Place(site.port, f"{APPLICATION}.{site.domain}", site.authority.ca_file)
        self.load = Load(place, people, seed)
        self.load.start()
        case.addCleanup(self.load.end)
        self.administrator = Administrator(site.admin, lambda number: toml_text(self._catalog(number)))
        self.administrator.start()
        case.addCleanup(self.administrator.end)

    def _catalog(self, number: int) -> dict[str, Any]:
        url, group = self.backend.internal_url, {"connector_group": "hq"}
        work = {"name": "Work", "internal_url": url, "external_url": self.site.url(APPLICATION)}
        # Its address inside: what connectors are told, too, changes each time.
        other = {"name": "Other", "internal_url": f"{url}{number}/", "external_url": self.site.url("other")}
        return {
            "format": 1,
            "connector_groups": {"hq": {"name": "Headquarters"}},
            "applications": {
                APPLICATION: {**work, **group, "groups": [GROUP], "sso": SIGN_ON},
                "other": {**other, **group, "everyone": True},
            },
        }

    @property
    def problems(self) -> list[str]:
        """All of them so far."""
        return self._found + self.load.tally.problems + self.administrator.problems

    # -- one round

    def round(self, name: str) -> None:
        """Kill a daemon at some moment, start it again, and look whether anything suffered."""
        self.load.calm()
        self.load.go_on()
        self.administrator.go_on()
        self._let_pass(0.1, 0.6)
        self.load.disturb()
        self._kill(name)
        self._let_pass(0.0, 0.3)
        self.daemons[name] = self.site.start_again(name)
        self.wait_for_tunnels()
        self._let_pass(0.0, 0.2)
        self.load.pause()
        self.administrator.pause()
        self.load.calm()
        self.look(name)

    def victim(self) -> str:
        """Whose turn it is to die."""
        return self._random.choice(DAEMONS)

    def _let_pass(self, least: float, most: float) -> None:
        """The moments at which daemons die are the test's subject; nothing is concluded from this time."""
        threading.Event().wait(self._random.uniform(least, most))

    def _kill(self, name: str) -> None:
        process = self.daemons[name]
        process.signal(signal.SIGKILL)
        process.wait_for_end()
        self.kills += 1
        if name == "edge":
            self._note(
                name, "the store after the kill", store_problems(self.store, self._case.folder / "copy")
            )

    # -- what must hold

    def look(self, name: str) -> None:
        """See whether everything is as it should be, and note what is not."""
        self.load.ask_for_all()
        self._note(name, "still at work", self._still_busy())
        self._note(name, "the store", sqlite_problems(str(self.store)))
        self._look_at_catalog(name)

    def wait_for_tunnels(self) -> None:
        """Wait until both connectors can be used from the edge."""
        wait_until(lambda: self._tunnels() == len(CONNECTORS), "both connectors are back")

    def _tunnels(self) -> int:
        try:
            rows = self.admin.get("status")["tunnels"]
        except ServerAway:
            return 0
        return len({row["connector"] for row in rows if row["role"] == "connector"})

    def _still_busy(self) -> str:
        """What is not at rest although nobody asks; given the time that a close needs."""
        try:
            wait_until(lambda: not self._busy(), "all is at rest", 20)
        except AssertionError:
            return self._busy()
        return ""

    def _busy(self) -> str:
        return at_work(self.site, DAEMONS, self.backend.internal_url)

    def _look_at_catalog(self, name: str) -> None:
        number, revision = self.administrator.promised
        shown = self.admin.get("export")
        kept = [each for each in range(number, self.administrator.tried + 1) if f'/{each}/"' in shown["text"]]
        if not kept or shown["revision"] < revision:
            self._note(name, "the catalog", f"change {number} at {revision} was promised, got {shown}")
        self._note(name, "the catalog in use", self._out_of_step())

    def _out_of_step(self) -> str:
        """Daemons with another catalog than the edge's; given the time that a change needs."""
        try:
            wait_until(lambda: len(set(self._revisions().values())) == 1, "one catalog", 20)
        except AssertionError:
            return str(self._revisions())
        return ""

    def _revisions(self) -> dict[str, float]:
        return {name: self.site.numbers(name).get("appproxy_catalog_revision", -1) for name in DAEMONS}

    def _note(self, name: str, what: str, problem: str) -> None:
        if problem:
            self._found.append(f"kill {self.kills}, of {name}: {what}: {problem}")


def sign_in_settings(folder: Path, *, access_log: bool = False) -> dict[str, Any]:
    """For an edge whose people are signed in already: its provider is never asked."""
    secret = folder / "client-secret"
    secret.touch(0o600)
    secret.write_text("a secret of the tests\n")
    return {
        "sign_in": {"issuer": ISSUER, "client_id": "appproxy", "client_secret_file": secret},
        "log": {"level": "info", "access": access_log},
    }


def sign_in(site: Installation, count: int) -> list[Person]:
    """Sign people in at an edge that was never started, for the application C{work}."""
    state = site.folder / "edge"
    state.mkdir(mode=0o700)
    host = f"{APPLICATION}.{site.domain}"
    cookies = make_sessions(state / "store.sqlite3", state / "store.key", count, host)[host]
    names = (user(number).user_principal_name for number in range(count))
    return [Person(name, cookie) for name, cookie in zip(names, cookies, strict=True)]
