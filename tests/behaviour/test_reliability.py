"""The order that an agent gives retrievers, beside the known one; and retrievers spoiled on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from scipy import stats

from lrat_sim.behaviour.reliability import Degraded, Shuffled, ordering
from lrat_sim.errors import InputError
from lrat_sim.records import Document, Hit, Task
from lrat_sim.retrieval.base import Retriever


class Alphabet(Retriever):
    """Ranks the letters from a, whatever the query; for a task it starts at the task's evidence."""

    def __init__(self, first: str = "a"):
        self.first = first

    def search(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        letters = [chr(ord(self.first) + place) for place in range(k)]
        return [
            [Hit(docid=letter, score=1.0 / rank, rank=rank) for rank, letter in enumerate(letters, 1)] for _ in queries
        ]

    def document(self, docid: str) -> Document:
        return Document(id=docid, text=docid)

    def describe(self) -> dict[str, Any]:
        return {"kind": "alphabet"}

    def for_task(self, task: Task) -> Retriever:
        return Alphabet(task.evidence[0])


NUMBERS = [str(number) for number in range(50)]


def _letters(hits: list[Hit]) -> list[str]:
    return [hit.docid for hit in hits]


def test_a_shuffled_list_holds_the_same_hits_in_an_order_that_the_query_decides():
    retriever = Shuffled(Alphabet())
    one, other, again = retriever.search(["mill", "weir", "mill"], 10)
    assert one == again
    assert _letters(one) != _letters(other)
    assert sorted(_letters(one)) == sorted(_letters(other)) == list("abcdefghij")
    assert [hit.rank for hit in one] == list(range(1, 11))
    assert [hit.score for hit in one] == sorted((hit.score for hit in one), reverse=True)
    assert _letters(Shuffled(Alphabet(), seed=1).search(["mill"], 10)[0]) != _letters(one)


def test_every_rank_is_as_likely_for_every_hit():
    lists = Shuffled(Alphabet()).search([f"query {number}" for number in range(2000)], 5)
    places = [_letters(hits).index("a") for hits in lists]
    assert all(330 < places.count(place) < 470 for place in range(5))


def test_degradation_spoils_the_share_it_says_and_a_higher_rate_spoils_what_a_lower_one_does():
    queries = [f"query {number}" for number in range(300)]
    kept = {}
    for rate in (0.25, 0.75):
        lists = Degraded(Alphabet(), rate, NUMBERS).search(queries, 10)
        kept[rate] = {
            (number, letter) for number, hits in enumerate(lists) for letter in _letters(hits) if letter.isalpha()
        }
        assert len(kept[rate]) == pytest.approx(3000 * (1 - rate), rel=0.08)
    assert kept[0.75] < kept[0.25]
    assert [_letters(hits) for hits in Degraded(Alphabet(), 0.0, NUMBERS).search(["q"], 3)] == [["a", "b", "c"]]
    assert not {*_letters(Degraded(Alphabet(), 1.0, NUMBERS).search(["q"], 9)[0])} & {*"abcdefghi"}


def test_no_document_stands_twice_in_a_spoiled_list():
    for hits in Degraded(Alphabet(), 0.9, NUMBERS[:4]).search([f"q{number}" for number in range(50)], 10):
        assert len(set(_letters(hits))) == len(hits)
        assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))


def test_altered_retrievers_pass_the_task_on_and_have_fingerprints_of_their_own():
    task = Task(id="t", question="q", evidence=["k"])
    assert "k" in _letters(Shuffled(Alphabet()).for_task(task).search(["q"], 3)[0])
    assert "k" in _letters(Degraded(Alphabet(), 0.0, NUMBERS).for_task(task).search(["q"], 3)[0])
    prints = {
        Alphabet().fingerprint,
        Shuffled(Alphabet()).fingerprint,
        Degraded(Alphabet(), 0.25, NUMBERS).fingerprint,
        Degraded(Alphabet(), 0.5, NUMBERS).fingerprint,
    }
    assert len(prints) == 4


def test_a_rate_that_is_no_probability_is_refused():
    with pytest.raises(InputError, match="from 0 to 1"):
        Degraded(Alphabet(), 1.5, NUMBERS)


def _runs(entry, write_run, right: dict[str, int], tasks: int = 60):
    return [
        write_run(
            name,
            [
                entry(f"t{task:02d}", "abc =a", outcome="correct" if task < count else "incorrect")
                for task in range(tasks)
            ],
        )
        for name, count in right.items()
    ]


def test_an_agent_that_agrees_has_tau_one_and_one_that_reverses_minus_one(entry, write_run):
    runs = _runs(entry, write_run, {"bad": 10, "fair": 30, "good": 55})
    agreed = ordering(runs, resamples=200)
    assert agreed.names == ["bad", "fair", "good"]
    assert (agreed.tau.value, agreed.tau.low) == (1.0, 1.0)
    assert agreed.told_apart() == ["yes", "yes"]
    assert agreed.gains[0].value == pytest.approx(20 / 60)
    reversed_ = ordering(runs[::-1], resamples=200)
    assert reversed_.tau.value == -1.0
    assert reversed_.told_apart() == ["reversed", "reversed"]


def test_tau_equals_scipys_and_its_interval_holds_the_doubt_of_few_tasks(entry, write_run):
    right = {"a": 20, "b": 31, "c": 30, "d": 50}
    found = ordering(_runs(entry, write_run, right), resamples=300)
    assert found.tau.value == pytest.approx(stats.kendalltau(range(4), list(right.values())).statistic)
    assert found.tau.low < found.tau.high
    assert found.told_apart()[1] == "no"


def test_only_tasks_that_all_ran_count_and_an_answer_that_is_not_graded_is_no_failure(entry, write_run):
    one = write_run("one", [entry("t1", "ab"), entry("t2", "ab", outcome=None), entry("t3", "ab", outcome="incorrect")])
    two = write_run("two", [entry("t1", "ab"), entry("t2", "ab"), entry("t4", "ab")])
    assert ordering([one, two]).tasks == 1
    with pytest.raises(InputError, match="two runs"):
        ordering([one])
    with pytest.raises(InputError, match="grade it first"):
        ordering([one, write_run("bare", [entry("t1", "ab", outcome=None)])])
    with pytest.raises(InputError, match="no graded task"):
        ordering([one, write_run("other", [entry("t9", "ab")])])
