import os
from pathlib import Path

import pytest

from lrat_sim.cluster.connection import NAMESPACE


@pytest.fixture(scope="module")
def three_nodes():
    """A real Ray cluster of three nodes on this machine: a head without processors, and two that can be killed."""
    ray = pytest.importorskip("ray", reason="ray is not installed")
    from ray.cluster_utils import Cluster

    support = str(Path(__file__).parents[1] / "support")  # what the tests hand to workers imports from there
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [support, os.environ.get("PYTHONPATH")]))
    small = {"object_store_memory": 100 << 20}
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **small})
    ray.init(address=nodes.address, namespace=NAMESPACE, log_to_driver=False, logging_level="error")
    for _ in range(2):
        nodes.add_node(num_cpus=1, **small)
    nodes.wait_for_nodes()
    yield nodes
    ray.shutdown()
    nodes.shutdown()
