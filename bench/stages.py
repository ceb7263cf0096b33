"""
The parts of a request's way, fed with what the part before really made.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from appproxy.catalog.snapshot import Catalog
from appproxy.edge.facts import ConnectionFacts
from appproxy.edge.gate import Gate
from appproxy.edge.verdict import Forward
from appproxy.edge.view import ApplicationViews
from appproxy.httpwire.heads import RequestHead
from appproxy.httpwire.request_parser import RequestParser
from appproxy.model.application import Application, ConnectorGroup
from appproxy.session.cookies import SESSION_COOKIE
from appproxy.session.keyring import Keyring
from appproxy.session.records import Sessions
from appproxy.store.sealing import KEY_SIZE, Sealer
from appproxy.store.sqlite import IN_MEMORY, SqliteStore
from appproxy.store.worker import InlineWorker
from bench.browser import compose
from bench.sessions import GROUP, Lifetimes, tokens, user

HOST: Final = "app0.apps.localhost"
PORT: Final = 8443
T = TypeVar("T")
SESSIONS: Final = 200
REQUESTS: Final = 1_000


@dataclass(frozen=True)
class Stages:
    """
    An edge's decisions in memory, and requests to it.

    @ivar raw: requests as browsers send them.
    @ivar heads: the same, parsed.
    @ivar cookies: the session cookie of each.
    @ivar verdicts: what the gate says to each.
    """

    sessions: Sessions
    gate: Gate
    facts: ConnectionFacts
    raw: list[bytes]
    heads: list[RequestHead]
    cookies: list[bytes]
    verdicts: list[Forward]


def make_stages() -> Stages:
    """Sign people in and let everybody send something."""
    sessions, cookies = _signed_in()
    gate = _gate(sessions)
    name = SESSION_COOKIE.decode()
    sent_along = [f"{name}={cookie.decode()}" for cookie in cookies]
    raw = [text.encode() for text in compose("1k", f"{HOST}:{PORT}", sent_along, count=REQUESTS)]
    heads = [_parsed(each) for each in raw]
    facts = ConnectionFacts("127.0.0.1", HOST.encode(), b"https", PORT)
    verdicts: list[Forward] = []
    for head in heads:
        verdict = gate.judge(head, facts)
        assert isinstance(verdict, Forward), verdict
        verdicts.append(verdict)
    sent = [head.own_cookies.rpartition(SESSION_COOKIE + b"=")[2] for head in heads]
    return Stages(sessions, gate, facts, raw, heads, sent, verdicts)


def the_application() -> Application:
    """As L{bench.ours} publishes it."""
    return Application.model_validate(
        {
            "name": "The application",
            "external_url": f"https://{HOST}:{PORT}/",
            "internal_url": "http://127.0.0.1:8080/",
            "connector_group": "hq",
            "groups": [GROUP],
            "sso": {"mode": "headers", "headers": {"X-Remote-User": {"claim": "user_principal_name"}}},
        }
    )


def done(deferred: Deferred[T]) -> T:
    """What a Deferred brought that has fired already: the store here works at once."""
    brought: list[T] = []
    deferred.addCallback(brought.append)
    return brought[0]


def _signed_in() -> tuple[Sessions, list[bytes]]:
    clock = Clock()
    clock.advance(time.time())
    store = done(SqliteStore.open(IN_MEMORY, clock, InlineWorker()))
    sealer = Sealer(os.urandom(KEY_SIZE))
    keyring = Keyring(store, sealer, clock, Lifetimes.maximum_lifetime)
    sessions = Sessions(store, sealer, keyring, clock, Lifetimes())
    done(sessions.start())
    ids = [done(sessions.create(user(number), tokens())) for number in range(SESSIONS)]
    return sessions, [sessions.cookie(each, HOST.encode()) for each in ids]


def _gate(sessions: Sessions) -> Gate:
    domain = HOST.partition(".")[2]
    gate = Gate(sessions, f"auth.{domain}", f"portal.{domain}", f"https://portal.{domain}:{PORT}", {})
    catalog = Catalog(1, {"app0": the_application()}, {"hq": ConnectorGroup(name="hq")})
    views = ApplicationViews()
    views.update(catalog, lambda _application: None)
    gate.serve(catalog, views.by_id)
    return gate


def _parsed(raw: bytes) -> RequestHead:
    head = RequestParser().feed(raw)[0]
    assert isinstance(head, RequestHead)
    return head
