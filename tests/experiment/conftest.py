import pytest

from lrat_sim.rollout.index import read_trajectories

SPECS = {"bm25": "bm25", "bound": "oracle"}


@pytest.fixture
def specs():
    """A base, and a retriever that is surely better."""
    return dict(SPECS)


@pytest.fixture
def contents():
    """contents(folder) gives the bytes of all trajectories below it, by run folder."""

    def read(folder):
        return {str(path.parent.relative_to(folder)): path.read_bytes() for path in folder.rglob("trajectories.jsonl")}

    return read


@pytest.fixture
def seeds_of():
    """seeds_of(run) gives the seeds of a run folder's trajectories."""
    return lambda run: {trajectory.seed for trajectory in read_trajectories(run)}
