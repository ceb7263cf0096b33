"""
Talking to the provider: bounded in size and time, no redirects, no cookies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, Final, cast

from cryptography.x509 import load_pem_x509_certificates
from OpenSSL.crypto import X509
from treq.client import HTTPClient
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IConsumer, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

ANSWER_LIMIT: Final = 1 << 20
"""Bytes of one answer: key sets and tokens with hundreds of groups are well below."""

ANSWER_SECONDS: Final = 10.0
"""For one exchange with the provider; a person waits at the other end."""


class ProviderUnreachable(Exception):
    """The provider did not answer, or said that it cannot at the moment."""


class ProviderError(Exception):
    """The provider's answer is a refusal, or makes no sense."""


@dataclass(frozen=True)
class Answer:
    """
    One answer, read completely.

    @ivar content_type: lower case, without parameters.
    """

    status: int
    content_type: str
    body: bytes


class WebClient:
    """
    @param client: see L{provider_client}.
    """

    def __init__(self, client: HTTPClient, clock: IReactorTime) -> None:
        self._client = client
        self._clock = clock

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Deferred[Answer]:
        """
        @raise ProviderUnreachable: (as a failure) if there is no answer.
        @raise ProviderError: (as a failure) if there is too much of it.
        """
        return self._bounded("GET", url, headers)

    def post_form(
        self, url: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Deferred[Answer]:
        """
        Send a form; fails as L{get} does.
        """
        return self._bounded("POST", url, headers, data=dict(fields))

    def _bounded(
        self, method: str, url: str, headers: Mapping[str, str] | None, **more: Any
    ) -> Deferred[Answer]:
        exchange = Deferred.fromCoroutine(self._exchange(method, url, headers, **more))
        return exchange.addTimeout(ANSWER_SECONDS, self._clock).addErrback(self._failed)

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str] | None, **more: Any
    ) -> Answer:
        response = await self._client.request(
            method,
            url,
            headers=Headers(
                {"Accept": ["application/json"], **{name: [text] for name, text in (headers or {}).items()}}
            ),
            allow_redirects=False,
            unbuffered=True,
            reactor=cast(Any, self._clock),
            **more,
        )
        body = await _read(response)
        types = response.headers.getRawHeaders("content-type") or [""]
        return Answer(response.code, types[0].partition(";")[0].strip().lower(), body)

    @staticmethod
    def _failed(failure: Failure) -> Failure:
        """Whatever the network says, the reader needs to know one thing."""
        if failure.check(ProviderError):
            return failure
        if failure.check(CancelledError):
            return failure
        return Failure(ProviderUnreachable(f"no answer: {type(failure.value).__name__}"))


def json_object(answer: Answer) -> dict[str, Any]:
    """
    The JSON object that an answer consists of.

    @raise ProviderUnreachable: if the provider is not well.
    @raise ProviderError: if the answer is none of success, or no JSON object.
    """
    if answer.status >= 500 or answer.status == 429:
        raise ProviderUnreachable(f"status {answer.status}")
    try:
        parsed = json.loads(answer.body)
    except (ValueError, RecursionError):
        parsed = None
    if answer.status != 200:
        raise ProviderError(f"status {answer.status} {_error_code(parsed)}".strip())
    if not isinstance(parsed, dict):
        raise ProviderError("the answer is not a JSON object")
    return parsed


def _error_code(parsed: object) -> str:
    """The C{error} of a refusal (RFC 6749, section 5.2), fit for a log."""
    code = parsed.get("error") if isinstance(parsed, dict) else None
    return code[:60] if isinstance(code, str) and code.isascii() and code.isprintable() else ""


def _read(response: IResponse) -> Deferred[bytes]:
    reader = _BoundedBody()
    response.deliverBody(reader)
    return reader.finished


class _BoundedBody(Protocol):
    """Collects a body up to the limit, then hangs up; so it does if nobody waits any more."""

    def __init__(self) -> None:
        self.finished: Deferred[bytes] = Deferred(lambda _deferred: self._hang_up())
        self._parts: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= ANSWER_LIMIT:
            self._parts.append(data)
        elif not self.finished.called:
            self.finished.errback(ProviderError("the answer is too large"))
            self._hang_up()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.finished.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.finished.callback(b"".join(self._parts))
        else:
            self.finished.errback(reason)

    def _hang_up(self) -> None:
        transport: Any = self.transport
        hang_up = getattr(transport, "abortConnection", None) or getattr(transport, "loseConnection", None)
        if hang_up is not None:
            hang_up()


@implementer(IAgent)
class PlainAgent:
    """
    Asks for no compression and takes none, so that the limit on an answer's
    size is a limit on memory too.
    """

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """Make the request without C{Accept-Encoding}."""
        plain = Headers() if headers is None else headers.copy()
        plain.removeHeader(b"accept-encoding")
        answer = self._agent.request(method, uri, plain, bodyProducer)
        return answer.addCallback(self._without_encoding)

    @staticmethod
    def _without_encoding(response: IResponse) -> IResponse:
        response.headers.removeHeader(b"content-encoding")
        return response


@implementer(IBodyProducer)
class _WholeBody:
    """A short body, written at once: treq's own producer would need the global reactor."""

    def __init__(self, body: bytes) -> None:
        self.length = len(body)
        self._body = body

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Nothing is left to hold back."""

    def resumeProducing(self) -> None:
        """Nothing is left to write."""

    def stopProducing(self) -> None:
        """Nothing is left to stop."""


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Dials the provider; C{*.localhost} is this machine (RFC 6761, section 6.3)."""

    def __init__(self, reactor: Any, tls: IPolicyForHTTPS) -> None:
        self._reactor = reactor
        self._tls = tls

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        host = uri.host.decode("ascii")
        is_local = host == "localhost" or host.endswith(".localhost")
        plain = HostnameEndpoint(
            self._reactor, "127.0.0.1" if is_local else host, uri.port, timeout=ANSWER_SECONDS
        )
        if uri.scheme != b"https":
            return plain
        creator = self._tls.creatorForNetloc(uri.host, uri.port)
        return wrapClientTLS(creator, plain)


def provider_agent(reactor: Any, ca_file: Path | None = None) -> IAgent:
    """
    An agent that dials a provider.

    @param ca_file: PEM certificates to trust instead of the system's.
    @raise ValueError: if there is no certificate in it.
    """
    tls = BrowserLikePolicyForHTTPS()
    if ca_file is not None:
        certificates = [
            Certificate(X509.from_cryptography(each))
            for each in load_pem_x509_certificates(ca_file.read_bytes())
        ]
        tls = BrowserLikePolicyForHTTPS(trustRootFromCertificates(certificates))
    return cast(IAgent, Agent.usingEndpointFactory(reactor, _Endpoints(reactor, tls)))


def provider_client(agent: IAgent) -> HTTPClient:
    """
    A treq client for L{WebClient}: it keeps no cookies, since the requests of
    all users go through it.
    """
    jar = IndexableCookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return HTTPClient(PlainAgent(agent), cookiejar=jar, data_to_body_producer=_WholeBody)
