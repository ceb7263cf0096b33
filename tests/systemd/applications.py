"""
The demo's applications and its sign-in, as a service of their own: C{applications.py FOLDER}.

Runs inside of the machine, as a user of its own. FOLDER gets the certificate and its authority, the
client secret and what is published, as the demo would write them for an edge on port 443.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Final

from twisted.internet import reactor as _reactor

from appproxy.demo.certificates import ensure_certificate
from appproxy.demo.page import DemoPages
from appproxy.demo.plan import DOMAIN, LOGIN, Folder, Plan
from appproxy.demo.run import build_sites, write_secret
from appproxy.demo.samples import APPLICATIONS, Samples

reactor: Any = _reactor
FIRST_PORT: Final = 8001
SERVICES: Final = (LOGIN, *APPLICATIONS)
SECRET: Final = "of-the-tests-thirty-two-characters-or-more"


def main(root: Path) -> None:
    """Write the files, serve, and say so."""
    services = {name: FIRST_PORT + number for number, name in enumerate(SERVICES)}
    plan = Plan(Folder(root, root), 443, services, (9643, 9645), "appproxy-admin")
    write_secret(plan.folder.client_secret, SECRET)
    ensure_certificate(DOMAIN, plan.folder.ca, plan.folder.certificate, time.time())
    samples, pages = Samples(), DemoPages(plan.url("portal"))
    plan.folder.applications.write_text(samples.applications_toml(plan))
    for name, site in build_sites(samples, plan, pages, SECRET, time.time).items():
        reactor.listenTCP(services[name], site, interface="0.0.0.0")
    print("READY", flush=True)
    reactor.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
