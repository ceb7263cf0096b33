"""Tests of L{appproxy.transport.addresses}."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

from twisted.python.systemd import ListenFDs
from twisted.trial.unittest import SynchronousTestCase

from appproxy.transport.addresses import HostPort, ListenAddress, first_unprivileged_port, inherited_sockets


class ListenAddressTests(SynchronousTestCase):
    """Where to listen, as written in a file."""

    def test_forms(self) -> None:
        """Every form of the manual is read, and written back the same."""
        for text, expected in {
            ":443": ListenAddress("tcp", "", 443),
            "127.0.0.1:8443": ListenAddress("tcp", "127.0.0.1", 8443),
            "[::1]:8443": ListenAddress("tcp", "::1", 8443),
            "unix:/run/a.sock": ListenAddress("unix", "/run/a.sock"),
            "systemd:https": ListenAddress("systemd", "https"),
        }.items():
            self.assertEqual(ListenAddress.parse(text), expected)
            self.assertEqual(str(expected), text)

    def test_mistakes(self) -> None:
        """A mistake is named, not guessed around."""
        for text in (
            "",
            "443",
            ":",
            ":65536",
            ":-1",
            "::1:443",
            "[::1]443",
            "[wiki]:443",
            "wiki:443",
            ":443 ",
            ":٤٤٣",
            "unix:a",
            "systemd:",
            "tcp:443",
        ):
            with self.assertRaises(ValueError, msg=text):
                ListenAddress.parse(text)

    def test_refused(self) -> None:
        """
        An error says what to write instead: the name of a socket that systemd passed, else how to get one.
        """
        refused = PermissionError(errno.EACCES, "Permission denied")
        taken = OSError(errno.EADDRINUSE, "Address already in use")
        passed = {"LISTEN_FDNAMES": "http:https:https"}
        public, web, local = map(ListenAddress.parse, (":443", ":80", "127.0.0.1:8443"))
        for address, error, environment, words in (
            (
                public,
                refused,
                {},
                'Permission denied: write "systemd:https", and start it by its systemd unit',
            ),
            (web, refused, {}, 'write "systemd:http", and'),
            (public, refused, passed, 'systemd holds the ports: write "systemd:http" or "systemd:https"'),
            (
                local,
                taken,
                passed,
                'in use: systemd holds the ports: write "systemd:http" or "systemd:https"',
            ),
        ):
            explained = address.explained(error, environment, os.getpid())
            self.assertEqual(explained.errno, error.errno)
            self.assertIn(words, str(explained))
        for address, error in ((local, taken), (local, refused), (ListenAddress.parse("systemd:a"), refused)):
            self.assertIs(address.explained(error, {}, os.getpid()), error)

    def test_privileged(self) -> None:
        """The kernel's setting says which ports are for everybody; without it, those from 1024 on."""
        setting = Path(self.mktemp())
        self.assertEqual(first_unprivileged_port(setting), 1024)
        setting.write_text("80\n")
        self.assertEqual(first_unprivileged_port(setting), 80)
        self.assertFalse(ListenAddress.parse(":65535").is_privileged)
        self.assertFalse(ListenAddress.parse(":0").is_privileged)
        self.assertFalse(ListenAddress.parse("systemd:https").is_privileged)

    def test_every_address(self) -> None:
        """Without a host both families listen on one port, and an IPv4 client stays an IPv4 client."""
        sockets = ListenAddress("tcp").listen_sockets()
        for each in sockets:
            self.addCleanup(each.close)
        self.assertEqual(sockets[0].family, socket.AF_INET)
        self.assertEqual(len({each.getsockname()[1] for each in sockets}), 1)
        for each in sockets[1:]:
            self.assertEqual(each.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY), 1)

    def test_taken_port(self) -> None:
        """A port that somebody has is an error, also when only the IPv6 half is taken."""
        taken = ListenAddress("tcp", "::1").listen_sockets()[0]
        self.addCleanup(taken.close)
        port = taken.getsockname()[1]
        with self.assertRaises(OSError):
            ListenAddress("tcp", "::1", port).listen_sockets()
        with self.assertRaises(OSError):
            ListenAddress("tcp", "", port).listen_sockets()

    def test_shared_port(self) -> None:
        """Processes that say so may share a port."""
        first = ListenAddress("tcp", "127.0.0.1").listen_sockets(share=True)[0]
        self.addCleanup(first.close)
        again = ListenAddress("tcp", "127.0.0.1", first.getsockname()[1]).listen_sockets(share=True)[0]
        self.addCleanup(again.close)

    def test_stale_socket(self) -> None:
        """A dead process's socket is removed; a live one's, and a file, are left alone."""
        path = os.path.abspath(self.mktemp())[-90:]
        path = f"/tmp/{os.getpid()}-{os.path.basename(path)}"
        address = ListenAddress("unix", path)
        address.remove_stale_socket()
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(path)
        dead.close()
        self.assertTrue(stat.S_ISSOCK(os.stat(path).st_mode))
        address.remove_stale_socket()
        self.assertFalse(os.path.exists(path))
        with socket.socket(socket.AF_UNIX) as live:
            live.bind(path)
            self.addCleanup(os.unlink, path)
            live.listen(1)
            with self.assertRaises(OSError):
                address.remove_stale_socket()
        file = self.mktemp()
        with open(file, "w"):
            pass
        with self.assertRaises(OSError):
            ListenAddress("unix", os.path.abspath(file)).remove_stale_socket()

    def test_inherited(self) -> None:
        """A socket of systemd's is found by its name, and only if it was meant for this process."""
        environment = {"LISTEN_PID": "7", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "https"}
        for bad in ({}, {**environment, "LISTEN_PID": "8"}, {**environment, "LISTEN_FDNAMES": "http"}):
            with self.assertRaises(OSError):
                inherited_sockets("https", bad, 7)

    def test_inherited_descriptors(self) -> None:
        """Descriptors are counted from the first, and one name may have several."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        for number in (200, 201, 202):
            os.dup2(listening.fileno(), number)
            self.addCleanup(os.close, number)
        names = {"LISTEN_PID": "7", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "http:https:https"}
        found = inherited_sockets("https", names, 7, first_descriptor=200)
        for each in found:
            self.addCleanup(each.close)
        self.assertEqual([each.getsockname() for each in found], [listening.getsockname()] * 2)

    def test_inherited_beside_twisted(self) -> None:
        """They are found although Twisted, once imported, has taken most of their variables away."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "https"}
        ListenFDs.fromEnvironment(environment, listening.fileno())
        (found,) = inherited_sockets("https", environment, os.getpid(), listening.fileno())
        self.addCleanup(found.close)
        self.assertEqual(found.getsockname(), listening.getsockname())


class HostPortTests(SynchronousTestCase):
    """Where to dial, as written in a file."""

    def test_forms(self) -> None:
        """Names become lower-case ASCII; IPv6 addresses stand in brackets."""
        self.assertEqual(HostPort.parse("Relay.Example.com:443"), HostPort("relay.example.com", 443))
        self.assertEqual(HostPort.parse("bücher.example:443").host, "xn--bcher-kva.example")
        self.assertEqual(str(HostPort.parse("[2001:db8:0::1]:443")), "[2001:db8::1]:443")
        self.assertTrue(HostPort.parse("10.0.0.1:1").is_literal_address)
        self.assertFalse(HostPort.parse("ten.example:1").is_literal_address)

    def test_mistakes(self) -> None:
        """A mistake is named."""
        for text in ("", "relay", ":443", "relay:0", "relay:x", "2001:db8::1:443", "a b:443", "1.2.3:443"):
            with self.assertRaises(ValueError, msg=text):
                HostPort.parse(text)

    def test_localhost(self) -> None:
        """Names below localhost are this machine, whatever the system's resolver thinks."""
        self.assertEqual(HostPort.parse("connect.demo.localhost:8443").connect_host, "127.0.0.1")
        self.assertEqual(HostPort.parse("localhost:8443").connect_host, "127.0.0.1")
        self.assertEqual(HostPort.parse("notlocalhost:8443").connect_host, "notlocalhost")
