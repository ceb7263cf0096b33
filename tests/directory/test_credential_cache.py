"""Tests of L{appproxy.directory.credential_cache}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from appproxy.directory.credential_cache import RENEW_SECONDS, CredentialCache


class CacheTests(SynchronousTestCase):
    """When tickets are thrown away."""

    def test_no_two_alike(self) -> None:
        """Two directories never share tickets."""
        self.assertNotEqual(CredentialCache(0).name, CredentialCache(0).name)

    def test_worked(self) -> None:
        """What was good once may be worn out: it is replaced at once, and only once."""
        cache = CredentialCache(0)
        name = cache.name
        cache.works()
        self.assertTrue(cache.renew(1))
        self.assertNotEqual(cache.name, name)
        self.assertFalse(cache.renew(2))

    def test_never_worked(self) -> None:
        """What was never good is replaced now and then only: Kerberos does not free it."""
        cache = CredentialCache(0)
        self.assertFalse(cache.renew(RENEW_SECONDS - 1))
        self.assertTrue(cache.renew(RENEW_SECONDS))
        self.assertFalse(cache.renew(2 * RENEW_SECONDS - 1))
