"""
C{python -m bench.many_connectors FILE...}: as many connectors as there are
configuration files, in one process.

Each is the project's own connector with an identity and a tunnel of its own; that
they share a process is all that is special. A machine for a benchmark has no memory
for a hundred interpreters.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from appproxy.connector.service import ConnectorService
from appproxy.connector.tap import Options


def main(files: Sequence[str]) -> None:
    """Start them all and serve until this process is ended."""
    services = []
    made = [_options(file) for file in files]
    # Reading the options chose the reactor.
    from twisted.internet import reactor

    for options in made:
        service = ConnectorService(reactor, options)
        service.startService()
        services.append(service)
    for service in services:
        reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()


def _options(file: str) -> Options:
    options = Options()
    options.opt_config(file)
    options.postOptions()
    return options


if __name__ == "__main__":
    main(sys.argv[1:])
