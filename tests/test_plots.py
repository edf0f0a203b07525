import itertools
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.colours import ARMS, INK, MUTED, PAPER, Looks
from lrat_sim.plots import Across, Axis, Bars, Line, Note, Panel, Plot, noise_interval, round_ticks, stairs

SVG = "{http://www.w3.org/2000/svg}"
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False, allow_subnormal=False)


def plot(*marks, **panel):
    return Plot(slug="p", title="t", description="d", panels=[Panel(marks=marks, **panel)])


def texts(drawn):
    return ["".join(each.itertext()) for each in ElementTree.fromstring(drawn.to_svg()).iter(f"{SVG}text")]


def circles(drawn):
    return [(float(each.get("cx")), float(each.get("cy")))
            for each in ElementTree.fromstring(drawn.to_svg()).iter(f"{SVG}circle")]  # fmt: skip


@given(NUMBERS, NUMBERS)
def test_ticks_are_few_round_numbers_around_what_is_drawn(one, other):
    low, high = sorted((one, other))
    ticks = round_ticks(low, high)
    step = ticks[1] - ticks[0]
    assert 2 <= len(ticks) <= 7
    assert ticks[0] <= low + 1e-6 * step
    assert ticks[-1] >= high - 1e-6 * step
    assert step / 10 ** math.floor(math.log10(step) + 1e-6) == pytest.approx(min((1, 2, 5), key=lambda digit: abs(
        step / 10 ** math.floor(math.log10(step) + 1e-6) - digit)), rel=1e-3)  # fmt: skip


def test_ticks_of_counts_are_whole():
    assert round_ticks(0, 2, whole=True) == [0, 1, 2]
    assert round_ticks(0, 23, whole=True) == [0, 5, 10, 15, 20, 25]


def test_points_lie_where_their_axes_have_them():
    drawn = plot(
        Line(colour=INK, marker="circle", points=[(0, 0.0), (1, 0.5), (2, 1.0)]),
        y=Axis(percent=True),
        x=Axis(whole=True),
    )
    (x0, y0), (x1, y1), (x2, y2) = circles(drawn)
    assert x0 < x1 < x2
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 > y1 > y2
    assert {"0 %", "20 %", "100 %"} <= {*texts(drawn)}


def test_logarithmic_axis_sets_equal_ratios_equally_apart():
    drawn = plot(Line(colour=INK, marker="circle", points=[(10, 1), (100, 1), (1000, 1)]), x=Axis(log=True))
    (a, _), (b, _), (c, _) = circles(drawn)
    assert b - a == pytest.approx(c - b, abs=0.2)
    assert {"10", "100", "1,000"} <= {*texts(drawn)}


@settings(deadline=None)
@given(st.text(), st.text(max_size=40), NUMBERS)
def test_drawing_is_one_well_formed_picture_whatever_it_is_called_and_holds(name, label, value):
    marks = [
        Line(colour=ARMS[0], name=name, marker="plus", points=[(value, 1)], intervals=[(0.5, 1.5)]),
        Bars(colour=ARMS[1], name="bars", boxes=[(value, value + 1, 0, 1)]),
        Across(at=0.5, colour=INK, text=name),
        Note(colour=INK, at=(value, 1), text=label),
    ]
    panel = Panel(marks=marks, title=label, x=Axis(label=label), y=Axis(ticks={0.0: name}))
    drawn = Plot(slug="p", title=name, description=label, panels=[panel])
    root = ElementTree.fromstring(drawn.to_svg())
    assert root.find(f"{SVG}title").text is not None or not name
    assert {element.tag for element in root.iter()} <= {
        SVG + tag for tag in ("svg", "title", "desc", "rect", "text", "tspan", "path", "polygon", "circle")
    }
    assert not re.search(r"nan|inf", " ".join(each.get("points", "") + each.get("d", "") for each in root.iter()))


def test_page_has_the_variables_of_its_theme_and_a_file_plain_colours():
    drawn = plot(Line(colour=ARMS[2], marker="square", points=[(0, 0), (1, 1)], dashes="6 3", name="a"))
    page, file = drawn.to_svg(page=True), drawn.to_svg()
    assert "var(--arm-3)" in page
    assert not re.search(r"#[0-9a-f]{6}", page)
    assert "var(" not in file
    assert ARMS[2].light in file
    assert PAPER.light in file


def test_legend_names_every_series_once_and_keeps_both_ends_of_long_ones():
    names = ["_hidden", "$x_1$ & <b>", "a name that goes on and on and on 2"]
    marks = [Line(colour=INK, points=[(0, 0), (1, 1)], name=name) for name in names]
    shown = texts(Plot(slug="p", title="t\x00", description="d\x1b", panels=[Panel(marks=marks), Panel(marks=marks)]))
    assert [shown.count(name) for name in ("_hidden", "$x_1$ & <b>", "a name that … on and on 2")] == [1, 1, 1]


def test_intervals_are_bars_or_a_band_and_nothing_where_they_have_no_width():
    def paths(**given):
        drawn = plot(Line(colour=ARMS[0], points=[(0, 1), (1, 2)], joined=False, **given)).to_svg()
        return drawn.count(f'stroke="{ARMS[0].light}"'), drawn.count("fill-opacity")

    assert paths(intervals=[(0.5, 1.5), (2, 2)]) == (3, 0)  # a bar with two caps
    assert paths(intervals=[(0.5, 1.5), (2, 2)], band=True) == (0, 1)
    assert paths() == (0, 0)


def test_noise_stays_within_what_a_share_can_be():
    assert noise_interval(0.5, 0.1) == pytest.approx((0.304, 0.696))
    assert noise_interval(0.99, 0.1)[1] == 1.0
    assert noise_interval(0.25, None) == (0.25, 0.25)


def test_stairs_outline_a_histogram():
    assert stairs([0, 1, 3], [2, 4]) == [(0, 0), (0, 2), (1, 2), (1, 4), (3, 4), (3, 0)]


def test_tick_that_would_cover_its_neighbour_is_left_out():
    ticks = {0.0: "a long text", 0.01: "another long text", 1.0: "end"}
    assert "another long text" not in texts(plot(Line(colour=INK, points=[(0, 0)]), x=Axis(ticks=ticks)))


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
