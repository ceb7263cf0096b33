"""Attacks from beside: tunnels and enrolment."""

from __future__ import annotations

import json
import sqlite3
import ssl
import time
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from appproxy.pki.certificates import Role, key_from_pem, make_key
from appproxy.pki.issuing import Issuer, make_certificate
from appproxy.pki.join_token import JoinToken, parse_token
from appproxy.store.keys import AUTHORITIES, decode_document
from appproxy.store.sealing import Sealer, load_or_make_key
from appproxy.tunnel.frames import GOAWAY, HELLO, encode
from appproxy.tunnel.messages import pack_hello
from appproxy.tunnel.settings import TunnelSettings
from tests.integration.support.installation import PROGRAMS
from tests.integration.support.processes import run, wait_until
from tests.integration.support.stolen import ENROLL, TUNNEL, MachineTestCase
from tests.transport.support import CLIENT, Authority
from tests.tunnel.support import frames_of

FAREWELL: Final = {HELLO, GOAWAY}
DAY: Final = 86400.0
QUIET_SECONDS: Final = 0.3
"""After so long nothing more will come."""


def pem_of(*parts: x509.Certificate | ec.EllipticCurvePrivateKey) -> bytes:
    """Certificates and keys as text."""
    texts = []
    for part in parts:
        if isinstance(part, x509.Certificate):
            texts.append(part.public_bytes(serialization.Encoding.PEM))
        else:
            form = serialization.PrivateFormat.PKCS8
            texts.append(part.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return b"".join(texts)


class TunnelDoorTests(MachineTestCase):
    """Who gets a tunnel."""

    def frames(self, certificate: Path | None) -> set[int] | None:
        """
        Dial a tunnel and say HELLO.

        @return: the kinds of frames that came; L{None} where TLS did not come about.
        """
        try:
            wire = self.machine(TUNNEL, certificate)
        except (ssl.SSLError, OSError):
            return None
        wire.socket.settimeout(QUIET_SECONDS)
        wire.send(encode(HELLO, 0, pack_hello("acceptor", TunnelSettings())))
        return {kind for kind, *_ in frames_of(wire.rest())}

    def stolen_issuer(self) -> Issuer:
        """The connectors' issuer, as it stands in the edge's store."""
        edge = self.site.folder / "edge"
        with sqlite3.connect(f"file:{edge / 'store.sqlite3'}?mode=ro", uri=True) as database:
            name = f"{AUTHORITIES}1"
            ((sealed,),) = database.execute("SELECT value FROM items WHERE key = ?", (name,))
        document = decode_document(Sealer(load_or_make_key(edge / "store.key")).unseal(name, sealed))
        certificate = x509.load_pem_x509_certificate(document["connectors"].encode())
        return Issuer(certificate, key_from_pem(document["connectors_key"].encode()))

    def issued(self, role: Role, holder: str, now: float) -> Path:
        """A certificate that the connectors' issuer signs, whatever it says."""
        issuer, key = self.stolen_issuer(), make_key()
        certificate = make_certificate(issuer, key.public_key(), role, holder, now, groups=("*",))
        return self.file(f"{role}-{now:.0f}", pem_of(key, certificate, issuer.certificate))

    def holder(self, name: str) -> str:
        """The id of a connector that enrolled."""
        found: str = self.site.appproxy_json("show", "connector", name)["id"]
        return found

    def test_enrolled(self) -> None:
        """The counter-test: an enrolled connector gets its catalog; once it is deleted, a goodbye."""
        certificate = self.enrolled("doomed")
        frames = self.frames(certificate)
        assert frames is not None
        self.assertGreater(frames - FAREWELL, set())
        self.site.appproxy("delete", "connector", "doomed", "--yes")
        self.assertIn(self.frames(certificate), (set(), FAREWELL))

    def test_strangers(self) -> None:
        """
        No tunnel without a certificate, with one of a foreign CA, or with our URI in somebody's own.

        Security row 36.
        """
        self.enrolled("known")
        foreign = Authority("appproxy root")
        pair = foreign.issue(uris=[f"appproxy:connector:{self.holder('known')}"], usage=CLIENT)
        web = self.site.folder / "certificates" / "public.pem"
        for certificate in (None, self.file("foreign", b"".join(pair)), web):
            self.assertIn(self.frames(certificate), (None, set()))

    def test_our_issuer(self) -> None:
        """
        Nor with one of our own issuer that has expired, is in no register, or says another role.

        Security row 36.
        """
        self.enrolled("present")
        holder, now = self.holder("present"), time.time()
        for certificate in (
            self.issued("connector", holder, now - 60 * DAY),
            self.issued("connector", holder, now),
            self.issued("connector", "0123456789abcdef", now),
            self.issued("edge", holder, now),
            self.issued("relay", holder, now),
        ):
            frames = self.frames(certificate)
            self.assertTrue(frames is None or frames <= FAREWELL, (certificate.name, frames))

    def test_relay_is_no_connector(self) -> None:
        """A relay's good certificate opens no tunnel at an edge."""
        self.assertIn(self.frames(self.enrolled("relayed", "relay")), (None, set()))

    def test_doors(self) -> None:
        """The connect host speaks to machines alone, and web hosts do not speak to these."""
        certificate = self.enrolled("curious")
        doors = (
            *(("connect", alpn) for alpn in (("http/1.1",), ("h2",), ())),
            *(("echo", (TUNNEL,)), ("auth", (ENROLL,))),
        )
        for name, alpn in doors:
            with self.assertRaises((ssl.SSLError, OSError), msg=(name, alpn)):
                self.wire(name, alpn=alpn, certificate=certificate, verify=False)
        with self.machine(ENROLL) as wire:
            wire.send(b"GET / HTTP/1.1\r\nHost: " + self.host("connect").encode() + b"\r\n\r\n")
            self.assertEqual(wire.rest(), b"")


class EnrolmentTests(MachineTestCase):
    """Who becomes a connector."""

    def refused(self, name: str, token: str) -> str:
        """
        Try to enrol.

        @return: what the command says of its failure.
        """
        identity = self.site.folder / name / "identity"
        config = self.site.write(name, {"identity": identity, "allowed_backends": ["127.0.0.1:1"]})
        command = (PROGRAMS / "appproxy", "enroll", "--config", config, "--token-file", "-")
        done = run(command, stdin=token)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertFalse((identity / "certificate.pem").exists())
        self.assertNotIn(token, done.stdout + done.stderr)
        return done.stderr

    def test_used(self) -> None:
        """
        A token that was used makes nothing of another machine.

        Security row 36.
        """
        token = self.token()
        self.enrol("first", token)
        self.assertIn("used by another machine", self.refused("second", token))

    def test_expired(self) -> None:
        """
        Nor does one whose time is over, and it is gone from the list.

        Security row 36.
        """
        token = self.token("--valid", "500ms", "--name", "latecomer")
        wait_until(lambda: "latecomer" not in self.site.appproxy("list", "tokens"), "the token ends")
        self.assertIn("its time is over", self.refused("late", token))

    def test_made_up(self) -> None:
        """Nor one that nobody made here, whatever its secret."""
        real = parse_token(self.token())
        forged = JoinToken(real.addresses, real.connect_host, real.ca_sha256, "connector", "A" * 43)
        self.assertIn("does not know this token", self.refused("forger", forged.text))

    def test_wrong_authority(self) -> None:
        """A newcomer tells its secret to nobody but the edge that the token names."""
        real = parse_token(self.token())
        other = JoinToken(real.addresses, real.connect_host, "0" * 64, "connector", real.secret)
        self.assertIn("nothing was sent", self.refused("careful", other.text))

    def test_name_in_the_request(self) -> None:
        """
        Who a newcomer is, its token says, and never its request.

        Security row 36.
        """
        key = make_key()
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("appproxy:edge:root")])
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        asked = builder.add_extension(names, critical=True).sign(key, hashes.SHA256())
        csr = asked.public_bytes(serialization.Encoding.PEM).decode()
        message = json.dumps(
            {"v": 1, "secret": parse_token(self.token()).secret, "csr": csr, "name": "x"}
        ).encode()
        with self.machine(ENROLL) as wire:
            wire.send(len(message).to_bytes(4, "big") + message)
            self.assertIn(b"csr_names", wire.rest())

    def test_junk(self) -> None:
        """Whatever else is sent, there is no answer with a certificate in it."""
        for junk in (
            b"\xff" * 100,
            b"\0\0\0\2{}",
            b"\0\0\0\4null",
            b"\x7f\xff\xff\xff" + b"{" * 1000,
            b"\0\0\0\0",
        ):
            with self.machine(ENROLL) as wire:
                wire.send(junk)
                wire.socket.settimeout(QUIET_SECONDS)
                self.assertNotIn(b"CERTIFICATE", wire.rest())
