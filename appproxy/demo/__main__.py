"""
C{python -m appproxy.demo [--kerberos] [--port 8443] [--state .demo]}
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

from twisted.logger import globalLogBeginner, textFileLogObserver

from appproxy.demo.kerberos import Kerberos
from appproxy.demo.kind import Kind
from appproxy.demo.plan import DEFAULT_PORT, Plan
from appproxy.demo.run import Demo, run
from appproxy.demo.samples import Samples


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m appproxy.demo",
        description="An edge, a connector, a sign-in and sample applications, all on this machine.",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=os.environ.get("DEMO_PORT") or DEFAULT_PORT,
        help=f"where the edge listens on 127.0.0.1 (default: DEMO_PORT, else {DEFAULT_PORT})",
    )
    parser.add_argument(
        "--kerberos",
        action="store_true",
        help="with an Active Directory and an application that knows only Kerberos: root, on Debian",
    )
    parser.add_argument(
        "--state", type=Path, default=Path(".demo"), help="folder for everything (default: .demo)"
    )
    return parser.parse_args()


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show(kind: Kind, plan: Plan) -> None:
    print(plan.ready_line(kind.ready(plan)), flush=True)
    print(kind.friendly_lines(plan, _shortest("appproxy")), flush=True)
    log = plan.folder.log("demo").open("a")
    globalLogBeginner.beginLoggingTo([textFileLogObserver(log)], redirectStandardIO=False)


def _shortest(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    try:
        return str(beside.relative_to(Path.cwd()))
    except ValueError:
        return str(beside)


def main() -> int:
    """Run the demo; the exit code."""
    from twisted.internet import reactor

    arguments = _arguments()
    # A script's background job begins with SIGINT ignored, and Twisted would leave it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    kind: Kind = Kerberos(time.time) if arguments.kerberos else Samples()
    demo = Demo(reactor, kind, arguments.state, arguments.port, _tell)
    return run(reactor, demo, partial(_show, kind), _tell)


if __name__ == "__main__":
    sys.exit(main())
