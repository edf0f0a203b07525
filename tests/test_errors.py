import pickle

import pytest

from lrat_sim import errors
from lrat_sim.errors import BoundaryError, InputError, LratSimError, RecordError, UnknownName
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
