"""Tests of L{appproxy.kerberos.environment} and L{appproxy.kerberos.library}."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from appproxy.kerberos.environment import OWN_CONFIGURATION, prepare
from appproxy.kerberos.library import make_delegator


class PrepareTests(SynchronousTestCase):
    """L{prepare}."""

    def test_first(self) -> None:
        """Ours comes before the system's file, or before what the environment names; once."""
        ours = str(OWN_CONFIGURATION)
        for before, after in {
            "": f"{ours}:/etc/krb5.conf",
            "/a:/b": f"{ours}:/a:/b",
            f"{ours}:/a": f"{ours}:/a",
            f"/a:{ours}": f"{ours}:/a",
        }.items():
            environment = {"KRB5_CONFIG": before}
            prepare(environment)
            self.assertEqual(environment["KRB5_CONFIG"], after)
        empty: dict[str, str] = {}
        prepare(empty)
        self.assertEqual(empty, {"KRB5_CONFIG": f"{ours}:/etc/krb5.conf"})

    def test_file(self) -> None:
        """The file is in the package, and asks for tickets that may be passed on."""
        self.assertIn("forwardable = true", OWN_CONFIGURATION.read_text())


class LibraryTests(SynchronousTestCase):
    """L{make_delegator}."""

    def test_not_installed(self) -> None:
        """Without gssapi the error says what to install, and all else can be imported."""
        program = (
            "import sys; sys.modules['gssapi'] = None\n"
            "from pathlib import Path\n"
            "import appproxy.kerberos.tickets\n"
            "from appproxy.kerberos.causes import KerberosUnavailable\n"
            "from appproxy.kerberos.library import make_delegator\n"
            "try:\n"
            "    make_delegator('a@B', Path('/k'))\n"
            "except KerberosUnavailable as error:\n"
            "    sys.exit('install libkrb5-dev, gcc and python3-dev' not in str(error))\n"
            "sys.exit(2)\n"
        )
        self.assertEqual(subprocess.run([sys.executable, "-c", program], check=False).returncode, 0)

    def test_account(self) -> None:
        """An account without a realm, and a path that libkrb5 would look for elsewhere, are refused."""
        for account, keytab in (("a", "/k"), ("@B", "/k"), ("a@", "/k"), ("a@B", "k")):
            self.assertRaises(ValueError, make_delegator, account, Path(keytab))
