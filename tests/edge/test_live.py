"""Tests of L{appproxy.edge.live}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.edge.live import APPLICATION_CHANGED, SESSION_ENDED, LiveStreams
from appproxy.model.refusal import Refusal


class Open:
    """Something under way, which takes itself out when it is cut."""

    def __init__(self, live: LiveStreams, session_id: str, application_id: str) -> None:
        self.why: Refusal | None = None
        self._live = live
        self._entry = (session_id, application_id)
        live.add(self, *self._entry)

    @property
    def is_upgraded(self) -> bool:
        """It is a download."""
        return False

    def cut(self, why: Refusal) -> None:
        """Break off."""
        self.why = why
        self._live.remove(self, *self._entry)


class Stubborn(Open):
    """Something that cannot be cut."""

    def cut(self, why: Refusal) -> None:
        """Fail."""
        raise ZeroDivisionError


class LiveTests(SynchronousTestCase):
    """The index of what is open."""

    def setUp(self) -> None:
        self.live = LiveStreams()

    def test_session(self) -> None:
        """The end of a session cuts its streams and no others, and leaves nothing in the index."""
        mine = [Open(self.live, "a", application) for application in ("x", "y")]
        others = [Open(self.live, session, "x") for session in ("b", "")]
        self.assertEqual(self.live.end_session("a"), 2)
        self.assertEqual([each.why for each in mine], [SESSION_ENDED] * 2)
        self.assertEqual([each.why for each in others], [None] * 2)
        self.assertEqual((self.live.count, self.live.sessions()), (2, ["b"]))
        self.assertEqual(self.live.end_session("a"), 0)

    def test_application(self) -> None:
        """So does the end of an application, for anonymous ones too."""
        streams = [Open(self.live, session, "x") for session in ("a", "")]
        self.assertEqual(self.live.end_application("x"), 2)
        self.assertEqual({each.why for each in streams}, {APPLICATION_CHANGED})
        self.assertEqual((self.live.count, self.live.sessions()), (0, []))

    def test_nobody(self) -> None:
        """The empty session id is nobody's session."""
        stream = Open(self.live, "", "x")
        self.assertEqual(self.live.end_session(""), 0)
        self.assertIsNone(stream.why)

    def test_one_that_fails(self) -> None:
        """One that cannot be cut saves no other."""
        streams = [Stubborn(self.live, "a", "x"), Open(self.live, "a", "x"), Stubborn(self.live, "a", "x")]
        self.live.end_session("a")
        self.assertEqual(streams[1].why, SESSION_ENDED)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
