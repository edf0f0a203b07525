"""The viewer in a real browser; the fixture ``browse`` fails on any console error and any request elsewhere."""

import json
import re

import pytest

from lrat_sim.artifact import read_records
from lrat_sim.records import Pair
from lrat_sim.rollout.index import read_trajectories

pytestmark = pytest.mark.usefixtures("hostile")

OWNED = "window.owned === true || document.title === 'owned'"


def count(page):
    """How many rows the list says that it has."""
    return int(re.search(r"of ([\d,]+) traj", page.locator(".count").inner_text())[1].replace(",", ""))


def column(page, name):
    return page.locator(f"[data-row] td[data-label='{name}']").all_inner_texts()


def focused(page):
    return page.evaluate("document.activeElement.getAttribute('href') || document.activeElement.id")


def numbered(texts):
    return [int(text.replace(",", "")) for text in texts]


def test_the_list_is_searched_filtered_sorted_and_paged(browse, wheel):
    page, url = browse(wheel.folder)
    page.goto(f"{url}/trajectories")
    every = sum(1 for run in wheel.folder.rglob("trajectories.jsonl") for _ in read_trajectories(run))
    assert count(page) == every
    page.get_by_label("Outcome").select_option("correct")
    page.wait_for_url("**outcome=correct**")
    assert 0 < count(page) < every
    assert set(column(page, "Outcome")) == {"correct"}
    page.get_by_role("link", name="Steps").click()
    page.wait_for_url("**sort=steps**")
    steps = numbered(column(page, "Steps"))
    assert len(set(steps)) > 1
    assert steps == sorted(steps)
    page.get_by_role("link", name="Steps").click()
    page.wait_for_url("**sort=-steps**")
    assert numbered(column(page, "Steps")) == sorted(numbered(column(page, "Steps")), reverse=True)
    page.get_by_role("link", name="Clear").click()
    rows = "all => all.map(each => each.href)"
    first = page.locator("[data-open]").evaluate_all(rows)
    page.get_by_role("link", name="Next").click()
    page.wait_for_url("**page=2**")
    assert len(first) == 50
    assert not set(first) & set(page.locator("[data-open]").evaluate_all(rows))
    question = page.locator("[data-row] [data-open]").first.inner_text()
    page.get_by_label("Search").fill(question)
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**q=**")
    assert set(page.locator("[data-row] [data-open]").all_inner_texts()) == {question}


def test_two_retrievers_are_compared_down_to_the_turn_where_they_diverge(browse, wheel):
    page, _ = browse(wheel.folder)
    page.get_by_role("link", name="Compare", exact=True).click()
    page.locator("select[name=a]").select_option("evaluate/test-k5/base")
    page.wait_for_url("**a=evaluate%2Ftest-k5%2Fbase**")
    page.locator("select[name=b]").select_option("evaluate/test-k5/oracle")
    page.wait_for_url("**b=evaluate%2Ftest-k5%2Foracle**")
    page.get_by_label("Tasks").select_option("won")
    page.wait_for_url("**result=won**")
    comparison = json.loads((wheel.folder / "evaluate" / "test-k5" / "comparison.json").read_text())
    won = next(p["won"] for p in comparison["pairings"] if p["arm"] == "oracle" and p.get("base", "base") == "base")
    assert page.locator("[data-row] .what .docid").all_inner_texts() == sorted(won)[:50]
    page.locator("[data-row] [data-open]").first.click()
    page.wait_for_url("**/versus**")
    assert page.locator(".side .badge.correct").count() == 1
    page.keyboard.press("p")
    diverged = page.locator("[data-divergence]")
    assert diverged.is_visible()
    assert diverged.evaluate("node => node === document.activeElement")
    assert page.locator("[data-divergence] + section.diverges").count() == 1
    left, right = (page.locator(f"section.diverges .side-{side} .call").all_inner_texts() for side in "ab")
    assert left != right


def test_a_pair_is_followed_from_its_turn_and_back(browse, wheel):
    pair = next(iter(read_records(wheel.folder / "round-1" / "pairs.jsonl", Pair)))
    page, url = browse(wheel.folder)
    page.goto(f"{url}/trajectories")
    page.get_by_label("Search").fill(pair.provenance.trajectory)
    page.keyboard.press("Enter")
    page.wait_for_url("**q=**")
    page.locator("[data-row] [data-open]").first.click()
    turn = page.locator(f"#turn-{pair.provenance.turn + 1}")
    turn.locator("details.pair summary").first.click()
    labels = turn.locator("details.pair").first.locator(".badge.positive, .badge.negative").all_inner_texts()
    assert [label.split()[0] for label in labels].count("negative") == len(pair.negatives)
    turn.get_by_role("link", name="Pair 1 of round-1").click()
    page.wait_for_url("**/pair?**")
    assert page.locator("h1").inner_text() == pair.query
    page.locator(".facts").get_by_role("link", name=pair.provenance.trajectory).click()
    page.wait_for_url(f"**#turn-{pair.provenance.turn + 1}")
    assert focused(page) == f"turn-{pair.provenance.turn + 1}"


def test_everything_is_reached_by_the_keyboard(browse, wheel):
    page, url = browse(wheel.folder)
    page.goto(f"{url}/trajectories")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("j")
    rows = page.locator("[data-row] [data-open]")
    assert focused(page) == rows.nth(0).get_attribute("href")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert focused(page) == rows.nth(1).get_attribute("href")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("/")
    page.keyboard.type("test-")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=test-**")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/trajectory**")
    turns = page.locator("[data-turn]").count()
    page.keyboard.press("]")
    assert focused(page) == "turn-1"
    page.keyboard.press("]")
    assert focused(page) == "turn-2"
    page.keyboard.press("[")
    assert focused(page) == "turn-1"
    for _ in range(turns + 1):
        page.keyboard.press("]")
    assert focused(page) == f"turn-{turns}"
    page.keyboard.press("?")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    page.wait_for_url("**q=test-**")
    page.keyboard.press(">")
    page.keyboard.press("r")
    page.wait_for_load_state()


def test_hostile_documents_do_nothing(browse, hostile):
    page, url = browse(hostile)
    addresses = [f"{url}/trajectories", f"{url}/runs", f"{url}/compare", f"{url}/pairs"]
    seen = set()
    while addresses:
        address = addresses.pop(0)
        if address in seen or "/record" in address:
            continue
        seen.add(address)
        page.goto(address)
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        assert not page.evaluate(OWNED)
        assert page.locator("img, iframe").count() == 0
        links = page.locator("main a").evaluate_all("all => all.map(each => each.href.split('#')[0])")
        addresses += [link for link in links if re.search(r"/(trajectory|document|versus|pair)\?", link)]
    kinds = {re.match(r"/(\w*)", address.removeprefix(url))[1] for address in seen}
    assert kinds >= {"trajectory", "document", "versus", "pair"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_phone_without_scrolling_sideways(browse, hostile, scheme):
    page, url = browse(hostile, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    links = page.locator("[data-open]").evaluate_all("all => all.map(each => each.href)")
    page.goto(f"{url}/compare")
    links += page.locator("[data-open]").evaluate_all("all => all.map(each => each.href)")
    for address in (f"{url}/", f"{url}/runs", f"{url}/compare", f"{url}/pairs", f"{url}/pair?file=a&number=1", *links):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, address
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", background))) < 384) == (scheme == "dark")


def test_it_is_read_and_filtered_without_scripts(browse, hostile):
    page, _ = browse(hostile, java_script_enabled=False)
    page.get_by_label("Run").select_option("a")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**arm=a**")
    assert count(page) == 2
    page.locator("[data-open]").first.click()
    page.wait_for_url("**/trajectory**")
    assert page.locator("[data-turn]").count() == 3
    page.get_by_text("What the agent was shown").click()
    assert "lighthouse" in page.locator("details[open] .text").inner_text()
