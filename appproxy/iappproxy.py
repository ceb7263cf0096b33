"""
The interfaces that plugins provide. A plugin is an object that provides
L{twisted.plugin.IPlugin} and one of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from datetime import datetime

    from appproxy.model.application import Application
    from appproxy.model.principal import Principal
    from appproxy.model.refusal import Refusal


class IAccessRule(Interface):
    """
    One more question asked before a signed-in user's request is forwarded.
    """

    name: str = Attribute("The name that C{[plugins] enabled} lists.")

    def refuse(
        application_id: str, application: Application, principal: Principal | None, now: datetime
    ) -> Refusal | None:
        """
        Judge one request, at once and without side effects.

        @param principal: the user, or L{None} at a passthrough application.
        @param now: the time of the request, with its time zone.
        @return: why not, or L{None} to let it through. Raising refuses.
        """
