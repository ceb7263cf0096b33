"""A connector whose only way out is an HTTP proxy that asks for Kerberos: Apache, in a real domain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from appproxy.kerberos.causes import Cause, Progress, Stage
from appproxy.kerberos.negotiate import read_challenges
from appproxy.kerberos.spnego import State, read_response
from tests.integration.support.active_directory.acceptor import Acceptor
from tests.integration.support.active_directory.accounts import DOMAIN, LOCAL_PROXY, REALM
from tests.integration.support.active_directory.application import need_application
from tests.integration.support.active_directory.controller import active_directory, use_krb5_config
from tests.integration.support.active_directory.proxy import KerberosProxy
from tests.integration.support.case import IntegrationTestCase
from tests.integration.support.echo import Echo
from tests.integration.support.installation import Installation
from tests.integration.support.kerberos import KerberosCase
from tests.integration.support.processes import wait_until


class OwnTokenTests(KerberosCase):
    """L{Delegator.own_token}."""

    def test_accepted(self) -> None:
        """A service takes each token, once, as the account; nothing is left for the other side to prove."""
        delegator, progress = self.delegator("connplain"), Progress()
        tokens = [delegator.own_token(f"{LOCAL_PROXY}@{REALM}", progress) for _ in range(2)]
        self.assertIs(progress.stage, Stage.outbound_proxy)
        acceptor = Acceptor(self.domain.keytab("svc-proxy"))
        for token in tokens:
            name, reply = acceptor.accept(token)
            self.assertEqual(name, f"connplain$@{REALM}")
            answer = read_response(read_challenges([reply]) or b"")
            self.assertEqual((answer.state, answer.token), (State.accept_completed, b""))
        self.assertEqual(acceptor.accept(tokens[0])[0], "")

    def test_refused(self) -> None:
        """Each step is told from the other; a key that the KDC refused is not tried again by each tunnel."""
        relay = self.use_relay()
        unknown = partial(self.delegator("connplain").own_token, f"HTTP/nosuch.{DOMAIN}@{REALM}", Progress())
        self.assertRefused(Stage.outbound_proxy, Cause.spn_unknown, unknown)
        stale = partial(self.delegator("connstale").own_token, f"{LOCAL_PROXY}@{REALM}", Progress())
        self.assertRefused(Stage.own_ticket, Cause.keytab_stale, stale)
        before = relay.connections
        self.assertRefused(Stage.own_ticket, Cause.keytab_stale, stale)
        self.assertEqual(relay.connections, before)


class OutboundNegotiateTests(IntegrationTestCase):
    """From enrolment to the application as the connector's own account, and what is told where it fails."""

    def setUp(self) -> None:
        """An edge with an application for everybody, a domain, and the proxy in it."""
        super().setUp()
        need_application()
        self.controller = active_directory()
        use_krb5_config(self, self.controller.krb5_config)
        self.echo = Echo(self.folder / "echo")
        self.start(self.echo.process)
        self.allowed = [f"127.0.0.1:{self.echo.port}"]
        self.site = Installation(self)
        self.site.start_edge()
        open_to_all = {"internal_url": self.echo.internal_url, "pre_authentication": "passthrough"}
        self.site.publish({"open": open_to_all})
        self.proxy = KerberosProxy(self.controller, self.site.port)
        self.start(self.proxy.process)

    def settings(self, account: str = "connplain", host: str = "localhost") -> dict[str, Any]:
        """The connector's way out; Kerberos signs nobody on."""
        return {
            "proxy": {"url": f"http://{host}:{self.proxy.port}", "negotiate": True},
            "kerberos": {
                "keytab_file": self.controller.keytab(account),
                "principal": f"{account}$@{REALM}",
            },
        }

    def test_through(self) -> None:
        """
        Enrolment, tunnel and check each go through the proxy as the account, with a token of their own. A
        daemon whose key has become the last one says so.
        """
        connector = self.site.start_connector("hq", self.allowed, self.settings())
        page = self.site.browser().fetch(self.site.url("open", "/x"))
        self.assertEqual(json.loads(page.body)["target"], "/x")
        checked = self.site.appproxy_json("check", str(self.site.folder / "connector.toml"), "--online")
        tunnels = [each for each in checked["online"] if each["subject"] == "tunnel"]
        self.assertEqual([each["verdict"] for each in tunnels], ["ok"], checked)
        connector.stop()
        wait_until(lambda: len(self.proxy.asked()) == 3, "the proxy tells of three connections")
        for asked in self.proxy.asked():
            target = f"CONNECT 127.0.0.1:{self.site.port} HTTP/1.1"
            self.assertEqual(asked, ("200", f"connplain$@{REALM}", target))
        stale = self.site.changed("connector", self.settings("connstale"))
        connector = self.site.start_daemon("connector", stale)
        connector.wait_for_line("proxy localhost:.*keytab_stale.*its password was changed after the keytab")
        self.assertEqual(len(self.proxy.asked()), 3)

    def test_refused(self) -> None:
        """Whatever is wrong with ticket, keytab or names is told with its cause, and with what to do."""
        self.assertRefusal(self.settings("connstale"), "own ticket: keytab_stale", "Make a new keytab")
        another = self.settings()
        another["kerberos"]["keytab_file"] = self.controller.keytab("connector")
        self.assertRefusal(another, "kerberos.keytab_file", f"has no key of connplain$@{REALM}")
        unknown = self.settings(host="nowhere.localhost")
        self.assertRefusal(unknown, "spn_unknown", "setspn -S 'HTTP/nowhere.localhost'")
        nothing = self.settings()
        nothing["proxy"]["negotiate"] = False
        self.assertRefusal(nothing, "schemes: Negotiate", "proxy.negotiate")
        # The proxy has another key than the domain from now on.
        self.controller.change_password("svc-proxy")
        self.addCleanup(self.controller.renew_keytab, "svc-proxy")
        self.assertRefusal(
            self.settings(), "does not take the ticket of kerberos.principal", "HTTP/localhost"
        )

    def assertRefusal(self, settings: Mapping[str, Any], *said: str) -> None:
        """Enrolment fails, and says this."""
        text = str(self.assertRaises(AssertionError, self.site.start_connector, "hq", self.allowed, settings))
        for each in said:
            self.assertIn(each, text)
