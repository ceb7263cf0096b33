"""
Spellings of header names and of paths, by which attackers hope to be misread.
"""

from __future__ import annotations

import itertools
import random
from typing import Final

from tests.integration.support.attacker import Pairs

IDENTITY: Final = (b"X-Remote-User", b"X-Tenant")
FORWARDING: Final = (
    *(b"X-Forwarded-For", b"X-Forwarded-Host", b"X-Forwarded-Proto", b"X-Forwarded-Port", b"X-Forwarded-Uri"),
    *(b"X-Forwarded-Prefix", b"X-Forwarded-User", b"X-Forwarded-Email", b"Forwarded", b"X-Real-IP"),
    *(b"X-Request-Id", b"X-Original-URL", b"X-Rewrite-URL", b"AppProxy-User", b"X-AppProxy-User"),
)
EVIL: Final = b"evil@attacker.example"

# Apart by blanks.
_SLASHES: Final = r"""
    / // /// /./ /.// /%2e/ /;/ /.;/ /;x=y/ \ /\ %5c /%5c %2f /%2f %252f /%252e%252e/ /x/../ /x/%2e%2e/
    /x/.%2E/ /x/..;/ /x%2f../ /x/..%2f /x/..%5c /x//../ /open/../ /%00/ /%09/ /%20/ /%c0%af/ /%e2%88%95
    /%ef%bc%8f /?/ /x?/../ /x#/../ /%23/../ /%3f/../ /.. /../ /%u2215 /+/ /*/
"""
_WORDS: Final = r"""
    private %70rivate p%72ivat%65 %50rivate PRIVATE Private private%00 private%20 private. private%2e
    private; private;x private%3b private%09 private%0a private%23 private%3f %2570rivate p%2572ivate
    %00private %20private private%ff %u0070rivate %ef%bd%90rivate p%c0%b2ivate privat%c3%a9
    privat%e1%ba%b9 private+ private~ private%7e private::$DATA private%c2%a0 ./private x/..;/private
    priv%61te%2f %e2%80%8bprivate
"""
_TAILS: Final = r"""
    / /x ? ?x=/open /?/../open ;/x %2fx //x /%2fx \x %5cx /. /.. /x/.. /../private/x /%2e%2e/private
    /..;/private /%252e%252e/open #/open %23/open %3f/open /x.css /x;.css /x%00.css
    /x%0d%0aX-Remote-User:%20evil /%c3%a4 /a%20b /%25
"""


def spellings(name: bytes) -> list[bytes]:
    """Names that some server, gateway or framework takes for this one."""
    parts = name.split(b"-")
    joined = [separator.join(parts) for separator in (b"-", b"_", b".", b"--", b"-_", b"~", b"")]
    first = [b"_".join([parts[0], b"-".join(parts[1:])]), b"-".join([*parts[:-1], parts[-1] + b"_"])]
    cased = [(each.lower(), each.upper(), each.swapcase(), each) for each in (*joined, *first)]
    return list(dict.fromkeys(itertools.chain.from_iterable(cased)))


def spoofed(names: tuple[bytes, ...]) -> Pairs:
    """Every spelling of every name, some of them twice."""
    every = [(spelling, EVIL) for name in names for spelling in spellings(name)]
    return [*every, *every[:3]]


def targets(count: int) -> list[bytes]:
    """
    Targets that somebody may read as C{/private}: every part once, and so many combinations, always the same.
    """
    slashes, words, tails = _SLASHES.split(), _WORDS.split(), ["", *_TAILS.split()]
    single = [
        *((slash, "private", "/x") for slash in slashes),
        *(("/", word, tail) for word in words for tail in ("", "/x")),
        *(("/", "private", tail) for tail in tails),
        *(("/", "open", tail) for tail in tails),
    ]
    chosen = random.Random(26).sample(list(itertools.product(slashes, words, tails)), count)
    return list(dict.fromkeys("".join(parts).encode() for parts in (*single, *chosen)))
