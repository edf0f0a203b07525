"""Plans of public question sets hold nothing that the agent could not know, whatever it has been shown."""

from __future__ import annotations

import pytest

from lrat_sim.corpus.dataset import prepare
from lrat_sim.corpus.plans import stands_in


@pytest.mark.parametrize("name", ["hotpotqa", "2wikimultihopqa"])
def test_no_query_or_answer_holds_what_was_not_read_over_all_tasks(name, real_data, tmp_path, converse):
    found = prepare(name, tmp_path / "set")
    tasks = [task for tasks in found.splits.values() for task in tasks if task.plan is not None]
    assert len(tasks) > 700
    for seed, (task, other) in enumerate(zip(tasks, tasks[1:] + tasks[:1], strict=True)):
        # with another task's evidence only, the run has to do without anything that it reads
        evidence = [found.corpus.document(docid) for docid in (*task.evidence, *other.evidence)]
        for documents in (evidence, evidence[len(task.evidence) :]):
            run = converse(task.plan, documents, seed, misreading=0.0, credulity=0.0, question=task.question)
            run.finished()
            assert run.said_before_read() == []
            answered = run.actions[-1].value
            if documents is not evidence and answered not in (None, "yes", "no"):
                assert stands_in(answered, task.question) or any(stands_in(answered, d.text) for d in documents)
