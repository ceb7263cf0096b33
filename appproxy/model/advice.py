"""
What an operator is told of each reason: what it means, and where to look.

Visitors read other words (L{appproxy.pages.words}): these name settings and
commands.
"""

from __future__ import annotations

from typing import Final

ADVICE: Final[dict[str, str]] = {
    # SignInRequired, SignInFailed
    "no_session": "The browser has no session: it is sent to sign in. Nothing is wrong.",
    "session_expired": "The session reached session.maximum_lifetime or session.idle_lifetime.",
    "session_ended": "The user signed out, or the session was deleted.",
    "cookie_invalid": "The session cookie was not made by this installation, or is of another host.",
    "state_unknown": "The sign-in was too old, used before, or begun in another browser. Start it again.",
    "token_invalid": "The provider's token was not accepted; the edge's log says which check failed. "
    "Look at sign_in.issuer, sign_in.client_id and the clock.",
    "provider_error": "The provider refused, or the user gave up; the edge's log has the provider's words.",
    "provider_unreachable": "The edge cannot reach the provider: appproxy check edge.toml --online says why.",
    "too_many_attempts": "One browser began too many sign-ins (limits.pending_sign_ins_per_browser).",
    "throttled": "Too many sign-ins of one address failed within a minute: the sign-in log says why.",
    # Forbidden
    "not_assigned": "The user is not among the users and groups of the application. "
    "Does the provider send the groups?",
    "rule": "An access rule of plugins.enabled refused.",
    "foreign_origin": "Another site's page opened a WebSocket: websocket_origins of the application.",
    "sso_user": "The user's account in the directory cannot be used: "
    "appproxy explain kerberos APP --user UPN says why.",
    # NotFound, MisdirectedRequest
    "unknown_host": "No application has this host in its external_url: appproxy list applications.",
    "unknown_path": "No application has this path below its external_url.",
    "sni_host_mismatch": "The client asked for another host than it opened the connection for.",
    # BadGateway
    "backend_refused": "The connector's machine gets no connection to the internal_url: "
    "is the application running, and does a firewall let the connector in?",
    "backend_name": "The connector's machine does not find the name of the internal_url in DNS.",
    "backend_tls": "The application's certificate was not accepted: backend.ca_files of the connector, "
    "or verify_backend_certificate of the application.",
    "backend_protocol": "What answered broke the rules of HTTP, or broke off: is it HTTPS at an http:// URL?",
    "backend_not_allowed": "The connector's own file does not allow it: "
    "allowed_backends, names_resolve_into and allowed_sso in connector.toml.",
    "sso_failed": "The user could not be signed on; the detail says what was missing.",
    "sso_not_delegated": "The connector's account may not sign this user on to the application's service: "
    "appproxy explain kerberos names the setting.",
    "sso_unavailable": "The connector cannot use the directory or the KDC: its log names the step; "
    "appproxy explain kerberos tries each.",
    "tunnel_lost": "The connector's tunnel broke under way: its log, and the line between.",
    # ServiceUnavailable
    "maintenance": "The application is in maintenance.",
    "draining": "The daemon was about to stop.",
    "overloaded": "The tunnel had no room: start another connector of the group.",
    "stale": "The connector has not got the latest change of the catalog: is its tunnel slow?",
    "store_unreachable": "The edge cannot read its store: its disk, and its log.",
    # GatewayTimeout
    "no_connector": "No connector of the group has a tunnel: is it running? appproxy status shows tunnels, "
    "and the connector's log says why it has none.",
    "connector_timeout": "The connector said nothing in time: its machine, and its log.",
    "backend_timeout": "The application took longer than allowed (backend_timeout of the application): "
    "it is the application that is slow.",
    "sso_timeout": "The KDC or the directory did not answer within kerberos.deadline of the connector.",
    # InternalServerError
    "bug": "A bug of ours: the log has a traceback under this transaction.",
    # Of the access log alone
    "client_gone": "The client closed its connection before the answer was complete.",
    "cancelled": "The request was given up.",
    # Of questions alone
    "busy": "The connector explains one sign-on at a time, and others wait already: ask again in a minute.",
    "no_steps": "The connector has no steps to try for the sign-on of this application: update it.",
    "no_questions": "This connector, or the relay before it, is of an older version: update it to ask it.",
}
"""By reason. Reasons of C{BadRequest} and its like are rules' names and have none of their own."""

BAD_REQUEST: Final = "The client broke this rule of HTTP."


def advice(reason: str) -> str:
    """What to tell of a reason; empty for none."""
    return ADVICE.get(reason, BAD_REQUEST) if reason else ""
