import json
from textwrap import wrap

import msgspec
import pytest
from rich.console import Console

from lrat_sim.comparison import compare, load, save
from lrat_sim.comparison.table import comparison_tables, render, results_table
from lrat_sim.errors import InputError


def shown(comparison, width=80, show=render):
    console = Console(width=width)
    with console.capture() as captured:
        console.print(show(comparison))
    return captured.get()


def summary(comparison):
    return results_table([comparison])


@pytest.fixture
def comparison(arms, compared):
    return compared(arms, oracle="oracle")


def test_all_tables_open_with_the_answer_and_fit_eighty_columns(comparison):
    text = shown(comparison)
    assert " ".join(text.split()).startswith(comparison.answer)
    assert "…" not in text
    lines = text.splitlines()
    assert any(line.split()[:4] == ["base", "25.0", "±13.6", "0"] for line in lines)
    assert any(line.split()[:4] == ["trained", "50.0", "±15.7", "0"] for line in lines)
    assert any("gap closed" in line and "33 %" in line for line in lines)
    row = next(line for line in lines if line.startswith("success "))
    success = comparison.pairings[0].measures["success"]
    low, high = (f"{100 * end:.1f}" for end in (success.difference.low, success.difference.high))
    assert row.split()[1:] == ["+25.0", low, "to", high, "+100", ".002", f"{success.p_holm:.3f}"[1:], "19.4", "10/30/0"]
    assert all(len(line) <= 80 for line in lines)


def test_summary_of_four_arms_fits_a_screen_with_the_answer(arms, compared):
    arms |= {"a-second-retriever-trained-on-more": arms["trained"]}
    comparison = compared(arms, oracle="oracle")
    text = shown(comparison, show=summary)
    assert len(text.splitlines()) + len(wrap(comparison.answer, 80)) <= 23  # two lines say where it is kept
    assert all(len(line) <= 80 for line in text.splitlines())
    difference = comparison.pairing("trained").measures["success"].difference
    interval = ["+25.0", f"{100 * difference.low:.1f}", "to", f"{100 * difference.high:.1f}"]
    assert any(line.split()[:8] == ["trained", "50.0", "±15.7", "0", *interval] for line in text.splitlines())


def test_cost_is_unknown_in_dollars_or_left_out_where_nothing_was_paid(arms, compared):
    for cost, said in ((None, "unknown"), (0.0123, "$0.0123"), (0.0, None)):
        for arm in arms.values():
            for metrics in arm.values():
                metrics["cost"] = cost
        text = shown(compared(arms), width=120)
        assert ("cost" in text) == (said is not None)
        assert ("$" in text) == (cost == 0.0123)
        assert said is None or said in text


@pytest.mark.parametrize("show", [render, summary])
def test_what_is_left_out_is_said(arms, row, show, compared):
    arms["trained"]["task-0"] = row(None)
    del arms["trained"]["task-1"]
    for arm in arms.values():
        arm["task-2"] |= {"evidence_recall": None, "evidence_hit": None, "evidence_opened": None}
    text = shown(compared(arms), 200, show)
    assert show is summary or "1 tasks have no evidence and are left out of the evidence measures" in text
    assert "trained: 1 tasks were not run and count as failures" in text
    assert "trained: 1 answers were not graded and are left out; success lies between 45.0 and 47.5 %" in text


def test_saved_comparison_reads_back_and_explains_itself(arms, tmp_path, compared):
    comparison = compared(arms, oracle="oracle", seed=3, resamples=100)
    path = tmp_path / "new" / "comparison.json"
    save(comparison, path)
    assert load(path) == comparison
    content = json.loads(path.read_text())
    assert content["answer"] == comparison.answer
    assert (content["seed"], content["resamples"], content["confidence"]) == (3, 100, 0.95)
    assert {measure["name"] for measure in content["measures"]} == set(content["pairings"][0]["measures"])
    assert all(measure["definition"] for measure in content["measures"])
    assert [path.name for path in path.parent.iterdir()] == ["comparison.json"]


def test_damaged_missing_and_later_comparisons_are_refused_by_name(comparison, tmp_path):
    path = tmp_path / "comparison.json"
    later = msgspec.json.encode(msgspec.structs.replace(comparison, schema_version=9))
    for content, said in (
        (b'{"answer": "torn', r"comparison\.json is not a comparison"),
        (b'{"answer": 3}', r"comparison\.json is not a comparison"),
        (later, "upgrade lrat-sim"),
        (None, "cannot be read"),
    ):
        path.write_bytes(content) if content is not None else path.unlink()
        with pytest.raises(InputError, match=said):
            load(path)


def test_tests_are_explained_and_tasks_won_and_lost_are_named(comparison):
    text = " ".join(shown(comparison).split())
    assert "trained against base: success +100 % (" in text
    assert "won 10 (task-10, task-11, task-12, ...); tied 30; lost 0." in text
    assert "corrected for all 24 tests" in text


def test_other_pairs_stand_in_short(arms, comparison):
    lines = shown(comparison).splitlines()
    start = next(number for number, line in enumerate(lines) if "other pairs" in line)
    assert any("+50.0" in line and "20/20/0" in line for line in lines[start:])
    assert "other pairs" not in shown(compare(dict(list(arms.items())[:2]), "base", None, ["task-1"], resamples=9))


def test_spread_over_seeds_stands_beside_that_over_tasks(arms, compared):
    tasks = list(arms["base"])
    for arm in arms.values():
        for metrics in arm.values():
            metrics |= {"ndcg": 0.5}
    assert "over seeds" not in shown(compared(arms))
    text = shown(compare(arms | {"trained": [arms["trained"], arms["oracle"]]}, "base", None, tasks, resamples=50))
    assert "Deviation over seeds" in text
    assert any(line.startswith("trained") and "35.4 (2)" in line for line in text.splitlines())


def test_eight_arms_of_long_names_and_large_numbers_fit_eighty_columns(arms, compared):
    for arm in arms.values():
        for metrics in arm.values():
            metrics |= {"tokens": metrics["steps"] * 12_345.6, "cost": metrics["steps"] * 0.01}
    many = {f"[red]-retriever-with-a-long-name-{number}": arms["trained"] for number in range(6)}
    text = shown(compared(arms | many, oracle="oracle"))
    assert text.count("[red]") >= 18, "names are shown as they stand"
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "…" not in text


def test_tables_of_a_report_are_those_of_the_terminal_with_all_columns(comparison):
    means, retrieval, differences, others = comparison_tables(comparison, "x-")
    assert [table.slug for table in (means, differences, others)] == ["x-means", "x-differences", "x-other-pairs"]
    assert [column for column in retrieval.columns[1:]] == ["evidence hit, %"]
    cells = next(row.cells for row in differences.rows if row.cells[0] == "success")
    assert cells[1:4] == ["25.0", "50.0", "+25.0"]
    assert all(len(row.cells) == len(table.columns) for table in (means, retrieval, others) for row in table.rows)


def test_overview_sets_the_k_of_an_arm_beside_one_another(arms):
    setting = {"agent": "simulated", "task_set": "world", "split": "test"}
    made = [compare(arms, "base", None, ["task-15"], resamples=9, setting=setting | {"k": k}) for k in (10, 5)]
    table = results_table(made)
    assert table.groups[0].title == "simulated on world, test, 1 tasks"
    assert [row.cells[:3] for row in table.rows] == [
        [name, k, success]
        for name, success in (("base", "0.0"), ("trained", "100.0"), ("oracle", "100.0"))
        for k in ("5", "10")
    ]
    assert table.records[2]["difference"] == 1.0


def test_forced_answers_and_silent_turns_stand_in_a_table_of_their_own(arms, compared):
    assert "endings" not in [table.slug for table in comparison_tables(compared(arms))]
    ended = {"answered": 1.0, "unanswered": 0.0, "errors": 0.0, "ungraded": 0.0, "all_turns": 4.0}
    for name, arm in arms.items():
        for number, metrics in enumerate(arm.values()):
            metrics |= {**ended, "forced": float(name == "base" and number < 5), "silent_turns": float(name != "base")}
    comparison = compared(arms, oracle="oracle")
    table = next(table for table in comparison_tables(comparison) if table.slug == "endings")
    assert [row.cells[1:] for row in table.rows] == [
        ["40", "5", "0", "0", "160", "0.0"],
        ["40", "0", "0", "0", "160", "25.0"],
        ["40", "0", "0", "0", "160", "25.0"],
    ]
    assert "base: 5 of 40 answers were forced at a limit." in " ".join(shown(comparison).split())
    assert "base: 5 of 40 answers were forced" in " ".join(summary(comparison).notes)
    assert all(len(line) <= 80 for line in shown(comparison).splitlines())
