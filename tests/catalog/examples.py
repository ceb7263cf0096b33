"""Files and objects that the tests of the catalog share."""

from __future__ import annotations

from appproxy.catalog.documents import Document
from appproxy.catalog.file_form import parse_file
from appproxy.model.application import Application, ConnectorGroup

APPLICATIONS = """\
format = 1
[connector_groups.hq]
name = "Headquarters"
[applications.wiki]
name = "Team wiki"
external_url = "https://wiki.apps.example.com/"
internal_url = "http://wiki.corp.example:8080/"
connector_group = "hq"
users = ["ada@example.com"]
groups = ["HR"]
[applications.wiki.sso]
mode = "headers"
headers.X-Remote-User = { claim = "user_principal_name" }
headers.X-Remote-Groups = { claim = "groups", join = ";" }
headers.X-Source = { value = "appproxy" }
[applications.caldav]
name = "Calendars"
external_url = "https://cal.apps.example.com/"
internal_url = "https://cal.corp.example/"
connector_group = "hq"
pre_authentication = "passthrough"
visible = false
"""


def read(text: str = APPLICATIONS) -> Document:
    """What a file asks for; the file has no problem."""
    document = parse_file(text, "applications.toml")
    assert isinstance(document, Document), [str(problem) for problem in document]
    return document


def application(external_url: str = "https://wiki.apps.example.com/", **settings: object) -> Application:
    """An application with these settings, and otherwise the least that one needs."""
    needed = {
        "name": "Wiki",
        "external_url": external_url,
        "internal_url": "http://wiki.corp.example/",
        "connector_group": "hq",
    }
    return Application.model_validate({**needed, **settings})


def group(name: str = "Headquarters") -> ConnectorGroup:
    """A connector group."""
    return ConnectorGroup(name=name)
