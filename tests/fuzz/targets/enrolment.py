"""What strangers say at enrolment: L{appproxy.pki.enrolment_messages}, and what an edge answers."""

from __future__ import annotations

from collections.abc import Iterable

from appproxy.pki.enrolment_messages import (
    MAXIMUM_MESSAGE_SIZE,
    BadMessage,
    EnrolmentAnswer,
    EnrolmentRefused,
    EnrolmentRequest,
    MessageReader,
    decode_answer,
    decode_request,
    encode_answer,
    encode_refusal,
    encode_request,
    is_name,
)
from tests.fuzz.support import hold, same, splits


def seeds() -> Iterable[bytes]:
    """One message of each kind."""
    yield encode_request(EnrolmentRequest("secret", "-----BEGIN", "home.1"))
    yield encode_answer(EnrolmentAnswer("id", "name", "connector", "g", "cert", "ca", ("a:1", "b:2")))
    yield encode_refusal("token_used")
    yield encode_request(EnrolmentRequest("secret", "csr"))[:-3]


def target(data: bytes) -> None:
    """A message with its length, in whole and in pieces."""
    content = collected([data])
    for pieces in splits(data):
        same(collected(pieces), content, "another split, another message")
    if not isinstance(content, bytes):
        return
    hold(len(content) <= MAXIMUM_MESSAGE_SIZE, "too long")
    try:
        request = decode_request(content)
    except BadMessage:
        pass
    else:
        hold(not request.name or is_name(request.name), "a name", request.name)
        same(decode_request(encode_request(request)[4:]), request, "encoded again")
    try:
        answer = decode_answer(content)
    except (BadMessage, EnrolmentRefused):
        return
    same(decode_answer(encode_answer(answer)[4:]), answer, "encoded again")


def collected(pieces: list[bytes]) -> bytes | str:
    """The message, or why there is none."""
    reader = MessageReader()
    message: bytes | None = None
    try:
        for piece in pieces:
            message = reader.feed(piece)
    except BadMessage:
        return "refused"
    return "incomplete" if message is None else message
