"""
C{python -m bench.burst FILE}: the first requests of many people, all of them at once.

Each has a TLS connection, which is made beforehand.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from bench.latencies import in_milliseconds
from bench.paced import END_OF_HEAD, Connection, length_of
from bench.requests import SECONDS, Target, client_context

_CONNECTING_AT_ONCE: Final = 50
"""A listener's queue is bounded."""

NO_ANSWER: Final = "none"


@dataclass(frozen=True)
class Answer:
    """
    @ivar status: as it stands in the answer; L{NO_ANSWER} if there is none.
    @ivar seconds: from when all began.
    """

    status: str
    seconds: float


def write_people(path: Path, target: Target, cookies: Sequence[str]) -> Path:
    """A file for this program: cookies do not belong on a command line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)
    path.write_text(json.dumps({"target": asdict(target), "cookies": list(cookies)}))
    return path


def read_people(path: Path) -> list[Target]:
    """What L{write_people} wrote: a target for each person."""
    found = json.loads(path.read_text())
    return [replace(Target(**found["target"]), cookie=cookie) for cookie in found["cookies"]]


def told(answers: Sequence[Answer], begin: float) -> Mapping[str, Any]:
    """
    What came of it; times are those of the answers that were right.

    @param begin: on the monotonic clock, which all processes of a machine share.
    """
    right = [each.seconds for each in answers if each.status == "200"]
    return {
        "asked": len(answers),
        "statuses": dict(Counter(each.status for each in answers)),
        "begin": begin,
        "end": begin + max((each.seconds for each in answers), default=0.0),
        **(in_milliseconds(right) if right else {"count": 0}),
    }


async def _connect(target: Target, gate: asyncio.Semaphore) -> Connection:
    async with gate:
        return await asyncio.open_connection(
            target.address, target.port, ssl=client_context(), server_hostname=target.host
        )


async def _ask(target: Target, connection: Connection, begin: float) -> Answer:
    reader, writer = connection
    try:
        async with asyncio.timeout(SECONDS):
            writer.write(target.request())
            head = await reader.readuntil(END_OF_HEAD)
            await reader.readexactly(length_of(head))
    except (OSError, EOFError, RuntimeError):
        return Answer(NO_ANSWER, time.monotonic() - begin)
    return Answer(head.split(b" ", 2)[1].decode("ascii", "replace"), time.monotonic() - begin)


async def _burst(targets: Sequence[Target]) -> Mapping[str, Any]:
    gate = asyncio.Semaphore(_CONNECTING_AT_ONCE)
    connections = await asyncio.gather(*(_connect(each, gate) for each in targets))
    begin = time.monotonic()
    asking = (_ask(target, each, begin) for target, each in zip(targets, connections, strict=True))
    return told(await asyncio.gather(*asking), begin)


def main() -> None:
    """Ask, and tell."""
    print(json.dumps(asyncio.run(_burst(read_people(Path(sys.argv[1]))))))


if __name__ == "__main__":
    main()
