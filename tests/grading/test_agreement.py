from __future__ import annotations

import csv

import pytest
from sklearn.metrics import cohen_kappa_score

from lrat_sim.artifact import Store, write_records
from lrat_sim.errors import InputError, RecordError
from lrat_sim.grading.agreement import agreement_tables, check_judges
from lrat_sim.grading.run import grade_run, judge_run
from lrat_sim.grading.sheet import read_sheet, write_sheets
from lrat_sim.records import Grade, Task
from lrat_sim.rollout.index import record_asked

TASK = Task(id="q1", question="Where?", answers=["Paris", "=Lutetia"])


@pytest.fixture
def folder(make, tmp_path):
    """Ninety right and ten wrong answers; a judge of another name calls the last of each the other way round."""
    answers = ["Paris"] * 90 + ["Rome"] * 10
    walks = []
    for number, answer in enumerate(answers):
        after = "This page is unrelated." if number % 5 == 0 else "It says that he was born in Paris."
        turns = [
            make.turn(make.search("a", "b")),
            make.turn(make.browse("a"), make.browse("b")),
            make.turn(text=f"Exact Answer: {answer}", reasoning=after),
        ]
        walks.append(make.run(turns, id=f"t{number}", answer=answer))
    write_records(tmp_path / "trajectories.jsonl", walks)
    record_asked(tmp_path, [TASK])
    grade_run(tmp_path)
    judge_run(tmp_path)
    return tmp_path


def fill(path, verdict):
    """Writes ``verdict(item, shown text)`` into every row."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        head, *rows = csv.reader(stream)
    for row in rows:
        row[-2] = verdict(row[0], row[3])
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        csv.writer(stream).writerows([head, *rows])


def test_sheets_hold_what_the_judges_read_and_not_what_they_said(folder):
    assert write_sheets(folder, size=16) == {folder / "sheet-answers.csv": 16, folder / "sheet-browses.csv": 16}
    with (folder / "sheet-answers.csv").open(encoding="utf-8-sig", newline="") as stream:
        _, *rows = csv.reader(stream)
    assert {(row[1], row[2]) for row in rows} == {("?", "Paris\n=Lutetia")}
    assert sorted(row[3].split()[-1] for row in rows) == ["Paris"] * 8 + ["Rome"] * 8
    assert {row[4] for row in rows} == {""}
    with (folder / "sheet-browses.csv").open(encoding="utf-8-sig", newline="") as stream:
        _, *rows = csv.reader(stream)
    # two browses of one turn are one opinion, so one row
    assert len({row[0] for row in rows}) == 16
    assert {row[3] for row in rows} == {"This page is unrelated.", "It says that he was born in Paris."}


def test_a_sheet_is_drawn_over_the_judge_named(folder):
    with Store(folder / "grades.jsonl", Grade) as store:
        store.append(Grade(trajectory_id="t0", state="incorrect", judge="other"))
    assert write_sheets(folder, {"answers": "other"}) == {folder / "sheet-answers.csv": 1}
    assert [row.key for row in read_sheet(folder / "sheet-answers.csv")] == ["answer:t0"]
    with pytest.raises(InputError, match="nothing that a judge decided"):
        write_sheets(folder, {"browses": "nobody"})


def test_agreement_is_weighted_back_to_the_run(folder):
    write_sheets(folder, size=20)
    sheet = folder / "sheet-answers.csv"
    # the person finds half of the judge's wrong ones right, and agrees on all else
    wrong = sorted(row.key for row in read_sheet(sheet) if int(row.key.removeprefix("answer:t")) >= 90)
    assert len(wrong) == 10
    fill(sheet, lambda item, text: "correct" if "Paris" in text or item in wrong[:5] else "incorrect")
    [found] = check_judges(folder, sheet)
    assert (found.items, found.empty, found.undecided) == (20, 0, 0)
    assert found.counts == {
        "correct": {"correct": 10, "incorrect": 0},
        "incorrect": {"correct": 5, "incorrect": 5},
    }
    assert found.agreement_in_sheet == 0.75
    assert found.agreement == pytest.approx(95 / 100)
    assert found.kappa_in_sheet == pytest.approx(0.5)
    # as if all one hundred had been filled so
    judge = ["c"] * 90 + ["i"] * 10
    person = ["c"] * 95 + ["i"] * 5
    assert found.kappa == pytest.approx(cohen_kappa_score(judge, person))
    assert found.kappa_low < found.kappa < found.kappa_high
    assert check_judges(folder, sheet) == [found]
    assert [row.key for row in found.differences] == [r.key for r in read_sheet(sheet) if r.key in wrong[:5]]
    assert {row.verdict for row in found.differences} == {"correct"}
    assert {tuple(row.cells[2:]) for row in agreement_tables([found])[1].rows} == {("incorrect", "correct")}


def test_weights_are_of_the_filled_rows_when_some_stay_empty(folder):
    write_sheets(folder, size=20)
    sheet = folder / "sheet-answers.csv"
    right = sorted(row.key for row in read_sheet(sheet) if int(row.key.removeprefix("answer:t")) < 90)
    # of ten right ones five are empty and one is disputed: it stands for eighteen of the run
    said = dict.fromkeys(right[:5], "") | {right[5]: "incorrect"}
    fill(sheet, lambda item, text: said.get(item, "correct" if "Paris" in text else "incorrect"))
    [found] = check_judges(folder, sheet)
    assert (found.items, found.empty) == (15, 5)
    assert found.agreement == pytest.approx(82 / 100)


def test_every_judge_of_the_run_stands_beside_the_person(folder):
    write_sheets(folder, size=20)
    sheet = folder / "sheet-answers.csv"
    fill(sheet, lambda _, text: "correct" if "Paris" in text else "incorrect")
    drawn = [row.key.removeprefix("answer:") for row in read_sheet(sheet)]
    with Store(folder / "grades.jsonl", Grade) as store:
        for name in drawn[:-1]:
            store.append(Grade(trajectory_id=name, state="correct", judge="lenient"))
        store.append(Grade(trajectory_id=drawn[-1], state="ungraded", judge="lenient"))
    found = {agreement.judge: agreement for agreement in check_judges(folder, sheet)}
    assert found["match:4"].kappa == 1.0
    assert (found["lenient"].items, found["lenient"].undecided) == (19, 1)
    assert found["lenient"].kappa == pytest.approx(0.0)
    head, differing = agreement_tables(list(found.values()))
    assert differing.title == "where lenient differs"
    assert head.columns == ["", "lenient", "match:4"]
    assert ["agreement", "100.0 % [100.0 %]"] in [[row.cells[0], row.cells[2]] for row in head.rows]


def test_kappa_of_one_verdict_alone_is_undefined(folder):
    write_sheets(folder, size=20)
    sheet = folder / "sheet-browses.csv"
    fill(sheet, lambda _, text: "relevant" if "born" in text else "")
    [found] = check_judges(folder, sheet)
    assert (found.agreement, found.kappa, found.kappa_low) == (1.0, None, None)
    assert agreement_tables([found])


def test_sheets_that_do_not_fit_the_run_are_refused(folder):
    write_sheets(folder, size=4)
    sheet = folder / "sheet-answers.csv"
    with pytest.raises(InputError, match="has no verdicts"):
        check_judges(folder, sheet)
    text = sheet.read_text("utf-8-sig")
    key = next(read_sheet(sheet)).key
    sheet.write_text(text.replace(f"{key},", "answer:t999,"))
    with pytest.raises(RecordError, match=r"line 2: row 2: answer:t999 is no item"):
        check_judges(folder, sheet)
    sheet.write_text(text.replace("match:4", "match:1"))
    with pytest.raises(InputError, match="drawn over match:1, which did not judge this run"):
        check_judges(folder, sheet)
    sheet.write_text(text + text.partition("\n")[2])
    with pytest.raises(RecordError, match=r"row 6 is .* as row 2 is; delete one"):
        check_judges(folder, sheet)
    browses = (folder / "sheet-browses.csv").read_text("utf-8-sig").partition("\n")[2]
    sheet.write_text(text + browses)
    with pytest.raises(InputError, match="both answers and browses"):
        check_judges(folder, sheet)
