import csv
import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim import tables
from lrat_sim.progress import Screen
from lrat_sim.tables import Group, Row, Table

TABLE = Table(
    title="success & steps",
    columns=["retriever", "success,\n%", "steps"],
    groups=[
        Group([Row(["bm25", "31.0", "9.4"]), Row(["<b>mine</b>", "44.0", "−1.2"], strong=[1])], title="k = 5"),
        Group([Row(["a|b_c", tables.NONE, "1"])]),
    ],
    notes=["95 % by task"],
    records=[{"arm": "bm25", "success": 0.31}, {"arm": "=mine", "success": None, "more": 1}],
    slug="t",
)


def test_terminal_shows_every_cell_title_and_note():
    screen = Screen(width=60, record=True, file=io.StringIO())
    screen.print(TABLE.to_terminal())
    shown = screen.export_text()
    for text in ("success & steps", "retriever", "k = 5", "<b>mine</b>", "44.0", "a|b_c", "95 % by task"):
        assert text in shown


def test_terminal_leaves_out_wide_columns_and_breaks_the_headings_of_numbers():
    table = Table.of("t", ["name of arm", "first value", "left out"], [["x", "1", "nowhere"]], wide_columns=(2,))
    screen = Screen(width=60, record=True, file=io.StringIO())
    screen.print(table.to_terminal())
    lines = [line.strip() for line in screen.export_text().splitlines()]
    assert lines[1:3] == ["first", "name of arm  value"]
    assert "nowhere" not in " ".join(lines)


def test_markdown_is_a_pipe_table_in_which_every_row_has_every_column():
    lines = [line for line in TABLE.to_markdown().splitlines() if line.startswith("|")]
    assert lines[1] == "| --- | ---: | ---: |"
    assert lines[4] == "| <b>mine</b> | **44.0** | −1.2 |"
    assert lines[5] == r"| a\|b_c | – | 1 |"


def test_html_escapes_texts_and_marks_numbers_and_strong_cells():
    written = TABLE.to_html()
    assert '<th scope="row" class="short"><bdi>&lt;b&gt;mine&lt;/b&gt;</bdi></th>' in written
    assert '<td class="number"><strong>44.0</strong></td>' in written
    assert '<tr class="group"><th scope="rowgroup" colspan="3"><span><bdi>k = 5</bdi></span></th></tr>' in written
    assert "success,<br>%" in written


def test_csv_has_the_records_as_computed_and_no_formula():
    assert tables.records_csv([{"a": 1 / 3}]) == "a\n0.3333333333333333\n"
    rows = list(csv.reader(io.StringIO(TABLE.to_csv())))
    assert rows == [["arm", "success", "more"], ["bm25", "0.31", ""], ["'=mine", "", "1"]]


def test_csv_without_records_has_the_cells():
    assert Table.of("t", ["a", "b"], [["x", "1"]]).to_csv() == "a,b\nx,1\n"


def test_latex_escapes_and_has_the_rules():
    written = TABLE.to_latex()
    assert r"\caption{success \& steps}" in written
    assert r"\multicolumn{3}{l}{\textbf{k = 5}} \\" in written
    assert r"\textless{}b\textgreater{}mine" in written
    assert r"& \textbf{44.0} & $-$1.2 \\" in written
    assert written.count(r"\midrule") == 2


SPECIAL = re.compile(r"(?<!\\)[&%#_~^<>|\"]|(?<!\\)\$(?!-\$|\\pm\$)(?<!-\$)(?<!\\pm\$)")


def balance(text):
    """The depth of braces at the end; -1 where one closes before it opens."""
    depth = 0
    for brace in re.findall(r"\\.|[{}]", text, re.DOTALL):
        depth += (brace == "{") - (brace == "}")
        if depth < 0:
            return -1
    return depth


@settings(deadline=None)
@given(st.text())
def test_latex_escapes_every_text(text):
    shown = tables.escape_latex(text)
    assert balance(shown) == 0
    assert not SPECIAL.search(shown)
    assert "\n" not in shown
    assert not re.search(r"\\(?![&%$#_{}]|text|char34|pm|ldots)", shown)


@settings(deadline=None)
@given(st.lists(st.text(), min_size=3, max_size=3), st.text(), st.text())
def test_latex_table_keeps_its_columns_whatever_it_holds(row, title, caption):
    table = Table(
        title=caption, columns=["a", "b", "c & d"], groups=[Group([Row(row, strong=[1])], title)], notes=[title]
    )
    latex = table.to_latex()
    assert balance(latex) == 0
    inside = latex.split(r"\toprule")[1].split(r"\bottomrule")[0].splitlines()
    lines = [line for line in inside if line.endswith(r"\\") and "multicolumn" not in line]
    assert [len(re.split(r"(?<!\\)&", line)) for line in lines] == [3, 3]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (tables.number(1234.56), "1,234.6"),
        (tables.number(-0.04), "0.0"),
        (tables.number(0.031, scale=100, sign=True), "+3.1"),
        (tables.number(-0.031, scale=100, sign=True), "−3.1"),
        (tables.number(None), "–"),
        (tables.percent(0.4375), "43.8 %"),
        (tables.interval(-0.01, 0.2, scale=100), "−1.0 to 20.0"),
        (tables.interval(None, 2.0), "no bound to 2.0"),
        (tables.interval(None, None), "–"),
        (tables.with_interval(0.44, 0.391, 0.489, scale=100), "44.0 (39.1 to 48.9)"),
        (tables.with_interval(0.44, None, None), "0.4"),
        (tables.noise(0.025, scale=100), "±4.9"),
        (tables.p_value(0.0004), "<.001"),
        (tables.p_value(0.0312), ".031"),
        (tables.p_value(1.0), "1"),
        (tables.dollars(None), "unknown"),
        (tables.dollars(0.0123), "$0.0123"),
        (tables.dollars(12345.6), "$12,345.60"),
    ],
)
def test_numbers_are_formatted_one_way(shown, expected):
    assert shown == expected


FORMULAS = ("=A1", "=cmd|' /C calc'!A0", "+A1", "-A1+1", "@SUM(A1)", "\t=A1", "\r=A1", "\n=A1", " =A1", "＝A1", "－A1")


@pytest.mark.parametrize("cell", [*FORMULAS, "'=A1", "-", '=1,2"x'])
def test_text_that_could_be_a_formula_begins_with_an_apostrophe(cell):
    text = tables.csv_text([("head", cell, "x")])
    ((head, written, after),) = csv.reader(io.StringIO(text, newline=""))
    assert (head, after) == ("head", "x")
    assert written == f"'{cell}"
    assert tables.unescape_formula(written) == cell


@pytest.mark.parametrize(
    "cell", ["-3.5", "+4", "-1e-7", "text", "a=b", "1-2", "", " spaced", "'quoted'", "Ö-x", "5 - 3"]
)
def test_numbers_and_plain_texts_stay_as_they_are(cell):
    if cell != "'quoted'":
        assert tables.escape_formula(cell) == cell
    assert tables.unescape_formula(tables.escape_formula(cell)) == cell


def test_numbers_are_written_as_computed_and_none_as_nothing():
    assert tables.csv_text([("a", "b"), (-3.5, None), (-0.1 + 0.3, True)]) == f"a,b\n-3.5,\n{-0.1 + 0.3!r},True\n"


def test_long_title_of_a_group_stands_above_its_rows_and_columns_stay_aligned():
    values = {"bm25": "31.0", "oracle": "97.5"}
    rows = [Group([Row([*row])], title=f"simulated-{row[0]} on world, test, 15 tasks") for row in values.items()]
    table = Table(title="Success", columns=["retriever", "%"], groups=rows)
    console = Screen(width=60, record=True, file=io.StringIO())
    console.print(table.to_terminal())
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert [line for line in lines if "on world" in line] == [group.title for group in rows]
    assert len({len(line) for line in lines if line.startswith(("bm25", "oracle"))}) == 1
