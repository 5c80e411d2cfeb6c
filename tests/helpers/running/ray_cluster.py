"""A Ray cluster on this machine: a head that does no work, and workers of one processor each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

MEMORY = 80 * 2**20
"""Of each object store: the least that Ray takes is 75 MB."""

START_SECONDS = 120
"""That a machine may take to start, beside other tests."""


@contextmanager
def local_cluster(workers: int = 2) -> Iterator[LocalCluster]:
    """A cluster that is there inside."""
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'fineq[ray]'")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["RAY_worker_niceness"] = "0"  # else 15: on a busy machine the tests would wait for ever
    quick = {"health_check_period_ms": 1000, "health_check_timeout_ms": 2000, "health_check_failure_threshold": 3}
    os.environ["RAY_raylet_start_wait_time_s"] = str(START_SECONDS)
    head = {"num_cpus": 0, "_system_config": quick, "include_dashboard": False, "object_store_memory": MEMORY}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        local = LocalCluster(cluster)
        for _ in range(workers):
            local.add()
        yield local
    finally:
        ray.shutdown()
        cluster.shutdown()


class LocalCluster:
    """What tests do with it."""

    def __init__(self, cluster: Any):
        self._cluster, self._workers = cluster, []

    @property
    def address(self) -> str:
        return self._cluster.address

    def add(self) -> None:
        """One more machine."""
        self._workers.append(self._cluster.add_node(wait=False, num_cpus=1, object_store_memory=MEMORY))
        self._cluster.wait_for_nodes(timeout=START_SECONDS)

    def kill(self) -> None:
        """A machine and all that works there are gone at once."""
        self._cluster.remove_node(self._workers.pop(0), allow_graceful=False)
