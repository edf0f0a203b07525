from __future__ import annotations

import csv
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from lrat_sim.artifact import Store, write_records
from lrat_sim.errors import InputError, RecordError
from lrat_sim.grading.agreement import agreement_tables, check_judges
from lrat_sim.grading.run import grade_run, judge_run
from lrat_sim.grading.sheet import draw, read_sheet, write_sheet, write_sheets
from lrat_sim.records import Grade, Task
from lrat_sim.rollout.index import record_asked
from lrat_sim.tables import escape_formula, unescape_formula


def items(correct, incorrect, ungraded=0):
    states = ["correct"] * correct + ["incorrect"] * incorrect + ["ungraded"] * ungraded
    return {f"answer:t{number}": state for number, state in enumerate(states)}


def rows(count):
    return [(f"answer:t{number}", "?", "Paris", "r") for number in range(count)]


@pytest.mark.parametrize(
    ("correct", "incorrect", "size", "drawn"),
    [(100, 100, 50, (25, 25)), (3, 100, 50, (3, 47)), (100, 4, 51, (47, 4)), (5, 2, 50, (5, 2)), (9, 9, 1, (1, 0))],
)
def test_both_verdicts_are_drawn_as_far_as_there_are(correct, incorrect, size, drawn):
    pool = items(correct, incorrect, ungraded=5)
    keys = draw(pool, "answers", size, seed=0)
    counts = Counter(pool[key] for key in keys)
    assert (counts["correct"], counts["incorrect"]) == drawn
    assert len(set(keys)) == sum(drawn)


def test_a_draw_hangs_on_the_seed_and_not_on_the_order():
    pool = items(40, 40)
    assert draw(pool, "answers", 20, seed=1) == draw(dict(reversed(pool.items())), "answers", 20, seed=1)
    assert draw(pool, "answers", 20, seed=1) != draw(pool, "answers", 20, seed=2)
    states = [pool[key] for key in draw(pool, "answers", 40, seed=1)]
    assert len(set(states[:20])) == 2  # not one verdict first


def test_every_item_has_the_same_chance():
    drawn = Counter(key for seed in range(300) for key in draw(items(10, 10), "answers", 10, seed))
    assert len(drawn) == 20
    assert all(100 < count < 200 for count in drawn.values())


MARKS = st.sampled_from(["=", "+", "-", "@", "'", "''", "\t", "＝"])


@given(st.text(max_size=8) | st.builds(str.__add__, MARKS, st.text()))
def test_no_cell_is_a_formula_and_each_reads_back_equal(cell):
    shown = escape_formula(cell)
    assert not shown.startswith(("=", "+", "-", "@", "\t", "\r", "＝")) or float(shown) is not None, (
        "a number stays one"
    )
    assert unescape_formula(escape_formula(cell)) == cell


def rows_of(path):
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.reader(stream))


def test_a_sheet_is_blind_and_opens_in_a_spreadsheet(tmp_path):
    path = tmp_path / "sheet.csv"
    attack = ("answer:=1", "=cmd|' /C calc'!A0", "Köln", "x" * 40_000)
    assert write_sheet(path, "answers", [attack], "rules:1") == 1
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    head, row = rows_of(path)
    assert head[-2:] == ["verdict (correct or incorrect)", "drawn by"]
    assert row[:3] == ["answer:=1", "'=cmd|' /C calc'!A0", "Köln"]
    assert (row[-2], row[-1]) == ("", "rules:1")
    assert len(row[3]) < 32_767
    assert "10,000 characters more" in row[3]
    assert "incorrect" not in "".join(row)


def fill(path, verdict, separator=",", end="\n"):
    """Saves a sheet as a spreadsheet program does after a person wrote ``verdict(item, shown text)`` into its rows."""
    head, *rows = rows_of(path)
    for row in rows:
        row[-2] = verdict(row[0], row[3])
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        csv.writer(stream, delimiter=separator, lineterminator=end).writerows([head, *rows])


@pytest.mark.parametrize(("separator", "end"), [(",", "\r\n"), (";", "\r\n"), ("\t", "\n")])
def test_a_filled_sheet_is_read_as_spreadsheets_save_it(tmp_path, separator, end):
    path = tmp_path / "sheet.csv"
    write_sheet(path, "answers", [(f"answer:-t;{n}", "a\nb;c", "1,5", "-") for n in range(3)], "m:1")
    verdicts = {"answer:-t;0": " Correct ", "answer:-t;1": "", "answer:-t;2": "INCORRECT"}
    fill(path, lambda item, _: verdicts[item], separator, end)
    found = list(read_sheet(path, "answers"))
    assert [(row.row, row.key, row.verdict) for row in found] == [
        (2, "answer:-t;0", "correct"),
        (3, "answer:-t;1", None),
        (4, "answer:-t;2", "incorrect"),
    ]
    assert [row.line for row in found] == [2, 4, 6]  # each question holds a line break
    assert {row.judge for row in found} == {"m:1"}


def test_wrong_cells_are_named_by_line_and_row(tmp_path):
    path = tmp_path / "sheet.csv"
    write_sheet(path, "answers", [(f"answer:t{n}", "a\nb", "", "") for n in range(2)], "m:1")
    fill(path, lambda item, _: {"answer:t0": "correct"}.get(item, "maybe"))
    with pytest.raises(RecordError, match=r"line 4: row 3: the verdict on answer:t1 is 'maybe'; write correct or"):
        list(read_sheet(path))
    fill(path, lambda *_: "relevant")
    with pytest.raises(RecordError, match="write correct or incorrect"):
        list(read_sheet(path))
    fill(path, lambda *_: "")
    with pytest.raises(RecordError, match="not one of a sheet of browses"):
        list(read_sheet(path, "browses"))
    path.write_text(path.read_text("utf-8-sig").replace("answer:t1", "12"))
    with pytest.raises(RecordError, match="'12', which is not an item of a sheet"):
        list(read_sheet(path))


def test_what_is_no_sheet_is_refused(tmp_path):
    path = tmp_path / "sheet.csv"
    with pytest.raises(InputError, match="cannot be read"):
        list(read_sheet(path))
    path.write_text("a,b\n1,2\n")
    with pytest.raises(RecordError, match="`item` is missing"):
        list(read_sheet(path))
    path.write_bytes("item,verdict,drawn by\nanswer:t,,Köln".encode("latin-1"))
    with pytest.raises(InputError, match="CSV UTF-8"):
        list(read_sheet(path))
    with pytest.raises(InputError, match="sheet of 0"):
        draw({}, "answers", 0, 0)


def test_a_filled_sheet_is_never_overwritten(tmp_path):
    path = tmp_path / "sheet.csv"
    write_sheet(path, "answers", rows(2), "m:1")
    write_sheet(path, "answers", rows(1), "m:1")  # empty: nothing is lost
    fill(path, lambda *_: "correct")
    with pytest.raises(InputError, match="holds 1 verdicts"):
        write_sheet(path, "answers", rows(2), "m:1")
    assert [row.verdict for row in read_sheet(path)] == ["correct"]


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


def test_sheets_hold_what_the_judges_read_and_not_what_they_said(folder):
    assert write_sheets(folder, size=16) == {folder / "sheet-answers.csv": 16, folder / "sheet-browses.csv": 16}
    _, *rows = rows_of(folder / "sheet-answers.csv")
    assert {(row[1], row[2]) for row in rows} == {("?", "Paris\n=Lutetia")}
    assert sorted(row[3].split()[-1] for row in rows) == ["Paris"] * 8 + ["Rome"] * 8
    assert {row[4] for row in rows} == {""}
    _, *rows = rows_of(folder / "sheet-browses.csv")
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
