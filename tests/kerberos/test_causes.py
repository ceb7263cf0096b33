"""Tests of L{appproxy.kerberos.causes} and L{appproxy.kerberos.advice}."""

from __future__ import annotations

import string

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from appproxy.kerberos.advice import Advice, advice_for, advise
from appproxy.kerberos.causes import Cause, KerberosError, Stage, cause_of

UNSPECIFIED = 0xD0000
"""C{GSS_S_FAILURE}: the mechanism's code says more."""


class CauseTests(SynchronousTestCase):
    """L{cause_of}."""

    def test_signs(self) -> None:
        """The code is known with its sign and as the 32 bits that gssapi makes of it."""
        self.assertIs(cause_of(Stage.s4u2proxy, UNSPECIFIED, -1765328371), Cause.not_delegated)
        self.assertIs(cause_of(Stage.s4u2proxy, UNSPECIFIED, 2529638925), Cause.not_delegated)

    def test_stages(self) -> None:
        """One code means different things at different steps."""
        not_found, failed = -1765328377, -1765328353
        self.assertIs(cause_of(Stage.s4u2self, UNSPECIFIED, not_found), Cause.realm_unknown)
        self.assertIs(cause_of(Stage.s4u2proxy, UNSPECIFIED, not_found), Cause.spn_unknown)
        self.assertIs(cause_of(Stage.own_ticket, UNSPECIFIED, failed), Cause.keytab_stale)
        self.assertIs(cause_of(Stage.mutual, UNSPECIFIED, failed), Cause.wrong_key)

    def test_windows(self) -> None:
        """What Windows says where Samba says something else."""
        revoked = -1765328366
        self.assertIs(cause_of(Stage.s4u2self, UNSPECIFIED, revoked), Cause.user_disabled)
        self.assertIs(cause_of(Stage.own_ticket, UNSPECIFIED, revoked), Cause.account_disabled)

    def test_defective_reply(self) -> None:
        """A reply that is no Kerberos token has no code of the mechanism."""
        self.assertIs(cause_of(Stage.mutual, 0x90000, 100001), Cause.reply_malformed)
        self.assertIs(cause_of(Stage.s4u2proxy, 0x90000, 100001), Cause.other)

    @given(
        strategies.sampled_from(Stage),
        strategies.integers(0, 2**32 - 1),
        strategies.integers(-(2**31), 2**32 - 1),
    )
    def test_any_code(self, stage: Stage, major: int, minor: int) -> None:
        """Any code has a cause and advice."""
        self.assertIsInstance(advice_for(stage, cause_of(stage, major, minor)), Advice)


class AdviceTests(SynchronousTestCase):
    """L{advise}."""

    def test_every_cause(self) -> None:
        """Every cause has words of its own at some step; only C{other} has those of C{other}."""
        general = advice_for(Stage.own_ticket, Cause.other)
        for cause in Cause:
            texts = {advice_for(stage, cause) for stage in Stage} - {general}
            self.assertEqual(bool(texts), cause is not Cause.other, cause)

    def test_words(self) -> None:
        """Placeholders are known ones, and each text is a sentence."""
        for stage in Stage:
            for text in [text for cause in Cause for text in advice_for(stage, cause)]:
                names = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
                self.assertLessEqual(names, {"account", "user", "spn", "realm", "keytab"}, text)
                self.assertTrue(text[0].isupper() or text[0] in "'{", text)
                self.assertIn(text[-1], ".?", text)

    def test_names(self) -> None:
        """Names stand in the command; what a shell could take for more does not."""
        error = KerberosError(Stage.s4u2proxy, Cause.user_sensitive)
        self.assertIn("samba-tool user sensitive 'anna' off", advise(error, user="anna").remedy)
        for harmful in ("o'brien", "$(id)", "a b", "a\n", "a`b", 'a"b', "", "a;b"):
            self.assertIn("sensitive 'USER' off", advise(error, user=harmful).remedy, harmful)

    def test_error_text(self) -> None:
        """An error names the step, the cause and the library's words."""
        error = KerberosError(Stage.s4u2self, Cause.user_disabled, "KDC policy rejects request")
        self.assertEqual(
            str(error),
            "the user's ticket to the connector (S4U2Self): user_disabled (KDC policy rejects request)",
        )
