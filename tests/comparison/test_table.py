import json

import msgspec
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
    row = next(line for line in lines if line.startswith(" success"))
    interval = comparison.pairings[0].measures["success"].difference
    low, high = f"{100 * interval.low:.1f}", f"{100 * interval.high:.1f}"
    corrected = f"{comparison.pairings[0].measures['success'].p_holm:.3f}"[1:]
    assert row.split()[1:] == ["+25.0", low, "to", high, "+100", "%", ".002", corrected, "19.4", "10/30/0"]
    assert all(len(line) <= 80 for line in lines)


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


def test_tests_are_explained_and_tasks_won_and_lost_are_named(arms):
    text = " ".join(shown(compare(arms, "base", "oracle", list(arms["base"]), resamples=50)).split())
    assert "trained against base: success +100 % (" in text
    assert "won 10 (task-10, task-11, task-12, ...); tied 30; lost 0." in text
    assert "corrected for all 24 tests" in text


def test_other_pairs_stand_in_short(arms):
    lines = shown(compare(arms, "base", "oracle", list(arms["base"]), resamples=50)).splitlines()
    start = next(number for number, line in enumerate(lines) if "the other pairs" in line)
    assert any("+50.0" in line and "20/20/0" in line for line in lines[start:])
    assert "the other pairs" not in shown(compare(dict(list(arms.items())[:2]), "base", None, ["task-1"], resamples=9))


def test_spread_over_seeds_stands_beside_that_over_tasks(arms):
    tasks = list(arms["base"])
    assert "over seeds" not in shown(compare(arms, "base", None, tasks, resamples=50))
    text = shown(compare(arms | {"trained": [arms["trained"], arms["oracle"]]}, "base", None, tasks, resamples=50))
    assert "over seeds" in text
    assert any(line.startswith("trained") and "35.4 (2)" in line for line in text.splitlines())


def test_eight_arms_of_long_names_and_large_numbers_fit_eighty_columns(arms):
    for arm in arms.values():
        for metrics in arm.values():
            metrics |= {"tokens": metrics["steps"] * 12_345.6, "cost": metrics["steps"] * 0.01}
    many = {f"a-retriever-with-a-long-name-{number}": arms["trained"] for number in range(6)}
    text = shown(compare(arms | many, "base", "oracle", list(arms["base"]), resamples=50))
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "…" not in text


def test_names_are_shown_as_they_stand(arms):
    arms = {"base": arms["base"], "[red]trained[/red]": arms["trained"]}
    text = shown(compare(arms, "base", None, list(arms["base"]), resamples=50), width=120)
    assert text.count("[red]trained[/red]") >= 3


def test_comparison_of_the_first_version_is_read(arms, tmp_path):
    comparison = compare(dict(list(arms.items())[:2]), "base", None, list(arms["base"]), resamples=50)
    old = json.loads(msgspec.json.encode(comparison))
    for key in ("schema_version", "permutations", "tests", "correction", "setting"):
        del old[key]
    for pairing in old["pairings"]:
        del pairing["base"], pairing["tied"]
        for paired in pairing["measures"].values():
            for key in ("p", "p_holm", "test", "smallest", "over_tasks", "over_seeds"):
                paired.pop(key, None)
    path = tmp_path / "comparison.json"
    path.write_text(json.dumps({"schema_version": 1, **old}))
    found = load(path)
    assert (found.schema_version, found.pairings[0].base) == (2, "base")
    assert found.pairings[0].measures["success"].difference == comparison.pairings[0].measures["success"].difference
    assert "-" in shown(found)


def test_comparison_of_a_later_version_is_refused(arms, tmp_path):
    comparison = compare(arms, "base", None, ["task-1"], resamples=9)
    path = tmp_path / "comparison.json"
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(comparison, schema_version=9)))
    with pytest.raises(InputError, match="upgrade lrat-sim"):
        load(path)
