import pickle
from typing import Annotated, Literal

import msgspec
import pytest

from lrat_sim import errors
from lrat_sim.errors import BoundaryError, InputError, LratSimError, RecordError, UnknownName, said_plainly
from lrat_sim.records import Failure, encode


def all_below(kind):
    return {kind, *(deeper for below in kind.__subclasses__() for deeper in all_below(below))}


def test_bad_input_and_failed_runs_are_kept_apart():
    assert not all_below(InputError) & all_below(BoundaryError)
    assert all_below(LratSimError) >= all_below(InputError) | all_below(BoundaryError)


@pytest.mark.parametrize(
    ("name", "boundary"),
    [
        ("ModelError", "model"),
        ("RetrieverError", "retriever"),
        ("UnknownDocument", "retriever"),
        ("JudgeError", "judge"),
        ("TaskError", "task"),
    ],
)
def test_failure_names_the_boundary_that_it_crossed(name, boundary):
    error = getattr(errors, name)("gone")
    assert error.boundary == boundary
    assert encode(Failure(boundary=error.boundary, message=str(error)))


def test_record_error_says_file_line_problem_and_remedy():
    assert str(RecordError("a.jsonl", 3, "no id")) == "a.jsonl, line 3: no id; correct or delete that line."
    assert str(RecordError("a.arrow", 0, "torn", "build it again")) == "a.arrow: torn; build it again."


def test_unknown_name_says_what_is_known():
    assert str(UnknownName("agent", "x", ["a", "b"])) == "no agent is called 'x'; known are a, b, or give a path."
    assert "'mine' (did you mean 'mime'?); known are" in str(UnknownName("agent", "mine", ["mime", "other"]))
    assert "known are none" in str(UnknownName("agent", "x", []))


@pytest.mark.parametrize("error", [RecordError("a.jsonl", 3, "no id"), UnknownName("agent", "x", ["a"])])
def test_errors_come_back_from_another_process(error):
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    size: Annotated[int, msgspec.Meta(ge=2)]
    mode: Literal["fast", "exact"] = "exact"


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    inner: Inner
    names: list[str] = []
    ranks: dict[int, str] = {}


@pytest.mark.parametrize(
    ("content", "within", "said"),
    [
        ({}, "", "it lacks `inner`"),
        ({"inner": {"size": 1}}, "", "`inner.size`: expected `int` >= 2"),
        ({"inner": {"size": 3, "sise": 3}}, "", "`inner`: there is no `sise`"),
        ({"inner": {"size": 3, "mode": "quick"}}, "search", "`search.inner.mode`: it cannot be 'quick'"),
        ({"inner": {"size": 3}, "names": ["a", 5]}, "search", "`search.names[1]`: expected `str`, got `int`"),
        ({"inner": {"size": 3}, "ranks": {"one": "a"}}, "", "a key of `ranks`: expected `int`, got `str`"),
        (7, "search", "`search`: expected `object`, got `int`"),
    ],
)
def test_a_wrong_field_is_named_before_what_is_wrong_with_it(content, within, said):
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.convert(content, Outer)
    assert said_plainly(raised.value, within) == said
