"""Every example runs as it stands, in an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lrat_sim.comparison.table import load
from lrat_sim.rollout import read_trajectories

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def run(tmp_path):
    """run(name, **environment) gives what an example prints."""

    def example(name, **environment):
        command = [sys.executable, str(EXAMPLES / f"{name}.py")]
        done = subprocess.run(command, cwd=tmp_path, env=os.environ | environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return example


def test_every_example_has_a_test():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {"generate", "compare", "flywheel_world", "flywheel_2wiki"}


def test_flywheel_on_real_text_takes_ten_lines():
    assert len((EXAMPLES / "flywheel_2wiki.py").read_text().splitlines()) <= 10


def test_generate(run, tmp_path):
    names = [line.split()[0] for line in run("generate").splitlines()]
    assert names == ["bm25", "oracle"]
    for name in names:
        runs = list(read_trajectories(tmp_path / "runs" / "generate" / name))
        assert len(runs) == 40
        assert {trajectory.sample for trajectory in runs} == {0, 1}


def test_compare(run, tmp_path):
    assert "against bm25" in run("compare")
    comparison = load(tmp_path / "runs" / "compare" / "runs" / "comparison.json")
    assert [summary.name for summary in comparison.summaries] == ["bm25", "bm25:b=0.75", "oracle"]
    assert comparison.tasks_asked == 30


@pytest.mark.slow
def test_flywheel_world(run, tmp_path):
    assert run("flywheel_world").startswith("trained ")
    assert (tmp_path / "runs" / "world" / "flywheel" / "evaluate" / "test-k5" / "comparison.json").is_file()


@pytest.mark.slow
def test_flywheel_2wiki(run, data):
    printed = run("flywheel_2wiki", LRAT_SIM_DATA=str(data)).splitlines()
    assert [line.split()[0] for line in printed] == ["test-k5"]
