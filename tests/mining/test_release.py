"""Preset ``mine-release``: the published miner's output on its own runs, and its rules on runs made up."""

from __future__ import annotations

import json
import math
import os
import statistics
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrat_sim.foreign.values import SourceRecord
from lrat_sim.formats import lrat
from lrat_sim.mining.recipe import load_recipe

RELEASE = load_recipe("mine-release")
WHERE = SourceRecord(None, Path("made up.json"))


def rows(pairs):
    return [(p.query, p.positive, [n.docid for n in p.negatives], p.satisfied, p.length) for p in pairs]


def places(trajectory):
    """Where its browse calls are, in order."""
    return [
        (trajectory.id, turn, position)
        for turn, position, call in trajectory.placed_calls()
        if call.tool in ("visit", "get_document")
    ]


@pytest.fixture(scope="session")
def release(mine):
    """The pairs of the preset, and the report."""
    return lambda runs, verdicts, recipe=RELEASE, **more: mine(runs, verdicts, recipe, **more)


def test_published_output_is_reproduced_to_the_last_digit(release):
    data = os.environ.get("LRAT_SIM_DATA")
    if not data:
        pytest.skip("LRAT_SIM_DATA does not name the folder of the public data sets")
    folder = Path(data) / "lrat-trajectories"
    published = json.loads((folder / "mined-pairs.release.json").read_text())
    with (folder / "corpus.jsonl").open() as lines:
        corpus = {json.loads(line)["docid"] for line in lines}
    runs = {entry.trajectory.task_id: entry.trajectory for entry in lrat.read_runs(folder)}
    verdicts = {
        place: "relevant" if relevant else "irrelevant"
        for each in published["trajectories"]
        for place, relevant in zip(places(runs[each["query_id"]]), each["browse_verdicts"], strict=True)
    }

    pairs, report = release([runs[each["query_id"]] for each in published["trajectories"]], verdicts, corpus=corpus)

    expected = [row for each in published["trajectories"] for row in each["pairs"]]
    assert len(expected) == 18
    fields = ("query", "pos_id", "neg_ids", "satisfied", "reasoning_len")
    assert rows(pairs) == [tuple(row[field] for field in fields) for row in expected]
    assert [pair.weight for pair in pairs] == [row["weight"] for row in expected]
    assert (report.beta, report.mean_raw) == (published["half_life_beta"], published["mean_raw_weight"])
    assert (report.pairs, report.flagged) == (18, 8)


# A run as the format has it: a flat list of steps.  The reference below works on the steps themselves, as section 7 of
# the method describes it; the miner gets the run that is read from them.

IDS = st.sampled_from(["1", "2", "3", "4", "5", "x:1", "x:2", "6"])
CORPUS = {"1", "2", "3", "4", "x:1", "x:2"}


def reasoning(text):
    return {"type": "reasoning", "tool_name": None, "arguments": None, "output": text}


def searching(asked, docids):
    ran = asked[0] if isinstance(asked, list) else asked
    shown = "\n\n".join(f"DocID:{docid}\n[title]\nsnippet" for docid in docids)
    output = f"A search for '{ran}' found {len(docids)} results:\n\n## Web Results\n{shown}"
    return {"type": "tool_call", "tool_name": "search", "arguments": json.dumps({"query": asked}), "output": output}


def browsing(docid, tool="visit"):
    arguments = {} if docid == "missing" else {"docid": docid}
    first = (docid or ["missing"])[0] if isinstance(docid, list) else docid
    output = "Error: no such document" if first == "missing" else f"Document {first}:\ntext"
    return {"type": "tool_call", "tool_name": tool, "arguments": json.dumps(arguments), "output": output}


OTHER = {"type": "tool_call", "tool_name": "python", "arguments": "{}", "output": "4"}
TEXT = {"type": "output_text", "tool_name": None, "arguments": None, "output": "So far."}
LAST = [reasoning("so"), {"type": "output_text", "tool_name": None, "arguments": None, "output": "The answer is 4."}]

STEP = st.one_of(
    st.sampled_from(["", "one", "two words", "three whole words"]).map(reasoning),
    st.builds(searching, st.sampled_from(["q1", "q2", ["q3", "q4"]]), st.lists(IDS, unique=True, max_size=5)),
    st.builds(browsing, st.one_of(IDS, IDS, IDS, st.lists(IDS, max_size=2), st.just("missing")), st.just("visit")),
    st.builds(browsing, IDS, st.just("get_document")),
    st.just(OTHER),
    st.just(TEXT),
)


def is_browse(step):
    return step["type"] == "tool_call" and step["tool_name"] in ("visit", "get_document")


def reference(steps, verdicts, corpus):
    """The rows of one run, without weights."""
    verdicts = iter(verdicts)
    query, lists, earlier, made = "", [], [], []
    at = 0
    while at < len(steps):
        step = steps[at]
        if step["type"] == "tool_call" and step["tool_name"] == "search":
            asked = json.loads(step["arguments"])["query"]
            query = asked[0] if isinstance(asked, list) else asked
            lists.append([line[6:] for line in step["output"].split("\n") if line.startswith("DocID:")])
        if not is_browse(step):
            at += 1
            continue
        stretch = []
        while at < len(steps) and is_browse(steps[at]):
            docid = json.loads(steps[at]["arguments"]).get("docid")
            docid = (docid[0] if docid else None) if isinstance(docid, list) else docid
            verdict = next(verdicts)
            follows = at + 1 < len(steps) and steps[at + 1]["type"] == "reasoning"
            if docid is not None:
                length = len(steps[at + 1]["output"].split()) if follows else 0
                stretch.append((docid.split(":")[-1], length, verdict))
                at += follows
            at += 1
        useful = [docid for docid, _, verdict in stretch if verdict]
        rejected = [docid for docid, _, verdict in stretch if not verdict]
        listed = [docid for each in reversed(lists) for docid in each]
        unbrowsed = [docid for docid in listed if docid not in {*useful, *rejected, *earlier}]
        for docid, length, verdict in stretch:
            if docid in listed and docid in corpus:
                all_ids = dict.fromkeys([*reversed(rejected), *reversed(earlier), *unbrowsed])
                negatives = [each for each in all_ids if each not in useful and each in corpus and each != docid]
                made.append((query, docid, negatives, verdict, length))
        earlier += rejected
        if useful:
            query, lists, earlier = "", [], []
    return made


def weighed(lengths):
    """Weights as section 7 says."""
    above = [length for length in lengths if length > 0]
    if not above:
        return [1.0] * len(lengths)
    beta = statistics.median(above)
    raw = [1 - math.exp(-math.log(2) * length / beta) for length in lengths]
    mean = sum(each for each, length in zip(raw, lengths, strict=True) if length > 0) / len(above)
    return [each / mean if length > 0 else 1.0 for each, length in zip(raw, lengths, strict=True)]


def read(steps, name="1"):
    record = {"query_id": name, "query": "?", "result": [*steps, *LAST], "status": "completed", "metadata": {}}
    return lrat.entry_of(record, WHERE).trajectory


def check(release, steps, verdicts):
    trajectory = read(steps)
    states = ["relevant" if each else "irrelevant" for each in verdicts]
    table = dict(zip(places(trajectory), states, strict=True))
    pairs, _ = release([trajectory], table, corpus=CORPUS)
    expected = reference([*steps, *LAST], verdicts, CORPUS)
    assert rows(pairs) == expected
    assert [pair.weight for pair in pairs] == pytest.approx(weighed([row[4] for row in expected]))
    return expected


@settings(max_examples=500, deadline=None)
@given(st.lists(STEP, max_size=16), st.data())
def test_rules_of_the_published_miner_hold_on_any_run(release, steps, data):
    count = sum(map(is_browse, steps))
    check(release, steps, data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))


LISTED = searching("q", ["1", "2", "3", "4", "6"])

CORNERS = {
    "length 0 weighs 1": (
        [LISTED, browsing("1"), browsing("2"), reasoning("two words")],
        [True, True],
        [("q", "1", ["3", "4"], True, 0), ("q", "2", ["3", "4"], True, 2)],
    ),
    "the first id of a list": (
        [LISTED, browsing(["2", "3"]), reasoning("ok")],
        [True],
        [("q", "2", ["1", "3", "4"], True, 1)],
    ),
    "what follows the last colon": (
        [LISTED, browsing("a:b:3"), reasoning("ok")],
        [True],
        [("q", "3", ["1", "2", "4"], True, 1)],
    ),
    "an id without its prefix is not the one listed": (
        [searching("q", ["x:1", "2"]), browsing("x:1"), reasoning("ok")],
        [True],
        [],
    ),
    "a browse without an id is passed over": (
        [LISTED, browsing("missing"), browsing([]), browsing("1"), reasoning("ok")],
        [True, True, True],
        [("q", "1", ["2", "3", "4"], True, 1)],
    ),
    "ids outside the lists and outside the corpus": (
        [LISTED, browsing("5"), reasoning("no"), browsing("6"), reasoning("ok"), browsing("1"), reasoning("ok")],
        [False, False, True],
        [("q", "1", ["2", "3", "4"], True, 1)],
    ),
    "several rejected in a row, the latest first": (
        [LISTED, browsing("1"), reasoning("no"), browsing("2"), reasoning("no"), browsing("3"), reasoning("ok")],
        [False, False, True],
        [
            ("q", "1", ["2", "4"], False, 1),
            ("q", "2", ["1", "4"], False, 1),
            ("q", "3", ["2", "1", "4"], True, 1),
        ],
    ),
    "rejected of earlier stretches follow, and lists reach back": (
        [LISTED, browsing("1"), reasoning("no"), searching("p", ["5", "x:1", "2"]), browsing("2"), reasoning("ok")],
        [False, True],
        [("q", "1", ["2", "3", "4"], False, 1), ("p", "2", ["1", "x:1", "3", "4"], True, 1)],
    ),
    "a useful one clears what was before": (
        [LISTED, browsing("1"), reasoning("ok"), browsing("2"), TEXT, browsing("3"), reasoning("ok")],
        [True, True, True],
        [("q", "1", ["3", "4"], True, 1), ("q", "2", ["3", "4"], True, 0)],
    ),
}


@pytest.mark.parametrize("name", CORNERS)
def test_corner(release, name):
    steps, verdicts, expected = CORNERS[name]
    assert check(release, steps, verdicts) == expected


def test_browse_without_a_verdict_is_neither_row_nor_negative(release):
    """The published judge's failures count as rejections; here they leave the document unlabelled."""
    trajectory = read([LISTED, browsing("1"), reasoning("hm"), browsing("2"), reasoning("ok")])
    table = {places(trajectory)[1]: "relevant"}
    for unjudged in ({}, {places(trajectory)[0]: "unjudged"}):
        pairs, _ = release([trajectory], table | unjudged, corpus=CORPUS)
        assert rows(pairs) == [("q", "2", ["3", "4"], True, 1)]


def test_rejected_rows_are_flagged_and_no_positives_of_their_question(release):
    trajectory = read([LISTED, browsing("1"), reasoning("no"), browsing("2"), reasoning("ok")])
    table = dict(zip(places(trajectory), ["irrelevant", "relevant"], strict=True))
    guarded = load_recipe("mine-release", {"guards.question_positives": "true"})
    pairs, report = release([trajectory], table, guarded, corpus=CORPUS)
    assert [(p.positive, p.satisfied) for p in pairs] == [("1", False), ("2", True)]
    assert "1" in [n.docid for n in pairs[1].negatives]
    assert "2" not in [n.docid for n in pairs[0].negatives]
    assert (report.flagged, report.browses) == (1, {"kept": 1, "flagged": 1})
