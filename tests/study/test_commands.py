"""The commands of studies, in this process."""

import re

import pytest

from lrat_sim.comparison import load
from lrat_sim.study import Control, Controls, read_study


def test_compare_takes_agents_ks_and_seeds_and_shows_success_against_k(command, small_world, tmp_path):
    line = ["compare", "bm25", "bound=oracle", "-t", small_world.folder, "-o", "out", "--limit", "2"]
    line += ["-a", "simulated", "-a", "simulated-hasty", "-k", "1", "-k", "5", "--seed", "0", "--seed", "1"]
    out, _ = command(*line)
    assert all(len(line) <= 80 for line in out.splitlines() if ": " not in line)
    record = read_study(tmp_path / "out")
    cells = [(cell.agent, cell.k) for cell in record.cells]
    assert cells == [("simulated", 1), ("simulated", 5), ("simulated-hasty", 1), ("simulated-hasty", 5)]
    assert record.command == "lrat-sim " + " ".join(map(str, line))
    assert len(re.findall(r"^bound +[15] +\d", out, re.MULTILINE)) == 4
    assert "\nstudy: out\nreport: out/report.html\n" in out
    comparison = load(tmp_path / "out" / record.cells[0].folder / "comparison.json")
    assert comparison.setting["seeds"] == [0, 1]
    assert comparison.summaries[0].runs == ["bm25", "bm25-seed-1"]


def test_sweep_shows_success_against_the_number_of_pairs(command, wheel, wheel_settings, small_world):
    line = ["sweep", wheel.folder / "round-1", "-t", small_world.folder, "-o", "out", "--limit", "2", "--size", "20"]
    line += ["--base-model", wheel_settings.base_model]
    line += [f"--training-option={name}={value}" for name, value in wheel_settings.training_options.items()]
    out, err = command(*line)
    assert all(len(line) <= 80 for line in out.splitlines() if ": " not in line)
    assert re.search(r"^20-pairs +2\d +\d+ +\d.* to ", out, re.MULTILINE)
    assert "\nstudy: out\nreport: out/report.html\n" in out
    assert "training steps" in err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["compare", "bm25", "x=bm25", "x=oracle"], "NAME=SPEC"),
        (["compare", "bm25", "oracle", "-t", "world", "--task-option", "seed=1"], "one task set"),
        (["compare", "bm25", "oracle", "--seed", "1", "--seed", "1"], "each once"),
        (["sweep", "nowhere.jsonl", "--size", "ten"], "--size"),
        (["sweep", "nowhere.jsonl", "--size", "10"], "nowhere.jsonl"),
        *((["flywheel", "--collect-with", option], "of --collect-with should read KEY=")
          for option in ("bm25", "bm25=", "bm25=much", "=0.2")),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(command, small_world, tmp_path, line, said):
    out, err = command(*line, "-t", small_world.folder, "-o", "out", code=2)
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
    assert not (tmp_path / "out").exists()


def test_a_retriever_with_its_share_may_have_options_and_a_name(command, monkeypatch, small_world):
    seen = []
    monkeypatch.setattr("lrat_sim.study.flywheel", lambda *given, **_: seen.append(given) or 1 / 0)
    line = ["flywheel", "--collect-with", "bm25=0.2", "--collect-with", "lexical=bm25:b=0.5=0.1"]
    command(*line, "-t", small_world.folder, "-o", "out", code=1)
    assert seen[0][2].collect_with == {"bm25": 0.2, "lexical=bm25:b=0.5": 0.1}


def test_controls_that_do_not_hold_give_exit_code_1(command, monkeypatch, small_world):
    broken = Controls([Control("it holds", False, "no")])
    monkeypatch.setattr("lrat_sim.study.controls", lambda *_, **__: broken)
    out, _ = command("controls", "-t", small_world.folder, "-o", "runs", code=1)
    assert re.search(r"it holds +no ", out)
