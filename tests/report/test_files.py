import re

import pytest

from lrat_sim.errors import InputError
from lrat_sim.report import write_report
from lrat_sim.report.figures import recall_by_turn, steps_of


@pytest.mark.parametrize("name", ["report.html", "report/notes.csv"])
def test_page_or_folder_of_something_else_is_refused(hostile, tmp_path, name):
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("<p>mine</p>")
    with pytest.raises(InputError, match=r"is no report of lrat-sim"):
        write_report(hostile, tmp_path / "out")
    assert [each for each in (tmp_path / "out").rglob("*") if each.is_file()] == [path]
    assert path.read_text() == "<p>mine</p>"
    write_report(hostile, tmp_path / "new")
    assert write_report(hostile, tmp_path / "new").is_file(), "a report may be written again"


def test_every_table_is_written_for_a_paper_and_for_a_spreadsheet(flown):
    expected = {"means", "retrieval", "endings", "differences", "other-pairs", "rounds", "collected", "mined", "runs"}
    assert {path.stem for path in flown[1].glob("*.tex")} == expected
    assert {path.stem for path in flown[1].glob("*.csv")} > expected
    for path in flown[1].glob("*.tex"):
        assert re.search(r"\\toprule.*\\midrule.*\\bottomrule", path.read_text(encoding="utf-8"), re.DOTALL)


def test_drawings_are_for_any_program(flown):
    """The files hold plain colours, the page variables in their place."""
    for path in flown[1].glob("*.svg"):
        assert "var(" not in path.read_text(encoding="utf-8")
    drawn = "".join(re.findall(r"<svg.*?</svg>", flown[0], re.DOTALL))
    assert "var(--ink)" in drawn
    assert not re.search(r"#[0-9a-f]{6}", drawn)
    assert "<text" in drawn


def test_recall_by_turn_is_the_mean_over_samples_then_tasks(run_folder):
    first = run_folder("first", {"x": [[["a"], [], ["b"]], [["c"]]], "y": [[["a", "b"]]], "z": []})
    curve = recall_by_turn([first])
    # x: the samples 1/2, 1/2, 1 and 0; y: 1; z was never run
    assert curve.tolist() == [[0.25, 0.25, 0.5], [1, 1, 1], [0, 0, 0]]
    second = run_folder("second", {"x": [[["a", "b"]]], "y": [[["c"]]], "z": [[["a"]]]})
    both = recall_by_turn([first, second])
    assert both.mean(axis=0)[-1] == pytest.approx(((0.5 + 1) / 2 + (1 + 0) / 2 + (0 + 0.5) / 2) / 3)
    assert recall_by_turn([first, second], {"y"}).tolist() == [[0.5]]


def test_no_recall_without_evidence_or_runs(run_folder, tmp_path):
    assert recall_by_turn([run_folder("none", {"x": [[["a"]]]}, evidence=())]) is None
    assert recall_by_turn([run_folder("broken", {"x": [None]})]) is None
    assert recall_by_turn([tmp_path / "absent"]) is None


def test_steps_leave_out_broken_runs_and_other_tasks(run_folder, tmp_path):
    run = run_folder("run", {"x": [[["a"], ["b"]], None], "y": [[["a"]]]})
    assert sorted(steps_of([run])) == [1, 2]
    assert steps_of([run], {"x"}) == [2]
    assert steps_of([run, tmp_path / "absent"], {"y"}) == [1]
    assert steps_of([tmp_path / "absent"]) is None
    (run / "index.parquet").write_bytes((run / "index.parquet").read_bytes()[:-9])
    with pytest.raises(InputError, match=r"index\.parquet cannot be read"):
        steps_of([run])
