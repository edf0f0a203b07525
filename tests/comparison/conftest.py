import pytest

from lrat_sim.comparison import compare


@pytest.fixture
def row():
    """Makes the metrics of one task; what is not given is that of a plain success."""

    def make(success=1.0, **changed):
        shares = {"success": success, "evidence_recall": 0.5, "evidence_hit": 1.0, "evidence_opened": 0.5}
        return shares | {"steps": 6.0, "searches": 4.0, "tokens": 1000.0, "cost": None} | changed

    return make


@pytest.fixture
def arms(row):
    """Forty tasks: the base solves the first ten, the trained retriever twenty with fewer steps, the oracle all."""
    tasks = [f"task-{number}" for number in range(40)]

    def arm(solved, steps):
        return {
            task: row(float(number < solved), steps=steps + number % 3, evidence_recall=solved / 40)
            for number, task in enumerate(tasks)
        }

    return {"base": arm(10, 9.0), "trained": arm(20, 7.0), "oracle": arm(40, 4.0)}


@pytest.fixture
def compared():
    """Compares arms over the tasks of the base, quickly."""

    def make(arms, base="base", oracle=None, **given):
        tasks = arms[base][0] if isinstance(arms[base], list) else arms[base]
        return compare(arms, base, oracle, list(tasks), **{"resamples": 50, **given})

    return make
