"""The commands compare and sweep, in this process."""

import re
import sys

import pytest

from lrat_sim import cli
from lrat_sim.comparison import load
from lrat_sim.experiment.cells import read_experiment


@pytest.fixture
def command(monkeypatch, capfd, tmp_path):
    """command(*arguments) runs the command line in this process, 80 columns wide: standard output and error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments, code=0):
        monkeypatch.setattr(sys, "argv", ["lrat-sim", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capfd.readouterr()
        assert (left.value.code or 0) == code, err
        return out, err

    return run


def test_compare_takes_agents_ks_and_seeds_and_shows_success_against_k(command, small_world, tmp_path):
    line = ["compare", "bm25", "bound=oracle", "-t", small_world.folder, "-o", "out", "--limit", "2"]
    line += ["-a", "simulated", "-a", "simulated-hasty", "-k", "1", "-k", "5", "--seed", "0", "--seed", "1"]
    out, _ = command(*line)
    assert all(len(each) <= 80 for each in out.splitlines())
    experiment = read_experiment(tmp_path / "out")
    assert [(cell.agent, cell.k) for cell in experiment.cells] == [
        ("simulated", 1),
        ("simulated", 5),
        ("simulated-hasty", 1),
        ("simulated-hasty", 5),
    ]
    assert experiment.command == "lrat-sim " + " ".join(map(str, line))
    assert len(re.findall(r"^bound +[15] +\d", out, re.MULTILINE)) == 4
    assert out.splitlines()[-2:] == ["experiment: out/experiment.json", "report: out/report.html"]
    comparison = load(tmp_path / "out" / experiment.cells[0].folder / "comparison.json")
    assert comparison.setting["seeds"] == [0, 1]
    assert comparison.summaries[0].runs == ["bm25", "bm25-seed-1"]


def test_sweep_shows_success_against_the_number_of_pairs(command, wheel, wheel_settings, small_world):
    line = ["sweep", wheel.folder / "round-1", "-t", small_world.folder, "-o", "out", "--limit", "2", "--sizes", "20"]
    line += ["--base-model", wheel_settings.base_model]
    line += [f"--option={name}={value}" for name, value in wheel_settings.training_options.items()]
    out, err = command(*line)
    assert all(len(each) <= 80 for each in out.splitlines())
    assert re.search(r"^none +- +\d", out, re.MULTILINE)
    assert re.search(r"^2\d +\d+ +\d.* to ", out, re.MULTILINE)
    assert out.splitlines()[-2:] == ["comparison: out/comparison.json", "report: out/report.html"]
    assert "training steps" in err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["compare", "bm25", "x=bm25", "x=oracle"], "NAME=SPEC"),
        (["compare", "bm25", "oracle", "-t", "world", "--task-option", "seed=1"], "one task set"),
        (["compare", "bm25", "oracle", "--seed", "1", "--seed", "1"], "each once"),
        (["sweep", "nowhere.jsonl", "--sizes", "ten"], "--sizes is 'ten'"),
        (["sweep", "nowhere.jsonl", "--sizes", "10"], "nowhere.jsonl"),
    ],
)
def test_bad_input_is_one_sentence(command, small_world, tmp_path, line, said):
    out, err = command(*line, "-t", small_world.folder, "-o", "out", code=2)
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
    assert not (tmp_path / "out").exists()
