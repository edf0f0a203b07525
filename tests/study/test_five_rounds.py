"""Five rounds on a small world, by the example: what agents reach with the model in use does not fall."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from lrat_sim.comparison import load as load_comparison
from lrat_sim.study import read_study

EXAMPLE = Path(__file__).parents[2] / "examples" / "flywheel_rounds.py"


@pytest.mark.slow
def test_success_and_recall_do_not_fall_over_five_rounds(tmp_path):
    done = subprocess.run([sys.executable, EXAMPLE], cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "rounds" / "flywheel"
    made = read_study(folder).rounds
    rounds = made.rounds
    assert f"in use: {made.accepted}" in done.stdout
    assert len(rounds) == 5
    assert sum(made.accepted for made in rounds) >= 2
    # on the gate's tasks a model in use is never replaced by a worse one
    assert all(made.gate.success_difference.value >= 0 for made in rounds if made.accepted)
    # on tasks that no decision has seen: well above the base at the end, and no accepted model clearly below the last
    comparison = load_comparison(folder / "evaluate" / "test-k5" / "comparison.json")
    against = {(pairing.arm, pairing.base): pairing.measures for pairing in comparison.pairings}
    in_use = [summary.name for summary in comparison.summaries if summary.name not in ("base", "bm25", "oracle")]
    assert in_use[-1] == "trained"
    for measure in ("success", "evidence_recall"):
        assert against["trained", "base"][measure].difference.low > 0
        for earlier, later in pairwise(in_use):
            assert against[later, earlier][measure].difference.high >= 0
