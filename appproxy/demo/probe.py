"""
A person's first minute, done by the demo itself: sign in, open an application.

It goes the whole way (edge, provider, hand-over, connector, application), so
that READY means what it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from treq.client import HTTPClient
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import Certificate
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

if TYPE_CHECKING:
    from appproxy.demo.provider_data import DemoUser

TIMEOUT_SECONDS: Final = 15.0
"""For one request with its redirects."""

_BROWSER: Final[dict[bytes | str, bytes | str]] = {
    "Accept": "text/html",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}


class ProbeFailed(Exception):
    """Something on the way does not work yet."""


@implementer(IAgentEndpointFactory)
class LocalEndpoints:
    """
    Connects to C{127.0.0.1}, whatever C{.localhost} name is asked for (RFC 6761, section 6.3).

    @param ca: PEM of the only authority that is trusted.
    """

    def __init__(self, reactor: Any, ca: bytes) -> None:
        self._reactor = reactor
        self._policy = BrowserLikePolicyForHTTPS(trustRoot=Certificate.loadPEM(ca))

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        tcp = TCP4ClientEndpoint(self._reactor, "127.0.0.1", uri.port)
        return wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), tcp)


async def sign_in_and_open(reactor: Any, ca: bytes, url: str, user: DemoUser) -> bytes:
    """
    Open a page of an application, through the sign-in page.

    @return: the page.
    @raise ProbeFailed: if that leads anywhere else.
    """
    agent = Agent.usingEndpointFactory(reactor, LocalEndpoints(reactor, ca))
    browser = HTTPClient(agent)
    page = await browser.get(url, headers=_BROWSER, timeout=TIMEOUT_SECONDS)
    await page.content()
    form = page.request.absoluteURI.decode("ascii")
    if page.code != 200 or "/authorize?" not in form:
        raise ProbeFailed(f"{url} leads to {page.code} at {form.partition('?')[0]}, not to the sign-in page")
    answer = await browser.post(
        form,
        data={"user": user.mail, "password": user.password},
        headers=_BROWSER,
        timeout=TIMEOUT_SECONDS,
    )
    if answer.code != 200 or answer.request.absoluteURI.decode("ascii") != url:
        where = answer.request.absoluteURI.decode("ascii").partition("?")[0]
        raise ProbeFailed(f"after signing in: {answer.code} at {where}")
    content: bytes = await answer.content()
    return content
