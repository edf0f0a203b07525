import json
import re
from urllib.parse import quote, urlencode

import pytest
from html_page import Page

from lrat_sim.artifact import read_records, write_records
from lrat_sim.errors import InputError
from lrat_sim.grading.run import VERDICTS
from lrat_sim.mining.explain import labels
from lrat_sim.records import Pair, Task, Verdict, encode
from lrat_sim.rollout.index import read_trajectories
from lrat_sim.viewer.app import view
from lrat_sim.viewer.library import Corpora, Library


def page(client, address, status=200):
    answer = client.get(address)
    assert answer.status_code == status, answer.text
    return Page(answer.text)


def crawl(client, most=400):
    """Every page that links lead to from the list, by address."""
    waiting, found = ["/", "/runs"], {}
    while waiting and len(found) < most:
        address = waiting.pop(0).partition("#")[0]
        if address in found or address.startswith("/record"):
            continue
        found[address] = page(client, address)
        waiting += found[address].links("/")
    return found


def test_every_link_leads_to_a_page(client, hostile):
    pages = crawl(client(hostile))
    kinds = {address.partition("?")[0] for address in pages}
    named = {"runs", "trajectories", "compare", "pairs", "pair", "trajectory", "versus", "document"}
    assert kinds == {"/", *(f"/{name}" for name in named)}


def test_nothing_that_a_file_says_becomes_markup(client, hostile):
    pages = crawl(client(hostile))
    assert any("onerror=" in found.text for found in pages.values())
    for found in pages.values():
        for tag, attributes in found.elements:
            assert tag not in {"img", "iframe", "object", "embed", "style", "base", "b"}
            assert not [name for name in attributes if name.startswith("on") or name == "style"]
            if tag == "script":
                assert attributes == {"src": "/static/viewer.js", "defer": None}
            assert not (attributes.get("href") or "").startswith(("javascript:", "data:", "http"))
        assert found.tags.count("main") == 1


def test_an_id_of_any_characters_is_found_by_its_address(client, hostile):
    viewer = client(hostile)
    (bad,) = {hit for t in read_trajectories(hostile / "a") for hit in _docids(t) if hit.startswith("a/")}
    run = page(viewer, next(link for link in page(viewer, "/").links("/trajectory") if "run=a&" in link))
    link = next(link for link in run.links("/document") if quote("a/../", safe="") in link)
    assert not re.search(r"[<>\"' ]", link)
    shown = page(viewer, link)
    assert bad in shown.text
    assert "\u202etxt" in shown.text


def _docids(trajectory):
    return [hit.docid for call in trajectory.calls() for hit in call.hits or ()]


def test_half_a_surrogate_pair_is_shown_as_a_mark(client, tmp_path, make):
    line = json.dumps(json.loads(encode(make.run(make.turn(make.search("QUERY", ["d"]))))))
    (tmp_path / "trajectories.jsonl").write_text(line.replace("QUERY", "odd \\udc00 query") + "\n")
    viewer = client(tmp_path)
    listed = page(viewer, "/")
    for link in listed.links("/trajectory"):
        assert "odd ? query" in page(viewer, link).text


def test_every_answer_forbids_what_is_not_the_viewers_own(client, hostile):
    viewer = client(hostile)
    for address in ("/", "/static/viewer.css", "/static/viewer.js", "/nothing", "/?sort=x", "/static/../app.py"):
        headers = viewer.get(address).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    "headers", [{"host": "evil.example"}, {"host": "127.0.0.1.evil.example"}, {"origin": "http://evil.example"}]
)
def test_another_name_than_this_machines_is_refused(client, hostile, headers):
    answer = client(hostile).get("/", headers=headers)
    assert answer.status_code in (403, 421)
    assert "lighthouse" not in answer.text
    assert "content-security-policy" in answer.headers


def test_nothing_can_be_changed(client, hostile):
    viewer = client(hostile)
    for method in ("post", "put", "delete"):
        assert getattr(viewer, method)("/").status_code == 405


@pytest.mark.parametrize(
    ("address", "status", "sentence"),
    [
        ("/nothing", 404, "there is no such page"),
        ("/trajectory?run=a&id=none", 404, "the run 'a' has no trajectory 'none'"),
        ("/trajectory?run=none&id=x", 404, "there is no run 'none' here"),
        ("/trajectory?run=../../etc&id=x", 404, "there is no run '../../etc' here"),
        ("/trajectory", 400, "lacks `run`"),
        ("/document?run=a&id=none&docid=x", 404, "has no trajectory"),
        ("/pair?file=a&number=99999", 404, "its pairs count from 1 to"),
        ("/pair?file=../a&number=1", 404, "there is no file of pairs"),
        ("/pairs?file=none", 404, "there is no file of pairs 'none'"),
        ("/compare?a=none", 404, "there is no run 'none'"),
        ("/versus?a=a&b=b&task=none", 404, "was run on the task 'none'"),
        ("/?colour=red", 400, "there is no `colour`"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_said_in_a_sentence(client, hostile, address, status, sentence):
    assert sentence in page(client(hostile), address, status).text


def test_a_folder_without_runs_or_an_open_address_is_refused(tmp_path, hostile):
    with pytest.raises(InputError, match="holds no run folder"):
        Library(tmp_path)
    with pytest.raises(InputError, match="is not a folder"):
        Library(tmp_path / "none")
    with pytest.raises(InputError, match="not loopback"):
        view(hostile, host="0.0.0.0")
    with pytest.raises(InputError, match=r"corpus\.json cannot be read"):
        Corpora(hostile, tmp_path)


def test_a_trajectory_is_told_with_all_that_belongs_to_it(client, wheel):
    collect = wheel.folder / "round-1" / "collect"
    runs = {each.id: each for each in read_trajectories(collect)}
    pairs = list(read_records(wheel.folder / "round-1" / "pairs.jsonl", Pair))
    mined = runs[pairs[0].provenance.trajectory]
    of_it = [number for number, pair in enumerate(pairs, 1) if pair.provenance.trajectory == mined.id]
    task = next(task for task in read_records(collect / "tasks.jsonl", Task) if task.id == mined.task_id)
    viewer = client(wheel.folder)
    shown = page(viewer, "/trajectory?" + urlencode({"run": "round-1/collect", "id": mined.id}))
    said = shown.text
    assert mined.question in said
    assert all(answer in said for answer in task.answers)
    for turn in mined.turns:
        assert " ".join(turn.reasoning.split()) in said
        assert f"{turn.reasoning_tokens:,} token" in said
        for call in turn.calls:
            assert str(next(iter(call.executed.values()))) in said
            assert all(f"{hit.score:.4g}" in said for hit in call.hits or ())
    opened = sum(call.docid is not None for turn in mined.turns for call in turn.calls)
    verdicts = [each for each in read_records(collect / VERDICTS, Verdict) if each.trajectory_id == mined.id]
    assert len(verdicts) == opened
    assert said.count(f"judged by {verdicts[0].judge}") == opened
    for number in of_it:
        assert f"/pair?file=round-1&number={number}" in shown.links("/pair")
    assert {*shown.tags} >= {"h1", "h2", "main", "nav", "details"}


def test_a_pair_is_shown_with_the_labels_and_reasons_of_the_miner(client, wheel):
    viewer = client(wheel.folder)
    path = wheel.folder / "round-1" / "pairs.jsonl"
    pairs = list(read_records(path, Pair))
    collect = wheel.folder / "round-1" / "collect"
    runs = {each.id: each for each in read_trajectories(collect)}
    verdicts = list(read_records(collect / VERDICTS, Verdict))
    library = Library(wheel.folder)
    report = library.pairs["round-1"].report
    for number in (1, len(pairs) // 2, len(pairs)):
        pair = pairs[number - 1]
        name = pair.provenance.trajectory
        said = page(viewer, f"/pair?file=round-1&number={number}").text
        expected = labels(pair, runs[name], [each for each in verdicts if each.trajectory_id == name], report)
        assert {each.docid for each in expected} >= {pair.positive, *(each.docid for each in pair.negatives)}
        for each in expected:
            found = re.search(re.escape(each.docid) + r"(?: \S+){0,40}? (positive|negative|neither|rejected)", said)
            assert found
        for why in {each.why for each in expected}:
            assert why in said
        assert f"{pair.weight:.3f}" in said
        assert pair.provenance.rule in said


def test_pairs_of_a_round_are_found_from_its_collected_run_too(client, wheel):
    viewer = client(wheel.folder / "round-1" / "collect")
    listed = page(viewer, "/pairs")
    assert listed.links("/pair?")
    assert page(viewer, listed.links("/pair?")[0]).links("/trajectory")


def test_titles_and_texts_come_from_the_corpus_that_was_searched(client, wheel, small_world, tmp_path):
    run = next(iter(read_trajectories(wheel.folder / "round-1" / "collect")))
    docid = _docids(run)[0]
    document = small_world.corpus.document(docid)
    address = "/document?" + urlencode({"run": "round-1/collect", "id": run.id, "docid": docid})
    said = page(client(wheel.folder), address).text
    assert document.title in said
    assert " ".join(document.text.split()) in said
    alone = tmp_path / "far" / "from" / "any" / "corpus" / "alone"  # others may lie beside the temporary folder
    write_records(alone / "trajectories.jsonl", [run])
    address = "/document?" + urlencode({"run": "alone", "id": run.id, "docid": docid})
    without = page(client(alone), address).text
    assert "The corpus is not here" in without
    assert document.title in without
    given = page(client(alone, corpora=Corpora(alone, small_world.folder)), address).text
    assert " ".join(document.text.split()) in given


def test_a_comparison_opens_on_its_answer_with_a_plot_and_its_arms_by_the_names_of_the_study(client, wheel):
    viewer = client(wheel.folder)
    opened = page(viewer, "/")
    comparison = json.loads((wheel.folder / "evaluate" / "test-k5" / "comparison.json").read_text())
    assert comparison["answer"] in opened.text
    assert opened.tags.count("svg") == 1
    assert "/compare?a=evaluate%2Ftest-k5%2Fbase&b=evaluate%2Ftest-k5%2Ftrained" in opened.links("/compare")
    listed = page(viewer, "/trajectories?" + urlencode({"arm": "evaluate/test-k5/trained"}))
    assert "of 8 trajectories" in listed.text
    (retriever,) = {words for words in listed.words if words.startswith("dense model") or words == "trained"}
    assert retriever == "trained"
    chosen = page(viewer, "/compare")
    assert {"base (evaluate/test-k5)", "trained (evaluate/test-k5)", "collect (round-1)"} <= {*chosen.words}


def test_evidence_that_was_not_found_is_named(client, tmp_path, make):
    write_records(tmp_path / "tasks.jsonl", [Task(id="t1", question="?", evidence=["e1", "e2"])])
    write_records(tmp_path / "trajectories.jsonl", [make.run(make.turn(make.search("q", ["e1", "x"])))])
    viewer = client(tmp_path)
    told = page(viewer, page(viewer, "/").links("/trajectory")[0])
    assert "listed e1 listed in turn 1" in told.text
    assert "not found e2" in told.text
    assert not [link for link in told.links("/document") if "docid=e2" in link]  # there is nothing to show of it


def test_a_folder_that_grows_is_shown_as_it_is_now(client, tmp_path, make, at_once):
    write_records(tmp_path / "one" / "trajectories.jsonl", [make.run(make.turn())])
    viewer = client(tmp_path)
    assert "1–1 of 1 trajectory" in page(viewer, "/").text
    with (tmp_path / "one" / "trajectories.jsonl").open("ab") as stream:
        stream.write(encode(make.run(make.turn(), id="t2.0", task="t2")) + b"\n")
    assert "1–2 of 2 trajectories" in page(viewer, "/").text
    write_records(tmp_path / "two" / "trajectories.jsonl", [make.run(make.turn(), id="t3.0", task="t3")])
    listed = page(viewer, "/")
    assert "1–3 of 3 trajectories" in listed.text
    page(viewer, next(link for link in listed.links("/trajectory") if "run=two" in link))


def test_the_record_is_given_as_it_is(client, hostile):
    viewer = client(hostile)
    first = next(iter(read_trajectories(hostile / "a")))
    answer = viewer.get("/record?" + urlencode({"run": "a", "id": first.id}))
    assert answer.headers["content-type"] == "application/json"
    assert answer.content == encode(first)


def test_broken_runs_and_unknown_grades_are_told(client, tmp_path, make):
    from lrat_sim.records import Attempt, Failure

    tried = [Attempt(seconds=1.0, status=429, error="slow down"), Attempt(seconds=2.0, status=500, error="gone")]
    broken = make.run(
        make.turn(attempts=tried),
        status="error",
        end_reason="error",
        answer=None,
        error=Failure(boundary="model", message="the server is <gone>"),
    )
    write_records(tmp_path / "trajectories.jsonl", [broken])
    viewer = client(tmp_path)
    said = page(viewer, page(viewer, "/").links("/trajectory")[0]).text
    assert "Failed at the model: the server is <gone>" in said
    assert "2 attempts" in said
    assert "429 slow down (1.0 s)" in said
    assert "500 gone (2.0 s)" in said
    assert "There is only one run here" in page(viewer, "/compare").text
    assert "No pairs were mined here" in page(viewer, "/pairs").text
