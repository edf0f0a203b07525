"""The readers on the real data sets, against the figures written beside them."""

from __future__ import annotations

from lrat_sim.corpus.dataset import prepare
from lrat_sim.corpus.formats.beir import qrels
from lrat_sim.corpus.plans import Passage, branches, compare, reference, same_name, stands_in, states
from lrat_sim.corpus.split import check_leak
from lrat_sim.text import normalise


def test_2wikimultihopqa(real_data, tmp_path):
    found = prepare("2wikimultihopqa", tmp_path / "set")
    assert len(found.corpus) == 11_213
    train, test = found.tasks("train"), found.tasks("test")
    assert len(train) + len(test) == 1_397
    assert sum(task.plan is not None for task in train + test) >= 1_284
    assert sum(task.plan is not None for task in test) >= 400
    assert sum(task.plan is not None for task in train) >= 800
    assert check_leak(train, test) == 0
    assert found.card.splits["test"].shared_entities == 0
    assert all(len(task.evidence) >= 2 for task in train + test)
    for task in train + test:
        if task.plan is not None:
            plan_can_be_followed(task, found)


def plan_can_be_followed(task, found):
    assert task.plan is not None
    documents = [found.corpus.document(docid) for docid in task.evidence]
    passages = [Passage(document.title, document.text) for document in documents]
    hops = task.plan.hops
    for index, hop in enumerate(hops):
        place = reference(hop.subject)
        assert place is None or place <= index
        assert place is not None or normalise(hop.subject) in normalise(task.question)
        name = hop.subject if place is None else hops[place - 1].object
        assert any(states(passage, name, hop.object) for passage in passages)
        assert hop.phrasings
        assert not any(normalise(hop.object) in normalise(wording) for wording in hop.phrasings)
    if task.plan.operator is None:
        assert normalise(hops[-1].object) == normalise(task.answers[0])
    else:
        ends = [(name, [hops[end].object for end in ends]) for name, ends in branches(hops)]
        assert same_name(compare(task.plan.operator, ends) or "", task.answers[0])


def test_hotpotqa(real_data, tmp_path):
    found = prepare("hotpotqa", tmp_path / "set")
    assert len(found.corpus) == 13_307
    tasks = found.tasks("train") + found.tasks("test")
    assert len(tasks) == 750
    assert all(len(task.evidence) == 2 for task in tasks)
    assert any("&quot;" in document.title for document in found.corpus)
    planned = [task for task in tasks if task.plan is not None]
    assert len(planned) >= 720
    assert sum(any(hop.subject == "#1" for hop in task.plan.hops) for task in planned) >= 290
    assert sum(task.plan.operator is not None for task in planned) >= 75
    for task in planned:
        said = [text for hop in task.plan.hops for text in (hop.subject, hop.relation, *hop.phrasings)]
        hidden = [hop.object for hop in task.plan.hops] + task.answers
        assert not any(
            stands_in(value, text) for value in hidden for text in said if not stands_in(value, task.question)
        )
        if task.plan.operator is None:
            assert normalise(task.plan.hops[-1].object) == normalise(task.answers[0])


def test_infoseek_eval_scifact_and_judgements_of_browsecomp_plus(real_data, tmp_path):
    found = prepare("infoseek-eval", tmp_path / "infoseek")
    assert len(found.tasks("test")) == 297
    assert "3 repeated questions" in found.card.notes[0]
    found = prepare("scifact", tmp_path / "scifact")
    assert (len(found.corpus), len(found.tasks("test"))) == (5_183, 300)
    assert sum(len(task.evidence) for task in found.tasks("test")) == 339
    evidence = qrels(real_data / "browsecomp-plus" / "qrel_evidence.txt")
    assert (len(evidence), len({docid for docids in evidence.values() for docid in docids})) == (830, 5_040)
