"""The page in a real browser."""

from contextlib import contextmanager

import pytest

pytestmark = pytest.mark.usefixtures("flown")

WIDE, NARROW = 1200, 360


@contextmanager
def opened(chromium, path, **context):
    """The page, and all that went wrong in it or that it asked for."""
    trouble, asked = [], []
    with chromium.new_context(**context) as session:
        page = session.new_page()
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        yield page, trouble, asked


@pytest.fixture
def written(hostile, page, tmp_path):
    page(hostile, tmp_path)
    return tmp_path / "report.html"


def colours(page):
    """Of the page, its text, and the labels of a plot."""
    return page.evaluate(
        """() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,
        getComputedStyle(document.querySelector('svg text')).fill]"""
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_opens_without_an_error_or_a_request(chromium, written, scheme):
    with opened(chromium, written, color_scheme=scheme) as (page, trouble, asked):
        assert page.title().startswith("Retrievers compared")
        assert page.locator("svg").count() > 0
        assert page.locator("details summary").first.is_visible()
    assert trouble == []
    assert asked == [written.as_uri()]


def test_page_and_plots_follow_the_colour_scheme(chromium, written):
    seen = {}
    for scheme in ("light", "dark"):
        with opened(chromium, written, color_scheme=scheme) as (page, _, _):
            seen[scheme] = colours(page)
            page.emulate_media(media="print", color_scheme=scheme)
            assert colours(page) == seen["light"]  # paper is white
    assert seen["light"][0] == "rgb(255, 255, 255)"
    assert all(light != dark for light, dark in zip(seen["light"], seen["dark"], strict=True))


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_page_is_never_wider_than_the_screen(chromium, wheel, flown, width):
    path = flown[1].parent / "report.html"
    with opened(chromium, path, viewport={"width": width, "height": 800}) as (page, trouble, _):
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate("Math.max(...[...document.querySelectorAll('svg')].map(s => s.clientWidth))") <= width
    assert trouble == []


def test_wide_table_is_reached_and_scrolled_by_keyboard(chromium, flown):
    with opened(chromium, flown[1].parent / "report.html", viewport={"width": NARROW, "height": 800}) as (page, _, _):
        table = page.locator(".wide", has=page.locator("#means-caption"))
        table.focus()
        page.keyboard.press("ArrowRight")
        # not wait_for_function: the page's policy refuses the script by which that looks again
        for _ in range(300):
            if page.evaluate("document.activeElement.scrollLeft") > 0:
                break
            page.wait_for_timeout(100)
        assert page.evaluate("document.activeElement.scrollLeft") > 0


def test_tasks_unfold(chromium, written):
    with opened(chromium, written) as (page, _, _):
        names = page.locator("details .tasks").first
        assert not names.is_visible()
        page.locator("details summary").first.click()
        assert names.is_visible()
