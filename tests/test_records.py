import json

import msgspec
import pytest
from jsonschema import Draft202012Validator, ValidationError
from msgspec.structs import replace

from lrat_sim import records
from lrat_sim.records import (
    NOUNS,
    SCHEMA_VERSION,
    Attempt,
    Call,
    Document,
    Failure,
    Grade,
    Hit,
    Hop,
    Negative,
    Pair,
    Plan,
    Provenance,
    Task,
    Trajectory,
    Turn,
    Usage,
    Verdict,
    canonical,
    decode,
    encode,
)


def trajectory(**changed):
    query, hits = {"query": "river"}, [Hit(docid="d1", score=1.5, rank=1)]
    search = Call(id="c1", tool="search", arguments=query, executed=query, output="...", hits=hits, seconds=0.25)
    browse = Call(id="call-2", tool="get_document", arguments='{"docid": "d1"', error="not JSON")
    turns = [
        Turn(
            reasoning="",
            reasoning_tokens=0,
            calls=[search],
            attempts=[Attempt(seconds=1.0, status=429, error="slow down"), Attempt(seconds=0.5, status=200)],
            usage=Usage(prompt_tokens=10, completion_tokens=2, cost=0.1),
        ),
        Turn(reasoning=None, reasoning_tokens=0, calls=[browse], raw={"role": "assistant"}),
        Turn(reasoning="found", reasoning_tokens=1, text="Exact Answer: the Elbe"),
    ]
    plain = Trajectory(
        id="task-1/0", task_id="task-1", question="Which river?", sample=0, agent={"fingerprint": "a"},
        retriever={"fingerprint": "r"}, seed=1, status="answered", end_reason="answer", answer="the Elbe", turns=turns,
        seconds=3.5,
    )  # fmt: skip
    return replace(plain, **changed)


EXAMPLES = {
    "document": Document(id="d1", text="The Elbe flows through Dresden.", title="Elbe"),
    "task": Task(
        id="task-1",
        question="Which river?",
        answers=["Elbe"],
        evidence=["d1"],
        plan=Plan(hops=[Hop(subject="Dresden", relation="river", object="Elbe", phrasings=["river of"])]),
    ),
    "trajectory": trajectory(error=Failure(boundary="model", message="gone"), status="error", end_reason="error"),
    "verdict": Verdict(trajectory_id="task-1/0", turn=1, call=0, state="unjudged", judge="rules"),
    "grade": Grade(trajectory_id="task-1/0", state="correct", judge="match", confidence=80.0),
    "pair": Pair(
        query="river",
        positive="d1",
        negatives=[Negative(docid="d2", weight=3.0, tier="redundant")],
        weight=1.2,
        raw_weight=0.5,
        length=40,
        provenance=Provenance(task="task-1", trajectory="task-1/0", turn=0, rank=1, rule="paper"),
    ),
}


@pytest.mark.parametrize("noun", sorted(NOUNS))
def test_every_noun_reads_back_as_written(noun):
    record = EXAMPLES[noun]
    line = encode(record)
    assert b"\n" not in line
    assert decode(line, NOUNS[noun]) == record


@pytest.mark.parametrize("noun", sorted(NOUNS))
def test_json_schema_accepts_the_noun_and_refuses_a_wrong_field(noun):
    schema = msgspec.json.schema(NOUNS[noun])
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    content = json.loads(encode(EXAMPLES[noun]))
    validator.validate(content)
    first = next(field for field in content if field != "schema_version")
    with pytest.raises(ValidationError):
        validator.validate(content | {first: {"not": "this"}})


def test_no_reasoning_and_empty_reasoning_stay_apart():
    read = decode(encode(trajectory()), Trajectory)
    assert [turn.reasoning for turn in read.turns] == ["", None, "found"]


def test_older_version_is_brought_up_to_date(monkeypatch):
    def from_1(old):
        return old | {"sample": old.pop("attempt")}

    monkeypatch.setattr(records, "SCHEMA_VERSION", 2)
    monkeypatch.setattr(records, "MIGRATIONS", {1: from_1})
    old = json.loads(encode(trajectory()))
    old["attempt"] = old.pop("sample")
    read = decode(json.dumps(old), Trajectory)
    assert (read.schema_version, read.sample) == (2, trajectory().sample)


def test_every_older_version_has_a_migration():
    assert sorted(records.MIGRATIONS) == list(range(1, SCHEMA_VERSION))


@pytest.mark.parametrize(("version", "said"), [(SCHEMA_VERSION + 1, "upgrade lrat-sim"), (0, "no lrat-sim ever wrote")])
def test_version_that_cannot_be_read_is_refused(version, said):
    line = json.dumps(json.loads(encode(trajectory())) | {"schema_version": version})
    with pytest.raises(msgspec.ValidationError, match=said):
        decode(line, Trajectory)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"status": "finished"}, r"\$\.status"),
        ({"turns": [{"reasoning": None}]}, r"`reasoning_tokens` - at `\$\.turns\[0\]"),
        ({"id": 7}, r"\$\.id"),
    ],
)
def test_wrong_field_is_named_by_its_path(change, field):
    line = json.dumps(json.loads(encode(trajectory())) | change)
    with pytest.raises(msgspec.ValidationError, match=field):
        decode(line, Trajectory)


def test_field_of_a_later_minor_addition_is_passed_over():
    line = json.dumps(json.loads(encode(EXAMPLES["verdict"])) | {"added_later": 1})
    assert decode(line, Verdict) == EXAMPLES["verdict"]


def test_records_cannot_be_changed():
    with pytest.raises(AttributeError):
        EXAMPLES["document"].text = "other"


def test_unknown_cost_makes_the_sum_unknown():
    known = Usage(prompt_tokens=1, completion_tokens=2, reasoning_tokens=3, cost=0.5)
    assert known + known == Usage(prompt_tokens=2, completion_tokens=4, reasoning_tokens=6, cost=1.0)
    assert (known + Usage(prompt_tokens=1)).cost is None
    assert Usage.zero() + known == known
    assert (known.tokens, Usage(prompt_tokens=1).tokens) == (3, None)
    assert Usage().cost is None


def test_canonical_form_ignores_times_tries_and_the_order_of_settings():
    first = trajectory(agent={"model": "m", "fingerprint": "f"})
    turns = [
        replace(turn, attempts=[], calls=[replace(call, seconds=7.0) for call in turn.calls]) for turn in first.turns
    ]
    slower = replace(first, seconds=99.0, turns=turns, agent={"fingerprint": "f", "model": "m"})
    assert slower != first
    assert canonical(slower) == canonical(first)


@pytest.mark.parametrize(
    "change", [{"answer": "the Oder"}, {"seed": 2}, {"turns": []}, {"usage": Usage(prompt_tokens=1)}]
)
def test_canonical_form_keeps_all_else(change):
    assert canonical(trajectory(**change)) != canonical(trajectory())
