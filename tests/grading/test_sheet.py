from __future__ import annotations

import csv
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrat_sim.errors import InputError, RecordError
from lrat_sim.grading.sheet import Item, draw, read_sheet, write_sheet
from lrat_sim.spreadsheet import escape_formula, unescape_formula


def items(correct, incorrect, ungraded=0):
    states = ["correct"] * correct + ["incorrect"] * incorrect + ["ungraded"] * ungraded
    return [Item(key=f"answer:t{n}", state=state, shown=("?", "Paris", f"r{n}")) for n, state in enumerate(states)]


@pytest.mark.parametrize(
    ("correct", "incorrect", "size", "drawn"),
    [(100, 100, 50, (25, 25)), (3, 100, 50, (3, 47)), (100, 4, 51, (47, 4)), (5, 2, 50, (5, 2)), (9, 9, 1, (1, 0))],
)
def test_both_verdicts_are_drawn_as_far_as_there_are(correct, incorrect, size, drawn):
    found = draw(items(correct, incorrect, ungraded=5), size, seed=0)
    counts = Counter(item.state for item in found)
    assert (counts["correct"], counts["incorrect"]) == drawn
    assert len({item.key for item in found}) == sum(drawn)


def test_a_draw_hangs_on_the_seed_and_not_on_the_order():
    pool = items(40, 40)
    assert draw(pool, 20, seed=1) == draw(pool[::-1], 20, seed=1)
    assert draw(pool, 20, seed=1) != draw(pool, 20, seed=2)
    states = [item.state for item in draw(pool, 40, seed=1)]
    assert len(set(states[:20])) == 2  # not one verdict first


def test_every_item_has_the_same_chance():
    drawn = Counter(item.key for seed in range(300) for item in draw(items(10, 10), 10, seed))
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
    attack = Item(key="answer:=1", state="incorrect", shown=("=cmd|' /C calc'!A0", "Köln", "x" * 40_000))
    assert write_sheet(path, "answers", [attack], "rules:1") == 1
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    head, row = rows_of(path)
    assert head[-2:] == ["verdict (correct or incorrect)", "drawn by"]
    assert row[:3] == ["answer:=1", "'=cmd|' /C calc'!A0", "Köln"]
    assert (row[-2], row[-1]) == ("", "rules:1")
    assert len(row[3]) < 32_767
    assert "10,000 characters more" in row[3]
    assert "incorrect" not in "".join(row)


def filled(path, verdicts, separator=",", end="\n"):
    """A sheet as a spreadsheet program saves it after a person wrote into it."""
    head, *rows = rows_of(path)
    for row, verdict in zip(rows, verdicts, strict=True):
        row[-2] = verdict
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        csv.writer(stream, delimiter=separator, lineterminator=end).writerows([head, *rows])


@pytest.mark.parametrize(("separator", "end"), [(",", "\r\n"), (";", "\r\n"), ("\t", "\n")])
def test_a_filled_sheet_is_read_as_spreadsheets_save_it(tmp_path, separator, end):
    path = tmp_path / "sheet.csv"
    rows = [Item(key=f"answer:-t;{n}", state="correct", shown=("a\nb;c", "1,5", "-")) for n in range(3)]
    write_sheet(path, "answers", rows, "m:1")
    filled(path, [" Correct ", "", "INCORRECT"], separator, end)
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
    rows = [Item(key=f"answer:t{n}", state="correct", shown=("a\nb", "", "")) for n in range(2)]
    write_sheet(path, "answers", rows, "m:1")
    filled(path, ["correct", "maybe"])
    with pytest.raises(RecordError, match=r"line 4: row 3: the verdict on answer:t1 is 'maybe'; write correct or"):
        list(read_sheet(path))
    filled(path, ["correct", "relevant"])
    with pytest.raises(RecordError, match="write correct or incorrect"):
        list(read_sheet(path))
    filled(path, ["", ""])
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
        draw([], 0, 0)


def test_a_filled_sheet_is_never_overwritten(tmp_path):
    path = tmp_path / "sheet.csv"
    write_sheet(path, "answers", items(2, 0), "m:1")
    write_sheet(path, "answers", items(1, 0), "m:1")  # empty: nothing is lost
    filled(path, ["correct"])
    with pytest.raises(InputError, match="holds 1 verdicts"):
        write_sheet(path, "answers", items(2, 0), "m:1")
    assert [row.verdict for row in read_sheet(path)] == ["correct"]
