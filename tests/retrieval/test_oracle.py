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
