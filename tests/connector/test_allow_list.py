"""L{appproxy.connector.allow_list}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.connector.allow_list import AllowList
from appproxy.model.web_address import parse_web_address

PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
LITERAL_ONLY = (
    "127.0.0.1",
    "127.8.9.1",
    "::1",
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
)


class AllowListTests(SynchronousTestCase):
    """L{AllowList}."""

    def permits(self, line: str, url: str, *addresses: str, into: tuple[str, ...] = PRIVATE) -> bool:
        """Whether one line permits an internal URL that leads to all of these addresses."""
        permit = AllowList.parse([line], into).permit(parse_web_address(url))
        return permit is not None and all(permit.permits_address(each) for each in addresses)

    def test_name(self) -> None:
        """A name covers itself, at its ports."""
        self.assertTrue(self.permits("wiki.corp.example:8080", "http://wiki.corp.example:8080/"))
        self.assertTrue(self.permits("WIKI.corp.example:8080", "http://Wiki.Corp.Example:8080/"))
        self.assertTrue(self.permits("wiki.corp.example", "https://wiki.corp.example:9/"))
        self.assertTrue(self.permits("wiki.corp.example:80,443", "https://wiki.corp.example/"))
        self.assertFalse(self.permits("wiki.corp.example:8080", "http://wiki.corp.example/"))
        self.assertFalse(self.permits("wiki.corp.example", "http://xwiki.corp.example/"))
        self.assertFalse(self.permits("wiki.corp.example", "http://wiki.corp.example.evil/"))
        self.assertFalse(self.permits("wiki.corp.example", "http://a.wiki.corp.example/"))

    def test_star(self) -> None:
        """A star stands for exactly the leftmost label."""
        self.assertTrue(self.permits("*.corp.example:443", "https://wiki.corp.example/"))
        self.assertFalse(self.permits("*.corp.example:443", "https://corp.example/"))
        self.assertFalse(self.permits("*.corp.example:443", "https://a.b.corp.example/"))
        self.assertFalse(self.permits("*.corp.example:443", "http://wiki.corp.example/"))

    def test_network(self) -> None:
        """A network covers addresses that stand in the URL, at that very address."""
        self.assertTrue(self.permits("10.20.0.0/16:443", "https://10.20.1.2/", "10.20.1.2"))
        self.assertFalse(self.permits("10.20.0.0/16:443", "https://10.20.1.2/", "10.20.1.3"))
        self.assertFalse(self.permits("10.20.0.0/16:443", "https://10.21.1.2/"))
        self.assertFalse(self.permits("10.20.0.0/16:443", "http://10.20.1.2/"))
        self.assertTrue(self.permits("[fc00::]/7:443", "https://[fd00::1]/", "fd00::1"))
        self.assertFalse(self.permits("[fc00::]/7:443", "https://10.0.0.1/"))

    def test_network_covers_no_name(self) -> None:
        """A name needs a line of its own, whatever it resolves to."""
        self.assertFalse(self.permits("10.0.0.0/8", "http://wiki.corp.example/"))
        self.assertFalse(self.permits("wiki.corp.example", "http://10.0.0.1/"))

    def test_names_resolve_into(self) -> None:
        """
        Each address that a name resolves to is judged, each time.

        Security row 34.
        """
        self.assertTrue(self.permits("wiki.corp.example", "http://wiki.corp.example/", "10.0.0.1", "fd00::1"))
        for address in ("8.8.8.8", "2001:db8::1", "11.0.0.1", "no address", ""):
            self.assertFalse(self.permits("wiki.corp.example", "http://wiki.corp.example/", address))

    def test_literal_only(self) -> None:
        """
        No name leads to loopback, link-local, metadata, even where all networks are listed.

        Security row 34.
        """
        for address in LITERAL_ONLY:
            self.assertFalse(
                self.permits("x.corp.example", "http://x.corp.example/", address, into=("0.0.0.0/0", "::/0")),
                address,
            )
        self.assertFalse(self.permits("localhost:1", "http://localhost:1/", "127.0.0.1", into=("0.0.0.0/0",)))

    def test_literal_needs_its_own_line(self) -> None:
        """A wide network does not open them either; a line about them does."""
        for address in ("127.0.0.1", "169.254.169.254", "0.0.0.0"):
            self.assertFalse(self.permits("0.0.0.0/0", f"http://{address}/"), address)
        self.assertFalse(self.permits("[::]/0", "http://[::1]/"))
        self.assertFalse(self.permits("[fc00::]/7", "http://[fd00:ec2::254]/"))
        self.assertTrue(self.permits("127.0.0.1:8888", "http://127.0.0.1:8888/", "127.0.0.1"))
        self.assertFalse(self.permits("127.0.0.1:8888", "http://127.0.0.1:8889/"))
        self.assertTrue(self.permits("127.0.0.0/8", "http://127.1.2.3/", "127.1.2.3"))
        self.assertTrue(self.permits("[::1]:80", "http://[::1]/", "::1"))

    def test_ipv4_in_ipv6(self) -> None:
        """An IPv4 address is judged as what it is, however it is dressed."""
        self.assertFalse(self.permits("[::]/0", "http://[::ffff:127.0.0.1]/"))
        self.assertTrue(self.permits("10.0.0.0/8", "http://[::ffff:10.0.0.1]/", "10.0.0.1"))
        self.assertTrue(self.permits("x.corp.example", "http://x.corp.example/", "::ffff:10.0.0.1"))
        self.assertTrue(self.permits("x.corp.example", "http://x.corp.example/", "64:ff9b::a00:1"))
        self.assertFalse(self.permits("x.corp.example", "http://x.corp.example/", "::ffff:8.8.8.8"))

    def test_scope(self) -> None:
        """A link-local address with its interface is one still."""
        self.assertFalse(
            self.permits("x.corp.example", "http://x.corp.example/", "fe80::1%eth0", into=("::/0",))
        )

    def test_nothing(self) -> None:
        """An empty list permits nothing."""
        self.assertIsNone(AllowList.parse([], PRIVATE).permit(parse_web_address("http://10.0.0.1/")))
