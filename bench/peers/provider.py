"""
An OpenID Connect provider that signs everybody in without a question.

The peers keep sessions as their own sign-in makes them; this stands behind that
sign-in, so that a thousand of them take seconds. It serves while sessions are
made and idles while they are measured.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

CLIENT_ID: Final = "bench"
CLIENT_SECRET: Final = secrets.token_urlsafe(24)
"""What the peers show when they redeem a code; it is theirs for this run only."""

LIFETIME_SECONDS: Final = 36_000
"""Of the tokens, and so of the sessions: longer than any measurement."""


class Provider:
    """
    @ivar port: on 127.0.0.1, plain HTTP.
    @ivar issuer: its address, without a final slash.
    """

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        self._nonces: dict[str, str] = {}
        self._server = _Server(self)
        self.port: int = self._server.server_address[1]
        self.issuer = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, on a thread that ends with L{stop}."""
        threading.Thread(target=self._server.serve_forever, name="provider", daemon=True).start()

    def stop(self) -> None:
        """End what L{start} started."""
        self._server.shutdown()
        self._server.server_close()

    def discovery(self) -> dict[str, object]:
        """OpenID Connect Discovery 1.0, section 3."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        }

    def keys(self) -> dict[str, object]:
        """The key that ID tokens are signed with."""
        key = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**key, "kid": "1", "alg": "RS256", "use": "sig"}]}

    def authorize(self, query: dict[str, str]) -> str:
        """Where the browser goes next: back, with a code."""
        code = secrets.token_urlsafe(16)
        self._nonces[code] = query.get("nonce", "")
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def token(self, form: dict[str, str]) -> dict[str, object]:
        """
        Code for tokens.

        @raise KeyError: if there is no such code.
        """
        nonce = self._nonces.pop(form["code"])
        return {
            "access_token": secrets.token_urlsafe(32),
            "token_type": "Bearer",
            "expires_in": LIFETIME_SECONDS,
            "id_token": self._id_token(nonce),
        }

    def _id_token(self, nonce: str) -> str:
        subject = secrets.token_hex(8)
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": subject,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
            "email": f"{subject}@example.com",
            **({"nonce": nonce} if nonce else {}),
        }
        return jwt.encode(claims, self._key, "RS256", {"kid": "1"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, provider: Provider) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.provider = provider


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Without this the head and the body of an answer wait for one another, 40 ms each time.
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        provider = self.server.provider
        if target.path == "/authorize":
            self._answer(302, {"Location": provider.authorize(_fields(target.query))})
        elif target.path == "/.well-known/openid-configuration":
            self._json(200, provider.discovery())
        elif target.path == "/keys":
            self._json(200, provider.keys())
        else:
            self._json(404, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            self._json(200, self.server.provider.token(_fields(body.decode())))
        except KeyError:
            self._json(400, {"error": "invalid_grant"})

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""

    def _json(self, status: int, content: dict[str, object]) -> None:
        self._answer(status, {"Content-Type": "application/json"}, json.dumps(content).encode())

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _fields(encoded: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(encoded, keep_blank_values=True).items()}
