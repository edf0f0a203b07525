import json

import pytest
from rich.console import Console

from lrat_sim.comparison.arms import compare
from lrat_sim.comparison.table import load, render, save
from lrat_sim.errors import InputError


def shown(comparison, width=80):
    console = Console(width=width)
    with console.capture() as captured:
        console.print(render(comparison))
    return captured.get()


def test_table_opens_with_the_answer_and_fits_eighty_columns(arms):
    comparison = compare(arms, "base", "oracle", list(arms["base"]), resamples=100)
    text = shown(comparison)
    assert " ".join(text.split()).startswith(comparison.answer)
    assert "…" not in text
    lines = text.splitlines()
    assert any(line.startswith("base ") and "25.0%" in line for line in lines)
    assert any(line.startswith("trained ") and "50.0%" in line for line in lines)
    assert any("gap closed" in line and "33 %" in line for line in lines)
    assert any(" success" in line and "+25.0" in line and "+100 %" in line and "10/30/0" in line for line in lines)


def test_unknown_cost_is_called_unknown_never_nothing(arms):
    text = shown(compare(arms, "base", None, list(arms["base"]), resamples=50))
    assert "unknown" in text
    assert "$" not in text


def test_known_cost_is_shown_in_dollars(arms):
    for arm in arms.values():
        for metrics in arm.values():
            metrics["cost"] = 0.0123
    assert "$0.0123" in shown(compare(arms, "base", None, list(arms["base"]), resamples=50), width=120)


def test_what_is_left_out_is_said(arms, row):
    arms["trained"]["task-0"] = row(None)
    del arms["trained"]["task-1"]
    for arm in arms.values():
        arm["task-2"] |= {"evidence_recall": None, "evidence_hit": None, "evidence_opened": None}
    text = shown(compare(arms, "base", None, list(arms["base"]), resamples=50), width=200)
    assert "without evidence, and so left out of evidence metrics: 1 tasks" in text
    assert "trained: not run, and so failures: 1" in text
    assert "trained: ungraded, and so left out: 1; success lies between 45.0 % and 47.5 %" in text


def test_saved_comparison_reads_back_and_explains_itself(arms, tmp_path):
    comparison = compare(arms, "base", "oracle", list(arms["base"]), seed=3, resamples=100)
    path = tmp_path / "new" / "comparison.json"
    save(comparison, path)
    assert load(path) == comparison
    content = json.loads(path.read_text())
    assert content["answer"] == comparison.answer
    assert (content["seed"], content["resamples"], content["confidence"]) == (3, 100, 0.95)
    assert {measure["name"] for measure in content["measures"]} == set(content["pairings"][0]["measures"])
    assert all(measure["definition"] for measure in content["measures"])
    assert [path.name for path in path.parent.iterdir()] == ["comparison.json"]


@pytest.mark.parametrize("content", ['{"answer": "torn', '{"answer": 3}'])
def test_damaged_comparison_is_refused_by_name(tmp_path, content):
    path = tmp_path / "comparison.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"comparison\.json is not a comparison"):
        load(path)
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "none.json")
