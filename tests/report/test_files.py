import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.errors import InputError
from lrat_sim.report import write_report
from lrat_sim.report.colours import ARMS, INK, MUTED, PAPER, Looks, themed
from lrat_sim.report.figure import add_legend, draw
from lrat_sim.report.runs import recall_by_turn, steps_of
from lrat_sim.report.table import Column, Group, Row, Table, escaped, to_csv, to_latex

SPECIAL = re.compile(r"(?<!\\)[&%#_~^<>|\"]|(?<!\\)\$(?!-\$|\\pm\$)(?<!-\$)(?<!\\pm\$)")


def balance(text):
    """The depth of braces at the end; -1 where one closes before it opens."""
    depth = 0
    for brace in re.findall(r"\\.|[{}]", text, re.DOTALL):
        depth += (brace == "{") - (brace == "}")
        if depth < 0:
            return -1
    return depth


def cells(line):
    return re.split(r"(?<!\\)&", line)


def tabular(latex):
    """Rows of the table, without rules and headings of groups."""
    inside = latex.split(r"\toprule")[1].split(r"\bottomrule")[0]
    return [line for line in inside.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]


@settings(deadline=None)
@given(st.text())
def test_latex_escapes_every_text(text):
    shown = escaped(text)
    assert balance(shown) == 0
    assert not SPECIAL.search(shown)
    assert "\n" not in shown
    assert not re.search(r"\\(?![&%$#_{}]|text|char34|pm|ldots)", shown)


@settings(deadline=None)
@given(st.lists(st.text(), min_size=3, max_size=3), st.text(), st.text())
def test_latex_table_keeps_its_columns_whatever_it_holds(row, title, caption):
    table = Table(
        slug="t", caption=caption, columns=[Column("a", number=False), Column("b"), Column("c & d")], records=[],
        groups=[Group(rows=[Row(cells=row, strong=[1])], title=title)], notes=[title],
    )  # fmt: skip
    latex = to_latex(table)
    assert balance(latex) == 0
    assert all(len(cells(line)) == 3 for line in tabular(latex))


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


def test_latex_of_a_report_is_well_formed(flown):
    files = sorted(flown[1].glob("*.tex"))
    assert {path.stem for path in files} >= {"means", "differences", "other-pairs", "rounds", "collected", "mined"}
    for path in files:
        latex = path.read_text(encoding="utf-8")
        assert balance(latex) == 0
        for environment in ("table", "tabular"):
            assert latex.count(rf"\begin{{{environment}}}") == latex.count(rf"\end{{{environment}}}") == 1
        columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", latex)[1]
        rows = tabular(latex)
        assert len(rows) > 1
        assert {len(cells(row)) for row in rows} == {len(columns)}
        assert [latex.index(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == sorted(
            latex.index(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")
        )


def test_csv_keeps_every_digit_and_leaves_the_unknown_empty():
    assert to_csv([{"a": 1 / 3, "b": None}, {"a": 'x,"y', "c": 2}]) == 'a,b,c\n0.3333333333333333,,\n"x,""y",,2\n'


def test_drawings_are_for_any_program(flown):
    """The files hold plain colours, the page variables in their place."""
    for path in flown[1].glob("*.svg"):
        assert "var(" not in path.read_text(encoding="utf-8")
    drawn = "".join(re.findall(r"<svg.*?</svg>", flown[0], re.DOTALL))
    assert "var(--ink)" in drawn
    assert not re.search(r"#[0-9a-f]{6}", drawn)
    assert "<text" in drawn


def test_legend_names_every_arm(tmp_path, words):
    """Also those that matplotlib would hide, or read as mathematics."""
    names = ["_hidden", "$x_1$ & <b>", "a name that goes on and on and on"]

    def paint(figure):
        axes = figure.add_subplot()
        add_legend(figure, [axes.plot([number, 1])[0] for number in range(3)], names)

    (tmp_path / "plot.svg").write_text(draw("plot", "t\x00", "d\x1b", paint, []).file, encoding="utf-8")
    assert {"_hidden", "$x_1$ & <b>", "a name that goes on and o…"} <= {*words(tmp_path / "plot.svg")}


def test_recall_by_turn_is_the_mean_over_samples_then_tasks(run_folder):
    first = run_folder("first", {"x": [[["a"], [], ["b"]], [["c"]]], "y": [[["a", "b"]]], "z": []})
    curve = recall_by_turn([first])
    # x: the samples 1/2, 1/2, 1 and 0; y: 1; z was never run
    assert curve.tasks == 3
    assert curve.means == pytest.approx([1.25 / 3, 1.25 / 3, 1.5 / 3])
    second = run_folder("second", {"x": [[["a", "b"]]], "y": [[["c"]]], "z": [[["a"]]]})
    both = recall_by_turn([first, second])
    assert both.means[-1] == pytest.approx(((0.5 + 1) / 2 + (1 + 0) / 2 + (0 + 0.5) / 2) / 3)
    assert recall_by_turn([first, second], {"y"}).means == pytest.approx([0.5])


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


def test_colours_stand_out_from_the_page_and_from_one_another():
    for light in (True, False):
        shown = [_rgb(colour.light if light else colour.dark) for colour in (PAPER, INK, MUTED, *ARMS)]
        paper, ink, muted, *arms = shown
        assert _contrast(paper, ink) > 7
        assert _contrast(paper, muted) > 4.5
        assert all(_contrast(paper, arm) >= 3 for arm in arms)
        for cones in CONES:
            seen = [_lab(cones @ arm) for arm in arms]
            assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15


# Machado, Oliveira and Fernandes (2009), full severity: no cone lacking, no red, green, blue one
CONES = np.array(
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ]
)


def _rgb(text):
    values = np.array([int(text[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _contrast(one, other):
    light, dark = sorted((float(colour @ [0.2126, 0.7152, 0.0722]) for colour in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _lab(rgb):
    white = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.array(white) @ np.clip(rgb, 0, 1) / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_more_arms_than_colours_still_look_different():
    looks = Looks(f"arm {number}" for number in range(20))
    assert len({looks.of(f"arm {number}") for number in range(20)}) == 20
    assert looks.of("arm 3") == Looks(["arm 0", "arm 1", "arm 2", "arm 3"]).of("arm 3")


def test_only_colours_of_the_report_become_variables():
    assert themed(f"fill: {ARMS[2].light}; stroke: #123456") == "fill: var(--arm-3); stroke: #123456"
