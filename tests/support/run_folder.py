"""What a run folder holds, as tests compare it."""

from lrat_sim.records import canonical
from lrat_sim.rollout.index import read_trajectories


def lines(folder):
    """The runs that are written so far, those in the middle of a line left out."""
    path = folder / "trajectories.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def content(folder):
    """All runs in canonical form, in an order that does not depend on when they ended."""
    return sorted(canonical(trajectory) for trajectory in read_trajectories(folder))
