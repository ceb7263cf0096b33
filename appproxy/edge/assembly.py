"""
The edge's parts made from its configuration: pages, sign-in, gate, site.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from twisted.web.resource import Resource

from appproxy.config.daemon import EXIT_CONFIGURATION, EXIT_UNAVAILABLE, CannotStart
from appproxy.config.edge import EdgeSettings, SignIn
from appproxy.config.plugins import PluginProblem, enabled_rules
from appproxy.config.secrets import SecretUnavailable, read_secret
from appproxy.edge.answers import Answers
from appproxy.edge.front_door import FrontDoor
from appproxy.edge.gate import Gate
from appproxy.edge.site import EdgeSite, NotFoundPage, ToPortal
from appproxy.edge.tunnels import Tunnels
from appproxy.edge.web import Web, WebSettings
from appproxy.iappproxy import IAccessRule
from appproxy.model.application import CookieSettings
from appproxy.model.principal import Principal
from appproxy.observe.transaction import Transaction
from appproxy.pages.assets import AssetsResource
from appproxy.pages.pages import Pages
from appproxy.pages.tiles import Tile
from appproxy.pki.authority import Authority
from appproxy.pki.enrolment import EnrolmentFactory
from appproxy.pki.join import redeem
from appproxy.portal.resource import Portal
from appproxy.relay.opener import StreamOpener
from appproxy.session.handover import Handover
from appproxy.session.keyring import Keyring
from appproxy.session.records import Sessions
from appproxy.signin.answering import Answering
from appproxy.signin.auth_host import AuthHost, resources_for_auth_host
from appproxy.signin.claims import ClaimsMapping
from appproxy.signin.every_host import EveryHost, resources_for_every_host
from appproxy.signin.flow import SignInFlow
from appproxy.signin.provider import Provider, ProviderSettings
from appproxy.signin.web_client import provider_agent, provider_client
from appproxy.store.istore import IStore
from appproxy.transport.certificates import CertificateDirectory
from appproxy.transport.steady import calendar_of
from appproxy.transport.turn import Schedule


@dataclass(frozen=True)
class Addresses:
    """Where the edge's own hosts are, as browsers see them."""

    auth_origin: str
    portal_origin: str


def addresses_of(settings: EdgeSettings) -> Addresses:
    """The origins of the edge's own hosts."""
    port = settings.listen.port
    suffix = "" if port == 443 else f":{port}"
    return Addresses(f"https://{settings.hosts.auth}{suffix}", f"https://{settings.hosts.portal}{suffix}")


@dataclass(frozen=True)
class SigningIn:
    """
    All of sign-in.

    @ivar flow: L{None} where every application is passthrough.
    """

    handover: Handover
    flow: SignInFlow | None
    provider: Provider | None


def build_sign_in(
    settings: EdgeSettings, reactor: Any, store: IStore, keyring: Keyring, sessions: Sessions
) -> SigningIn:
    """
    Sign-in, from C{[sign_in]}.

    @raise CannotStart: if a secret or a CA cannot be read.
    """
    auth_origin = addresses_of(settings).auth_origin
    handover = Handover(keyring, sessions, store, calendar_of(reactor), auth_origin)
    if settings.sign_in is None:
        return SigningIn(handover, None, None)
    mapping = ClaimsMapping(settings.sign_in.claims.model_dump(), settings.sign_in.group_names)
    provider = _provider(settings.sign_in, auth_origin, reactor, mapping)
    flow = SignInFlow(
        provider,
        mapping,
        sessions,
        keyring,
        store,
        reactor,
        auth_origin,
        settings.limits.pending_sign_ins_per_browser,
    )
    return SigningIn(handover, flow, provider)


def _provider(settings: SignIn, auth_origin: str, reactor: Any, mapping: ClaimsMapping) -> Provider:
    try:
        secret = read_secret(settings.client_secret_file)
        client = provider_client(provider_agent(reactor, settings.ca_file))
    except (SecretUnavailable, OSError, ValueError) as error:
        raise CannotStart(EXIT_CONFIGURATION, f"sign_in: {error}") from error
    return Provider(
        ProviderSettings(
            issuer=settings.issuer,
            client_id=settings.client_id,
            client_secret=secret,
            redirect_uri=f"{auth_origin}/.appproxy/callback",
            signed_out_uri=f"{auth_origin}/.appproxy/signed-out",
            scopes=settings.scopes,
            leeway=settings.leeway,
        ),
        client,
        calendar_of(reactor),
        mapping.is_complete,
    )


def build_pages(settings: EdgeSettings) -> Pages:
    """
    The pages, from C{[portal]}.

    @raise CannotStart: if the logo cannot be used.
    """
    portal = settings.portal
    try:
        return Pages(
            portal.title,
            portal.support,
            portal.logo_file,
            portal_url=addresses_of(settings).portal_origin + "/",
        )
    except (OSError, ValueError) as error:
        raise CannotStart(EXIT_UNAVAILABLE, f"portal.logo_file: {error}") from error


def load_rules(settings: EdgeSettings) -> Sequence[IAccessRule]:
    """
    The access rules of C{[plugins] enabled}.

    @raise CannotStart: if one is not there or is none.
    """
    try:
        return enabled_rules(settings.plugins.directories, settings.plugins.enabled)
    except PluginProblem as error:
        raise CannotStart(EXIT_CONFIGURATION, f"plugins: {error}") from error


def build_web(
    reactor: Any,
    settings: EdgeSettings,
    pages: Pages,
    sign_in: SigningIn,
    sessions: Sessions,
    opener: StreamOpener,
    schedule: Schedule,
    finished: Callable[[Transaction], None],
    rules: Sequence[IAccessRule],
    is_healthy: Callable[[], bool],
) -> Web:
    """The web side, with its tree of pages."""
    gate = _gate(settings, sessions, rules)

    def visible_applications(principal: Principal) -> Sequence[Tile]:
        """What the web side knows; asked only once requests come."""
        return web.visible_applications(principal)

    portal = Portal(pages, visible_applications, reactor.seconds)
    everywhere, at_auth = _own_pages(settings, reactor, pages, sign_in, sessions, gate, is_healthy)
    site = _site(settings, reactor, pages, portal, everywhere, at_auth)
    answers = Answers(pages, sign_in.handover, reactor.seconds)
    web = Web(reactor, _web_settings(settings), gate, answers, site, sessions, opener, schedule, finished)
    # Twisted's proxy module imports the reactor, which has been chosen by now.
    from appproxy.edge.published import PublishedApplication

    site.published = PublishedApplication(web.exchanges)
    return web


def _gate(settings: EdgeSettings, sessions: Sessions, rules: Sequence[IAccessRule]) -> Gate:
    return Gate(
        sessions,
        settings.hosts.auth,
        settings.hosts.portal,
        addresses_of(settings).portal_origin,
        settings.sign_in.group_names if settings.sign_in else {},
        rules,
        lambda: datetime.now().astimezone(),
    )


def _own_pages(
    settings: EdgeSettings,
    reactor: Any,
    pages: Pages,
    sign_in: SigningIn,
    sessions: Sessions,
    gate: Gate,
    is_healthy: Callable[[], bool],
) -> tuple[Resource, Resource]:
    """What is below C{/.appproxy/}: on every host, and on the sign-in host."""
    answering = Answering(sessions, pages, reactor, addresses_of(settings).portal_origin)
    every_host = EveryHost(
        answering, sign_in.handover, sign_in.provider, lambda host: _cookie_settings(gate, host)
    )
    auth_host = AuthHost(answering, sign_in.handover, sign_in.flow, is_healthy)
    everywhere = resources_for_every_host(every_host, answering)
    at_auth = resources_for_auth_host(auth_host, every_host, answering)
    for folder in (everywhere, at_auth):
        folder.putChild(b"assets", AssetsResource(pages.assets))
    return everywhere, at_auth


def _site(
    settings: EdgeSettings,
    reactor: Any,
    pages: Pages,
    portal: Resource,
    everywhere: Resource,
    at_auth: Resource,
) -> EdgeSite:
    hosts = settings.hosts
    to_portal = ToPortal(addresses_of(settings).portal_origin + "/", NotFoundPage(pages))
    return EdgeSite(
        pages, hosts.auth.encode(), to_portal, at_auth, hosts.portal.encode(), portal, everywhere, reactor
    )


def _web_settings(settings: EdgeSettings) -> WebSettings:
    limits = settings.limits
    return WebSettings(
        settings.listen.port,
        limits.head_size,
        limits.header_count,
        limits.head_timeout,
        limits.idle_timeout,
        settings.listen.front_end,
        settings.tls.hsts,
    )


def build_front_door(
    settings: EdgeSettings,
    certificates: CertificateDirectory,
    web: Web,
    tunnels: Tunnels,
    authority: Authority,
    reactor: Any,
) -> FrontDoor:
    """What decides what a connection is."""
    enrolment = EnrolmentFactory(lambda request: redeem(authority, request, tunnels.dialled), reactor)
    return FrontDoor(
        settings.hosts.connect,
        certificates,
        tunnels.accept,
        lambda: enrolment.buildProtocol(None),
        web.secure_channel,
    )


def _cookie_settings(gate: Gate, host: bytes) -> CookieSettings:
    """A host's cookie is set as its root application says, else as its first one."""
    published = gate.catalog.route(host, "/")
    return published.application.cookie if published is not None else CookieSettings()
