"""The shipped examples, C{docs/settings.md} and the models say the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from twisted.trial.unittest import SynchronousTestCase

from appproxy.config.common import file_context, parse_settings
from appproxy.config.connector import ConnectorSettings
from appproxy.config.edge import EdgeSettings
from appproxy.config.relay import RelaySettings
from appproxy.model.application import Application
from appproxy.model.principal import CLAIM_NAMES
from appproxy.model.sign_on import KerberosSignOn
from tests.config.settings_keys import MUST, canonical, flatten, keys_of

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "etc" / "appproxy"
FILES: Final[dict[str, type[BaseModel]]] = {
    "edge.toml": EdgeSettings,
    "connector.toml": ConnectorSettings,
    "relay.toml": RelaySettings,
}
FROM_DOMAIN: Final = {f"hosts.{name}": f"{name}.apps.example.com" for name in ("auth", "portal", "connect")}
ROW: Final = re.compile(r"\| `([a-z0-9_.]+)` \| (?:`(.*?)`|([A-Z]+|from `domain`)) \| (.*?) ?\|\Z")


def documented(section: str) -> dict[str, tuple[Any, str]]:
    """Keys, defaults and reasons of one table of C{docs/settings.md}."""
    text = (ROOT / "docs" / "settings.md").read_text("utf-8")
    body = text.split(f"\n## {section}", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in body.splitlines() if line.startswith("| `")]
    matches = [ROW.match(line) for line in rows]
    assert all(matches), [line for line, match in zip(rows, matches, strict=True) if not match]
    return {
        match[1]: (tomllib.loads(f"value = {match[2]}")["value"] if match[2] else MUST, match[4])
        for match in matches
        if match
    }


class ExampleTests(SynchronousTestCase):
    """The complete files below C{etc/appproxy}."""

    def test_load(self) -> None:
        """Each example is accepted as it is."""
        for name, model in FILES.items():
            text = (EXAMPLES / name).read_text("utf-8")
            self.assertIsInstance(parse_settings(model, text, name, file_context(EXAMPLES, {})), model)

    def test_complete(self) -> None:
        """Each example has every key, and every key that has a default stands there with it."""
        for name, model in FILES.items():
            expected = keys_of(model)
            written = canonical(flatten(tomllib.loads((EXAMPLES / name).read_text("utf-8")), expected))
            self.assertEqual(set(written), set(expected), name)
            for key, value in expected.items():
                if key in FROM_DOMAIN:
                    self.assertEqual(written[key], FROM_DOMAIN[key])
                elif value is not MUST:
                    self.assertEqual(written[key], value, f"{name}: {key}")

    def test_must_is_said(self) -> None:
        """A key without default is marked MUST in the example, and no other is."""
        for name, model in FILES.items():
            lines = (EXAMPLES / name).read_text("utf-8").splitlines()
            marked = {line.split("=")[0].strip() for line in lines if "# MUST" in line and "=" in line}
            required = {
                key for key, value in keys_of(model).items() if value is MUST and key not in FROM_DOMAIN
            }
            self.assertEqual(marked, {key.rsplit(".", 1)[-1] for key in required}, name)


class DocumentTests(SynchronousTestCase):
    """C{docs/settings.md}."""

    def test_settings(self) -> None:
        """The tables of the three files have the models' keys and defaults, no more and no less."""
        for name, model in FILES.items():
            defaults = {key: value for key, (value, _) in documented(name).items()}
            self.assertEqual(canonical(defaults), keys_of(model))

    def test_application(self) -> None:
        """So has the table of an application's settings."""
        defaults = {key: value for key, (value, _) in documented("applications.toml: an application").items()}
        self.assertEqual(canonical(defaults), canonical(keys_of(Application)))

    def test_kerberos(self) -> None:
        """So has the table of Kerberos sign-on."""
        defaults = {
            key: value for key, (value, _) in documented("applications.toml: Kerberos sign-on").items()
        }
        self.assertEqual(defaults, keys_of(KerberosSignOn))

    def test_not_supported_yet(self) -> None:
        """The keys that refuse other values as not supported yet are those whose row says so."""
        for name, model in FILES.items():
            for key, (default, reason) in documented(name).items():
                if default is MUST:
                    continue
                refused = self._messages(model, key)
                self.assertEqual(
                    any("not supported yet" in message for message in refused),
                    reason.startswith("Not supported yet") or reason == "There is no other choice yet.",
                    f"{name}: {key}: {refused}",
                )

    def test_claims(self) -> None:
        """Each claim of a principal can be mapped, and nothing else."""
        mapped = {
            key.removeprefix("sign_in.claims.") for key in keys_of(EdgeSettings) if "sign_in.claims" in key
        }
        self.assertEqual(mapped, CLAIM_NAMES)

    def _messages(self, model: type[BaseModel], key: str) -> list[str]:
        *sections, name = key.split(".")
        text = (f"[{'.'.join(sections)}]\n" if sections else "") + f'{name} = "17"\n'
        problems = parse_settings(model, text, "file", file_context(EXAMPLES, {}))
        found = problems if isinstance(problems, list) else []
        return [problem.message for problem in found if problem.key_path.startswith(key)]
