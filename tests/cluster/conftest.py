import os
from contextlib import contextmanager
from pathlib import Path

import pytest

from lrat_sim.cluster.connection import NAMESPACE

SMALL = {"num_cpus": 1, "object_store_memory": 100 << 20}


@contextmanager
def three_nodes_of(**system):
    """A real Ray cluster of three nodes on this machine, with settings of Ray's own: a head and two that can be
    killed."""
    pytest.importorskip("ray", reason="ray is not installed")
    from ray.cluster_utils import Cluster

    support = str(Path(__file__).parents[1] / "support")  # what the tests hand to workers imports from there
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [support, os.environ.get("PYTHONPATH")]))
    nodes = Cluster(initialize_head=True, head_node_args={**SMALL, "_system_config": system})
    for _ in range(2):
        nodes.add_node(**SMALL)
    nodes.wait_for_nodes()
    yield nodes
    nodes.shutdown()


@pytest.fixture(scope="module")
def three_nodes():
    """Three nodes that this process is connected to."""
    ray = pytest.importorskip("ray", reason="ray is not installed")
    with three_nodes_of() as nodes:
        ray.init(address=nodes.address, namespace=NAMESPACE, log_to_driver=False, logging_level="error")
        yield nodes
        ray.shutdown()


@pytest.fixture
def short_lived_nodes():
    """Three nodes that give a silent one up after two seconds, and themselves after eight without the head; nobody is
    connected to them."""
    checks = {"initial_delay_ms": 0, "period_ms": 500, "timeout_ms": 500, "failure_threshold": 4}
    system = {f"health_check_{name}": value for name, value in checks.items()}
    with three_nodes_of(**system, gcs_rpc_server_reconnect_timeout_s=8) as nodes:
        yield nodes
