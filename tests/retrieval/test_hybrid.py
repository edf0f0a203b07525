"""Fusion, and the oracle, which knows the evidence of its task."""

import pytest

from lrat_sim.errors import InputError
from lrat_sim.records import Hop, Plan, Task

TASK = Task(id="t", question="?", evidence=["d21", "twin-b", "missing", "d07", "d07"])


def test_evidence_comes_first_whatever_the_query_and_bm25_fills_up(opened):
    oracle, plain = opened("oracle"), opened("bm25")
    for query in ("opera of Else Lund", "東京大学", "", "zzqqxx"):
        hits = oracle.for_task(TASK).search([query], 8)[0]
        assert {hit.docid for hit in hits[:3]} == {"d07", "d21", "twin-b"}
        rest = [hit.docid for hit in plain.search([query], 8)[0] if hit.docid not in TASK.evidence]
        assert [hit.docid for hit in hits[3:]] == rest[: len(hits) - 3]


def test_the_evidence_asked_for_comes_first_of_all(opened):
    oracle = opened("oracle").for_task(TASK)
    for docid in ("d07", "d21", "twin-b"):
        document = oracle.document(docid)
        query = document.title or document.text
        assert oracle.search([query], 1)[0][0].docid == docid


def test_without_a_task_it_is_bm25(opened):
    queries = ["opera of Else Lund", "town 3"]
    assert opened("oracle").search(queries, 7) == opened("bm25").search(queries, 7)


def test_a_view_of_one_task_does_not_touch_another(opened):
    oracle = opened("oracle")
    first, second = (oracle.for_task(Task(id=docid, question="?", evidence=[docid])) for docid in ("d01", "d02"))
    assert first.search(["opera"], 1)[0][0].docid == "d01"
    assert second.search(["opera"], 1)[0][0].docid == "d02"
    assert first.for_task(TASK).search(["Carla"], 4)[0][3].docid != "d01"


def test_it_says_what_it_knows(opened):
    assert "evidence" in opened("oracle").describe()["knows"]
    assert opened("oracle").fingerprint == opened("oracle").for_task(TASK).fingerprint != opened("bm25").fingerprint


def test_with_a_plan_the_document_of_the_hop_that_is_asked_comes_first(opened):
    plain = opened("oracle")
    texts = {docid: plain.document(docid) for docid in ("d07", "d21")}
    hops = [
        Hop(
            subject=document.text.split()[0],
            relation="last word",
            object=document.text.split()[-1],
            phrasings=[f"what about {docid} and {{subject}}"],
        )
        for docid, document in texts.items()
    ]
    task = Task(id="t", question="?", evidence=list(texts), plan=Plan(hops=hops))
    for hop, (docid, _), (_, other) in zip(hops, texts.items(), reversed(texts.items()), strict=True):
        query = hop.phrasings[0].replace("{subject}", hop.subject) + " " + other.text
        assert plain.for_task(task).search([query], 1)[0][0].docid == docid


def test_scores_are_sums_of_reciprocal_ranks(opened):
    query = "film of Carla Ruiz"
    lists = [opened(spec).search([query], 100)[0] for spec in ("bm25", "dense")]
    for hit in opened("hybrid:bm25+dense").search([query], 10)[0]:
        ranks = [found.rank for hits in lists for found in hits if found.docid == hit.docid]
        assert hit.score == pytest.approx(sum(1 / (60 + rank) for rank in ranks))


def test_members_may_have_options_and_the_constant_is_one(open_fresh):
    plain = open_fresh("hybrid:bm25+bm25:engine=rank-bm25,k1=1.2", constant=10)
    assert plain.describe()["constant"] == 10
    assert plain.describe()["members"][1]["k1"] == 1.2
    assert open_fresh("hybrid:members=bm25+bm25:engine=rank-bm25,constant=10").describe()["constant"] == 10


@pytest.mark.parametrize("spec", ["hybrid:bm25+", "hybrid:members=bm25", "hybrid:+"])
def test_fewer_than_two_members_are_refused(spec, open_fresh):
    with pytest.raises(InputError, match="two or more"):
        open_fresh(spec)


def test_an_oracle_among_the_members_learns_the_task(open_fresh):
    hybrid = open_fresh("hybrid:oracle+bm25", constant=0)
    task = Task(id="t", question="?", evidence=["dilli"])
    assert "dilli" not in [hit.docid for hit in hybrid.search(["film"], 3)[0]]
    assert "dilli" in [hit.docid for hit in hybrid.for_task(task).search(["film"], 3)[0]]


def test_with_weights_scores_are_sums_of_each_members_scaled_scores(opened, open_fresh):
    query, weights = "film of Carla Ruiz", [0.7, 0.3]
    lists = [opened(spec).search([query], 100)[0] for spec in ("dense", "bm25")]
    wanted: dict[str, float] = {}
    for weight, hits in zip(weights, lists, strict=True):
        scores = [hit.score for hit in hits]
        for hit in hits:
            share = (hit.score - min(scores)) / (max(scores) - min(scores))
            wanted[hit.docid] = wanted.get(hit.docid, 0.0) + weight * share
    hits = open_fresh("hybrid:members=dense+bm25,weights=0.7+0.3").search([query], 10)[0]
    assert {hit.docid: pytest.approx(hit.score) for hit in hits}.items() <= wanted.items()
    assert [hit.docid for hit in hits] == sorted(wanted, key=lambda docid: (-wanted[docid], docid))[:10]


def test_weights_decide_answers_and_so_the_fingerprint(open_fresh):
    light, heavy = (open_fresh("hybrid:members=bm25+dense", weights=weights) for weights in ([1, 9], [9, 1]))
    assert light.describe()["weights"] == [1, 9]
    assert light.fingerprint != heavy.fingerprint != open_fresh("hybrid:bm25+dense").fingerprint


@pytest.mark.parametrize("weights", ["0.7", "0.7+x", "1+0", [0.5, 0.3, 0.2], [1, float("inf")]])
def test_weights_that_are_not_one_positive_number_a_member_are_refused(weights, open_fresh):
    with pytest.raises(InputError, match="one above 0 for each of its 2 members"):
        open_fresh("hybrid:members=bm25+dense", weights=weights)
