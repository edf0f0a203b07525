import csv
import html
import itertools
import re
import shutil

import pytest
from html_page import Page

from lrat_sim.comparison import compare, load, save
from lrat_sim.errors import InputError
from lrat_sim.report import write_report

TASKS_10 = [f"task-{number}" for number in range(10)]


def records(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(params=["flown", "experiments", "hostile"])
def any_page(request, page, tmp_path):
    found = request.getfixturevalue(request.param)
    return found[0] if isinstance(found, tuple) else page(found, tmp_path)[0]


def test_page_needs_nothing_beyond_itself(any_page):
    read = Page(any_page)
    assert not re.search(r"https?:|@import|@font-face", any_page)
    assert not {"script", "link", "img", "iframe", "object", "base", "image"} & {*read.tags}
    targets, ids = read.values("href", "src", "xlink:href"), read.values("id")
    assert targets
    assert all(target.startswith("#") and target[1:] in ids for target in targets)
    assert "url(" not in any_page


def test_no_two_parts_of_a_page_share_an_id(any_page):
    ids = Page(any_page).values("id")
    assert len(ids) == len(set(ids))


def test_tables_and_plots_say_what_they_are(any_page):
    read = Page(any_page)
    assert read.tags.count("table") == read.tags.count("caption") > 0
    assert read.tags.count("svg") == read.tags.count("desc") > 0
    assert {given.get("role") for tag, given in read.elements if tag == "svg"} == {"img"}
    assert len(read.values("scope")) == read.tags.count("th")
    assert {label for each in read.values("aria-labelledby") for label in each.split()} <= {*read.values("id")}
    headings = [int(tag[1]) for tag in read.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(headings))


def test_hostile_names_stay_text(hostile, page, words, tmp_path):
    text, files = page(hostile, tmp_path)
    read = Page(text)
    assert "script" not in read.tags
    assert "b" not in read.tags
    assert not any(name.startswith("on") for _, given in read.elements for name in given)
    found = load(hostile / "comparison.json")
    for each in found.summaries[:3]:
        assert each.name in read.text
    assert found.pairings[1].won[0] in read.text
    assert not {"\x1b", "\u202e"} & {*text}  # the latter would turn all that follows it around
    # in the plots, too, but for their length
    drawn = words(files / "won-lost.svg")
    assert "</title></sv…%#} 50~^ --`" in drawn
    assert "=1+1\ufffd[31m\ufffd" in drawn


def test_csv_holds_the_numbers_of_the_comparison(wheel, flown):
    found = wheel.comparisons["test-k5"]
    means = {record["arm"]: record for record in records(flown[1] / "means.csv")}
    assert list(means) == [each.name for each in found.summaries]
    for each in found.summaries:
        for name, value in each.means.items():
            assert means[each.name][name] == ("" if value is None else str(value))
    rows = records(flown[1] / "differences.csv")
    assert len(rows) == sum(len(each.measures) for each in found.pairings)
    by_name = {(row["arm"], row["base"], row["measure"]): row for row in rows}
    for pairing in found.pairings:
        for name, paired in pairing.measures.items():
            row = by_name[pairing.arm, pairing.base, name]
            expected = (
                *(paired.difference.value, paired.difference.low, paired.difference.high, paired.p, paired.p_holm),
                *(paired.smallest, paired.wins, paired.ties, paired.losses, paired.relative.value),
            )
            columns = ("difference", "low", "high", "p", "p_holm", "smallest", "wins", "ties", "losses", "relative")
            assert [row[column] for column in columns] == ["" if each is None else str(each) for each in expected]
    won = [(row["arm"], row["base"], row["task"]) for row in records(flown[1] / "tasks.csv") if row["outcome"] == "won"]
    assert won == [(each.arm, each.base, task) for each in found.pairings for task in each.won]


def test_page_says_answer_differences_and_tasks(wheel, flown):
    found, text = wheel.comparisons["test-k5"], Page(flown[0]).text
    (trained,) = (each for each in found.pairings if (each.arm, each.base) == ("trained", "base"))
    assert found.answer.split(". ")[0] in text
    success = trained.measures["success"]
    assert f"{100 * success.difference.value:+.1f}".replace("-", "−") in text
    assert f"{success.wins} / {success.ties} / {success.losses}" in text
    for pairing in found.pairings:
        if pairing.base == "base":
            assert all(task in text for task in (*pairing.won, *pairing.lost))
    assert "Mined pairs and their weights" in text


def test_page_shows_settings_fingerprints_and_versions(wheel, flown):
    from lrat_sim.catalog import read_yaml

    text = Page(flown[0]).text
    for run in ("base", "round-1", "bm25", "oracle"):
        manifest = read_yaml(wheel.folder / "evaluate" / "test-k5" / run / "run.yaml")
        assert manifest["fingerprints"]["agent"] in text
        assert manifest["fingerprints"]["retriever"] in text
        assert f"torch {manifest['calls'][0]['versions']['torch']}" in text
    assert "evaluate_ks: []" in text


def test_recorded_command_is_shown_unless_another_is_given(experiment, experiments, page, tmp_path):
    assert "lrat-sim compare bm25 oracle <&>" in Page(experiments[0]).text
    given = page(experiment, tmp_path, command="lrat-sim compare --given")[0]
    assert "lrat-sim compare --given" in Page(given).text
    assert "<&>" not in Page(given).text


def test_flywheel_has_the_plots_of_its_rounds(wheel, flown):
    names = {path.stem for path in flown[1].glob("*.svg")}
    assert names == {"success", "won-lost", "recall-by-turn", "steps", "success-by-round", "weights"}
    pairs = sum(int(record["pairs"]) for record in records(flown[1] / "weights.csv"))
    assert pairs == sum(1 for _ in (wheel.folder / "round-1" / "pairs.jsonl").open())
    points = [record for record in records(flown[1] / "success-by-round.csv") if record["round"]]
    means = {each.name: each.means["success"] for each in wheel.comparisons["test-k5"].summaries}
    assert [float(point["success"]) for point in points] == [means["base"], means["trained"]]


def test_experiment_shows_every_comparison_and_success_against_k(experiment, experiments):
    text, files = experiments
    cells = {k: load(experiment / f"simulated-world-test-k{k}" / "comparison.json") for k in (3, 5)}
    for k, found in cells.items():
        assert found.answer in Page(text).text or found.answer == ""
        steps = records(files / f"simulated-world-test-k{k}-steps.csv")
        for arm in ("bm25", "oracle"):  # 6 tasks with 2 seeds
            assert sum(int(row["runs"]) for row in steps if row["arm"] == arm) == 12
    curve = records(files / "success-by-k-simulated-on-world-test.csv")
    assert {(row["arm"], int(row["k"])): float(row["success"]) for row in curve} == {
        (each.name, k): each.means["success"] for k, found in cells.items() for each in found.summaries
    }


def test_recall_by_turn_ends_at_the_mean_evidence_recall(experiment, experiments):
    for k in (3, 5):
        found = load(experiment / f"simulated-world-test-k{k}" / "comparison.json")
        curves = records(experiments[1] / f"simulated-world-test-k{k}-recall-by-turn.csv")
        for each in found.summaries:
            values = [float(row["evidence_recall"]) for row in curves if row["arm"] == each.name]
            assert values == sorted(values)
            assert values[-1] == pytest.approx(each.means["evidence_recall"])


def test_an_arm_has_one_colour_in_all_plots_and_tables(flown):
    text = flown[0]
    swatches = dict(
        (name, colour)
        for colour, name in re.findall(r'background: (var\(--arm-\d\))"></span><bdi>([\w+-]+)(?: \(\w+\))?</bdi>', text)
    )
    assert list(swatches) == ["base", "trained", "base+bm25", "bm25", "oracle"]
    assert len(set(swatches.values())) == 5
    drawn = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawn) == 6
    for svg in drawn:
        title = re.search(r"<title[^>]*>(.*?)</title>", svg)[1]
        # the colours of the arms that the plot is about, and no other
        arms = {"Weights of the mined pairs": ["trained"], "Success by round": ["base+bm25", "bm25", "oracle"]}.get(
            title, swatches
        )
        assert {*re.findall(r"var\(--arm-\d\)", svg)} == {swatches[arm] for arm in arms}, title


def test_what_is_missing_is_left_out(tables, page, tmp_path):
    """No evidence, no run folders, no pairs, and an arm of which every run broke."""
    nothing = {"evidence_recall": None, "evidence_hit": None, "evidence_opened": None}
    arms = tables(("base", "broken"), TASKS_10, **nothing)
    for metrics in arms["broken"].values():
        metrics |= {"steps": None, "searches": None, "tokens": None, "success": 0.0}
    save(compare(arms, "base", None, TASKS_10), tmp_path / "comparison.json")
    text, files = page(tmp_path, tmp_path)
    assert {path.name for path in files.glob("*.svg")} == {"success.svg", "won-lost.svg"}
    read = Page(text)
    assert "10 tasks have no evidence" in read.text
    (row,) = re.findall(r'<tr><th scope="row"[^>]*>(?:(?!</tr>).)*?broken</bdi>.*?</tr>', text)
    assert re.findall("<td[^>]*>(.*?)</td>", row)[:3] == ["0.0", "±0.0", "10"]  # success, noise, errors
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)


def test_arm_whose_runs_all_broke_has_no_steps(tables, run_folder, page, words, tmp_path):
    run_folder("whole", {task: [[["a"], ["b"]]] for task in TASKS_10})
    run_folder("broken", {task: [None] for task in TASKS_10})
    names = ("whole", "broken", "away")
    save(compare(tables(names, TASKS_10), "whole", None, TASKS_10), tmp_path / "comparison.json")
    _, files = page(tmp_path, tmp_path)
    drawn = words(files / "steps.svg")
    assert drawn.count("every run broke") == 1
    assert "away" not in drawn  # its runs are not there, so nothing is said of them
    assert sum(int(row["runs"]) for row in records(files / "steps.csv") if row["arm"] == "broken") == 0
    assert sum(int(row["runs"]) for row in records(files / "steps.csv") if row["arm"] == "whole") == 10


def test_one_arm_alone_is_reported(tables, page, tmp_path):
    save(compare(tables(("base",), TASKS_10), "base", None, TASKS_10), tmp_path / "comparison.json")
    assert "There are no two retrievers to compare." in page(tmp_path, tmp_path)[0]


def test_same_folder_gives_the_same_report(hostile, page, tmp_path):
    first, second = page(hostile, tmp_path / "1"), page(hostile, tmp_path / "2")
    undated = [re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", text) for text, _ in (first, second)]
    assert undated[0] == undated[1]
    files = [{path.name: path.read_bytes() for path in made.iterdir()} for _, made in (first, second)]
    assert files[0] == files[1]


def test_report_lies_in_the_folder_itself_by_default(hostile):
    assert write_report(hostile) == hostile / "report.html"
    assert (hostile / "report" / "won-lost.svg").is_file()


def test_folder_around_one_that_can_be_reported_is_reported_there(hostile, page, tmp_path):
    assert page(hostile.parent, tmp_path / "out")[0].count("<svg") == page(hostile, tmp_path / "same")[0].count("<svg")
    shutil.copytree(hostile, hostile.parent / "second")
    with pytest.raises(InputError, match=r"several folders to report \(hostile, second\); give one of them"):
        write_report(hostile.parent)


def test_page_opens_with_the_answer_and_the_figure_of_a_paper(hostile, page, tmp_path):
    header = page(hostile, tmp_path)[0].partition("</header>")[0]
    assert load(hostile / "comparison.json").answer.split(". ")[-2] in html.unescape(header)
    assert re.findall(r"<title id=[^>]*>(.*?)</title>", header) == ["Success by retriever"]


UNREADABLE = [("comparison.json", b"{"), ("study.json", b"[]"), ("study.json", b'{"kind": "flywheel", "rounds": 1}')]


@pytest.mark.parametrize(("name", "content"), [(None, b""), *UNREADABLE])
def test_folder_that_cannot_be_reported_is_refused_in_a_sentence(name, content, tmp_path):
    if name:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"^{tmp_path}.*; .*\.$"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()
