"""Recorded runs as arms: what other tools logged is compared by its own scores, task by task and sample by sample."""

from __future__ import annotations

import json

import pytest

import lrat_sim as ls
from lrat_sim.errors import InputError
from lrat_sim.records import Task
from lrat_sim.study import compare_recorded, read_study
from lrat_sim.study.recorded import recorded_runs


def call(name="search", query="Elbe"):
    return {"id": "c", "function": name, "arguments": {"query": query}, "type": "function"}


def sample(task, epoch=1, *, score="C", answer="Ann", output='[{"docid": "d1"}]', tool="search", calls=1, **more):
    searched = [
        message
        for _ in range(calls)
        for message in (
            {"role": "assistant", "content": "", "source": "generate", "tool_calls": [call(tool)]},
            {"role": "tool", "tool_call_id": "c", "content": output},
        )
    ]
    last = [{"role": "assistant", "content": answer, "source": "generate"}] if answer else []
    return {
        "id": task, "epoch": epoch, "input": f"Who is {task}?", "target": "Ann",
        "messages": [{"role": "user", "content": f"Who is {task}?", "source": "input"}, *searched, *last],
        "scores": {"exact": {"value": score}, "f1": {"value": 0.25 if score == "C" else 0.75}},
        "model_usage": {"m": {"input_tokens": 10, "output_tokens": 5}}, **more,
    }  # fmt: skip


@pytest.fixture
def log(tmp_path):
    """Writes a log of inspect_ai; its path."""

    def write(name, *samples, model="m"):
        header = {"version": 2, "status": "success", "eval": {"model": model, "eval_id": name}, "plan": {}}
        header["results"] = {"scores": [{"name": "exact"}]}
        (tmp_path / f"{name}.json").write_text(json.dumps({**header, "samples": samples}))
        return tmp_path / f"{name}.json"

    return write


@pytest.fixture
def compared(tmp_path):
    def run(*paths, **options):
        result = compare_recorded({path.stem: path for path in paths}, tmp_path / "out", **options)
        return result.comparisons["."]

    return run


TASKS = [f"t{number}" for number in range(12)]


def test_success_steps_and_tokens_of_two_logs_are_paired_by_task(log, compared):
    a = log("a", *(sample(task, score="I", calls=3) for task in TASKS))
    b = log("b", *(sample(task, score="C" if task != "t0" else "I") for task in TASKS))
    made = compared(a, b)
    success = made.pairing("b").measures["success"]
    assert (made.tasks_asked, success.base, success.arm) == (12, 0.0, 11 / 12)
    assert success.p_holm < 0.05
    assert success.difference.low > 0
    assert made.pairing("b").lost == []
    assert made.pairing("b").tied == ["t0"]
    steps = made.pairing("b").measures["steps"]
    assert (steps.base, steps.arm) == (3.0, 1.0)
    assert made.arm("a").means["tokens"] == 15.0
    assert made.answer.startswith("Not compared, since not every arm states them: evidence recall")
    assert "cost" in made.answer
    assert "b solves 91.7 % of 12 tasks, a 0.0 %" in made.answer


def test_samples_are_matched_by_task_and_epoch_and_the_rest_is_counted(log, compared):
    a = log("a", *(sample(task, epoch) for task in TASKS for epoch in (1, 2)), sample("only-a"))
    b = log("b", *(sample(task, epoch, score="I") for task in TASKS for epoch in (2, 3)))
    made = compared(a, b)
    assert made.tasks_asked == 12
    assert "25 runs, with 1 of 13 tasks, are left out" in made.answer  # 12 of epoch 1, 12 of epoch 3, and one
    assert made.arm("a").counts["answered"] == 12
    with pytest.raises(InputError, match="share no task by its id"):
        compared(log("a", sample("x")), log("b", sample("y")))


def test_a_named_score_says_success_and_may_lie_between_zero_and_one(log, compared):
    a, b = log("a", *map(sample, TASKS)), log("b", *(sample(task, score="I") for task in TASKS))
    made = compared(a, b, score="f1")
    success = made.pairing("b").measures["success"]
    assert (success.base, success.arm, success.test, made.setting["judge"]) == (0.25, 0.75, "permutation", "f1")
    with pytest.raises(InputError, match="a has no score 'f2'; it has exact, f1"):
        compared(a, b, score="f2")


def test_a_log_without_right_or_wrong_wants_a_score_named(log, compared):
    a, b = (log(name, *(sample(task, score=0.5) for task in TASKS)) for name in "ab")
    with pytest.raises(InputError, match="--score must name one; it has exact, f1"):
        compared(a, b)


def test_runs_that_broke_fail_and_a_right_one_without_an_answer_counts(log, compared):
    broken = sample("t1", error={"message": "gone"})
    a = log("a", sample("t0", answer=None), broken, sample("t2"))
    made = compared(a, log("b", *map(sample, ("t0", "t1", "t2"))))
    assert (made.arm("a").means["success"], made.arm("a").errors) == (2 / 3, 1)
    assert "Runs that broke count as failures: 1 of a." in made.answer


def test_evidence_comes_from_a_task_set_where_documents_are_recognised(log, compared):
    tasks = [Task(id=task, question="?", evidence=["d1"]) for task in TASKS]
    found = log("a", *map(sample, TASKS))
    other = log("b", *(sample(task, output='[{"docid": "d2"}]') for task in TASKS))
    made = compared(found, other, tasks=tasks)
    recall = made.pairing("b").measures["evidence_recall"]
    assert (recall.base, recall.arm) == (1.0, 0.0)
    plain = log("c", *(sample(task, output="The Elbe rises there.", tool="web") for task in TASKS))
    made = compared(found, plain, tasks=tasks)
    assert made.arm("c").means["evidence_recall"] is None  # its documents are not known, which is not none
    assert made.arm("c").means["searches"] is None
    assert "evidence recall" in made.answer.split(".")[0]


def test_logs_of_two_tools_and_a_run_folder_are_arms_together(log, compared, tmp_path):
    a = log("a", *map(sample, TASKS))
    ls.convert(a, tmp_path / "traces.jsonl", to="verifiers")
    ls.convert(a, tmp_path / "folder", to="run")
    made = compared(a, tmp_path / "traces.jsonl", tmp_path / "folder")
    assert [arm.means["success"] for arm in made.summaries] == [1.0] * 3
    assert made.arm("folder").runs == ["../folder"]  # read where it lies
    assert (tmp_path / "out" / "traces" / "trajectories.jsonl").is_file()


def test_the_verb_compares_paths_and_reports(log, tmp_path, capsys):
    a, b = log("a", *map(sample, TASKS)), log("b", *(sample(task, score="I") for task in TASKS))
    result = ls.compare([str(a), str(b)], out=tmp_path / "out")
    assert "b solves 0.0 % of 12 tasks" in result.answer
    assert (tmp_path / "out" / "report.html").is_file()
    assert read_study(tmp_path / "out").cells[0].arms == ["a", "b"]
    assert next(iter(result.table().columns)) == "run"
    again = ls.compare({"a": a, "second": b}, out=tmp_path / "out", score="exact")
    assert again.comparisons["."].arms == ["a", "second"]


@pytest.mark.parametrize(
    ("arms", "options", "problem"),
    [
        (["a.json", "bm25"], {}, "'bm25' is no recorded run"),
        (["a.json"], {}, "two logs or more"),
        (["a.json", "nowhere.eval"], {}, "nowhere.eval does not exist"),
        (["a.json", "x=a.json"], {"limit": 5}, "so that limit cannot be set"),
        (["a.json", "x=a.json"], {"seeds": [0, 1]}, "so that seeds cannot be set"),
        (["a.json", "a.json"], {}, "have one name"),
        (["bm25", "oracle"], {"score": "exact"}, "'bm25' is no recorded run"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(arms, options, problem, log, tmp_path, monkeypatch):
    log("a", *map(sample, TASKS))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=problem):
        ls.compare(arms, out="out", **options)


def test_runs_of_several_agents_in_one_log_are_refused(log, compared, tmp_path):
    a = log("a", *map(sample, TASKS))
    ls.convert(a, tmp_path / "one", to="run")
    ls.convert(log("b", *map(sample, TASKS), model="other"), tmp_path / "two", to="run")
    ls.merge([tmp_path / "one", tmp_path / "two"], tmp_path / "both")
    with pytest.raises(InputError, match="both holds several runs of sample 0 of the task 't0'"):
        compared(a, tmp_path / "both")


def test_a_damaged_log_is_refused_with_its_place(log, compared, tmp_path):
    a = log("a", *map(sample, TASKS))
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "traces.jsonl").write_text('{"traces": [')
    with pytest.raises(InputError, match=r"traces\.jsonl, line 1"):
        ls.compare([str(a), str(tmp_path / "traces")], out=tmp_path / "out")
    broken = log("b", {"id": "t0", "epoch": 1, "messages": "none"})
    with pytest.raises(InputError, match="sample t0, epoch 1: the field `messages` should be a list"):
        compared(a, broken)


def test_a_folder_of_something_else_is_refused(log, small_world, tmp_path):
    a, b = log("a", *map(sample, TASKS)), log("b", *map(sample, TASKS))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "study.json").write_text('{"kind": "compare", "settings": {}}')
    with pytest.raises(InputError, match="holds no comparison of recorded runs but something else"):
        compare_recorded({"a": a, "b": b}, tmp_path / "out")


def test_model_folders_and_names_are_no_recorded_runs(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "modules.json").write_text("[]")
    (tmp_path / "empty").mkdir()
    assert [recorded_runs(given) for given in (tmp_path / "model", tmp_path / "empty", "bm25", object())] == [None] * 4
    assert recorded_runs("a.eval") is not None
