"""What twistd lists: one service maker for each daemon."""

from twisted.application.service import ServiceMaker

edge = ServiceMaker(
    "AppProxy edge",
    "appproxy.edge.tap",
    "The public side: TLS, sign-in, policy, portal.",
    "appproxy-edge",
)
relay = ServiceMaker(
    "AppProxy relay",
    "appproxy.relay.tap",
    "The broker between edges and connectors, on a machine of its own.",
    "appproxy-relay",
)
connector = ServiceMaker(
    "AppProxy connector",
    "appproxy.connector.tap",
    "The inside: dials out and signs people on to the applications.",
    "appproxy-connector",
)
