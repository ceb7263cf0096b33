"""
Requests as browsers send them: composed beforehand, so that the load generator has
nothing to do but to send them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

REQUESTS: Final = 5_000
"""Different requests; after them it begins anew. A thousand sessions come up five times each."""

PATHS: Final = 50
_STRIDE: Final = 7_919
"""A prime: neighbours in the order of requests are not neighbours in the order of sign-ins."""

CLOSE_EVERY: Final = 10
"""Where connections are renewed: after so many requests."""

_AGENT: Final = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
)
_BRAND: Final = '"Google Chrome";v="143", "Chromium";v="143", "Not A(Brand";v="24"'

_KINDS: Final = (
    (".css", "text/css,*/*;q=0.1", "no-cors", "style"),
    (".js", "*/*", "no-cors", "script"),
    (".png", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "no-cors", "image"),
    ("", "application/json, text/plain, */*", "cors", "empty"),
    (
        ".html",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        "navigate",
        "document",
    ),
)
"""Of what is asked for: ending, Accept, Sec-Fetch-Mode, Sec-Fetch-Dest."""


def compose(
    size: str,
    authority: str,
    cookies: Sequence[str],
    *,
    close_every: int = 0,
    count: int = REQUESTS,
) -> list[str]:
    """
    Requests of many people at once: the session is another one each time.

    The same for every system but for host and session.

    @param size: what is asked for: a key of L{bench.origin.SIZES}.
    @param authority: host and port.
    @param cookies: the sessions' Cookie headers; none where there are no sessions.
    @param close_every: each such request asks for the connection's end; 0 = none does.
    """
    choice = random.Random(1)
    made: list[str] = []
    for number in range(count):
        session = cookies[number * _STRIDE % len(cookies)] if cookies else ""
        closes = bool(close_every) and number % close_every == close_every - 1
        made.append(_request(choice, size, authority, session, closes=closes))
    return made


def _request(choice: random.Random, size: str, authority: str, session: str, *, closes: bool) -> str:
    path = choice.randrange(PATHS)
    ending, accept, mode, destination = _KINDS[path % len(_KINDS)]
    query = f"?v={choice.randrange(10_000)}" if path % 3 == 0 else ""
    visitor, login = choice.randrange(1 << 30), choice.randrange(1 << 63)
    own = f"theme=dark; _ga=GA1.1.{visitor}.1790000000; JSESSIONID={login:X}"
    lines = [
        f"GET /{size}/asset/{path:02d}/file{path}{ending}{query} HTTP/1.1",
        f"Host: {authority}",
        f"Connection: {'close' if closes else 'keep-alive'}",
        'sec-ch-ua-platform: "Linux"',
        f"User-Agent: {_AGENT}",
        f"sec-ch-ua: {_BRAND}",
        "sec-ch-ua-mobile: ?0",
        f"Accept: {accept}",
        "Sec-Fetch-Site: same-origin",
        f"Sec-Fetch-Mode: {mode}",
        f"Sec-Fetch-Dest: {destination}",
        f"Referer: https://{authority}/page/{choice.randrange(200)}",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Accept-Language: en-GB,en;q=0.9",
        f"Cookie: {own}; {session}" if session else f"Cookie: {own}",
    ]
    return "\r\n".join(lines) + "\r\n\r\n"


def write_requests(path: Path, requests: Sequence[str]) -> None:
    """A file that C{browser.lua} reads."""
    path.write_text("".join(requests), newline="")
