"""A new CA takes over while people work: nobody notices, and the old one is worth nothing then."""

from __future__ import annotations

import shutil
from typing import Any

from appproxy.pki.certificates import fingerprint
from appproxy.pki.join_token import parse_token
from appproxy.pki.trust import root_of
from tests.integration.support.installation import PROGRAMS
from tests.integration.support.living import LivingCase
from tests.integration.support.processes import Running, run


class RotationCase(LivingCase):
    """What both places of the relay have in common."""

    def ca(self) -> dict[str, Any]:
        """What the administrator sees of the CA."""
        shown: dict[str, Any] = self.site.appproxy_json("ca", "show")
        return shown

    def behind(self) -> set[str]:
        """Whose names stand there as those that depend on the old one."""
        return {each["name"] for each in self.ca()["behind"]}

    def retire(self, *more: str) -> str:
        """
        Try to retire the old one.

        @return: what the command says when it refuses; empty if it did it.
        """
        done = run((PROGRAMS / "appproxy", "--server", self.site.admin, "ca", "retire", "--yes", *more))
        return done.stderr if done.returncode else ""

    def own_root(self, name: str) -> str:
        """The hash of the root that a daemon's certificate is of."""
        identity = self.identity(name)
        return fingerprint(root_of(identity.chain, identity.roots))

    def rotate(self) -> str:
        """
        Let a new CA take over.

        @return: the hash of its root.
        """
        self.site.appproxy("ca", "rotate", "--yes")
        old, new = self.ca()["authorities"]
        self.assertNotEqual(old["root_sha256"], new["root_sha256"])
        return str(new["root_sha256"])

    def assert_nothing_left(self, old: str, new: str) -> None:
        """Everybody has a certificate of the new one, and trusts no other."""
        for name in self.daemons:
            self.wait_for(lambda name=name: self.identity(name).root_hashes == (new,), f"{name} trusts one")
            self.assertEqual(self.own_root(name), new, name)


class InsideTests(RotationCase):
    """The relay inside of the edge."""

    connectors = 2

    def test_rotated(self) -> None:
        """
        A new CA is made, connectors move to it by themselves, newcomers begin with it, the old one is
        retired: no stream breaks, and at the end nobody trusts the old one.
        """
        old = self.own_root("connector")
        streams = self.begin()
        new = self.rotate()
        self.wait_for(lambda: not self.behind(), "all have moved")
        self.assertEqual({self.own_root(name) for name in self.daemons}, {new})
        token = self.site.appproxy_json("connector", "token", "--group", "hq")["token"]
        self.assertEqual(parse_token(token).ca_sha256, new)
        self.daemons["connector-3"] = self.start_connector()
        self.wait_for(lambda: len({row["connector"] for row in self.tunnels()}) == 3, "the newcomer serves")
        streams.move()
        self.assertEqual(self.retire(), "")
        self.assertEqual([each["state"] for each in self.ca()["authorities"]], ["in use"])
        self.assert_nothing_left(old, new)
        self.end()
        self.daemons["edge"] = self.site.restart_edge()
        del self.streams
        self.wait_for(lambda: len(self.tunnels()) == 3, "all are back after a restart")

    def test_left_behind(self) -> None:
        """
        While a connector is away that has not heard of the new CA, newcomers enrol and serve all the same,
        and the old one is not retired; with --force it is. That connector is refused then, told what to do.
        """
        self.daemons.pop("connector-2").stop()
        lost = self.site.folder / "connector-2"
        new = self.rotate()
        self.wait_for(lambda: self.own_root("connector") == new, "the other one moves")
        self.daemons["connector-3"] = self.start_connector()
        self.wait_for(lambda: len({row["connector"] for row in self.tunnels()}) == 2, "the newcomer serves")
        (name,) = {each["name"] for each in self.ca()["behind"] if each["role"] == "connector"}
        self.assertIn(name, self.retire())
        self.begin()
        self.assertEqual(self.retire("--force"), "")
        self.assert_nothing_left("", new)
        self.end()
        command = (PROGRAMS / "twistd", "--nodaemon", "appproxy-connector", "--config", f"{lost}.toml")
        late = self.start(Running("late", command, lost, self.site.environment))
        said = late.wait_for_line('"event": ?"tunnel_failed"')
        line = late.text[said.start() :].splitlines()[0]
        self.assertIn("the CA was replaced", line)
        self.assertIn("enrol it again with a new token", line)
        late.stop()
        shutil.rmtree(lost / "identity")
        token = self.site.appproxy_json("connector", "token", "--group", "hq")["token"]
        self.site.appproxy("enroll", "--config", f"{lost}.toml", "--token-file", "-", stdin=token)
        self.daemons["connector-2"] = self.site.start_again("connector-2")
        del self.streams
        self.wait_for(lambda: len({row["connector"] for row in self.tunnels()}) == 3, "it is back")


class RemoteTests(RotationCase):
    """A relay of its own."""

    with_relay = True

    def test_rotated(self) -> None:
        """
        The relay and the connector behind it move as well, in the right order; no stream breaks, and at the
        end nobody trusts the old one.
        """
        old = self.own_root("connector")
        self.begin()
        new = self.rotate()
        self.wait_for(lambda: not self.behind(), "all have moved")
        self.assertEqual({self.own_root(name) for name in self.daemons}, {new})
        self.assertEqual(self.retire(), "")
        self.assert_nothing_left(old, new)
        self.end()
        for name in ("relay", "connector"):
            self.daemons[name].stop()
            self.daemons[name] = self.site.start_again(name)
        del self.streams
        self.wait_for(lambda: len(self.tunnels()) == 1, "all are back after a restart")
