"""L{appproxy.observe.process}."""

from __future__ import annotations

import os
import resource

from prometheus_client import CollectorRegistry
from twisted.trial.unittest import SynchronousTestCase

from appproxy.observe.metrics import Metrics
from appproxy.observe.process import memory_bytes, open_descriptors, watch_process


class ProcessTests(SynchronousTestCase):
    """What the kernel says of this process."""

    def test_descriptors(self) -> None:
        """Each one that is opened counts, until it is closed."""
        before = open_descriptors()
        opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(3)]
        during = open_descriptors()
        for each in opened:
            os.close(each)
        self.assertEqual((during - before, open_descriptors() - before), (3, 0))

    def test_memory(self) -> None:
        """Memory that is written to is in use."""
        before = memory_bytes()
        held = bytearray(os.urandom(1)) * (64 << 20)
        self.assertGreater(memory_bytes() - before, 32 << 20)
        del held

    def test_watched(self) -> None:
        """A scrape shows them, with the limit that holds for this process."""
        metrics = Metrics()
        watch_process(metrics)
        registry = CollectorRegistry()
        registry.register(metrics)
        self.assertEqual(
            registry.get_sample_value("appproxy_descriptor_limit"),
            resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        )
        for name in ("open_descriptors", "memory_bytes"):
            self.assertGreater(registry.get_sample_value(f"appproxy_{name}") or 0, 0, name)
