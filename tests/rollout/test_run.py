import io
import resource
import sqlite3
import time
import zlib
from types import SimpleNamespace

import msgspec
import pytest
import yaml
from litellm.llms.custom_llm import CustomLLMError
from pyarrow import parquet
from rich.console import Console
from run_folder import content

from lrat_sim import keys, progress
from lrat_sim.agent.profile import AgentSettings, Limits
from lrat_sim.errors import FingerprintMismatch, InputError
from lrat_sim.models.call import Retries
from lrat_sim.models.client import Client
from lrat_sim.records import Grade, Hop, Plan, Task
from lrat_sim.rollout.index import Row, read_trajectories
from lrat_sim.rollout.summary import Tally, board

HOP = Hop(subject="Brindle Lighthouse", relation="designer", object="Maren Oxley", phrasings=["{subject} designer"])


def tasks(count, plan=None):
    return [Task(id=f"t{number}", question=f"Question {number}", answers=["x"], plan=plan) for number in range(count)]


@pytest.fixture
def agent(scripted):
    """An agent that searches once and answers with its task's number and its seed."""

    def answer(messages, parameters):
        number = messages[1]["content"].split()[-1]
        if messages[-1]["role"] == "user":
            return scripted.calls(("search", {"query": f"harbour {number}"}), reasoning="Search.")
        return scripted.says(f"Exact Answer: {number}.{parameters['seed']}", "Done.")

    scripted.provide(answer)
    return AgentSettings(model="scripted/x", name="a", retries=Retries(attempts=1))


def test_a_run_folder_holds_settings_trajectories_and_index(rollout, agent, scripted, tmp_path):
    summary = rollout(tasks(5), agent, tmp_path / "run", samples=2)
    assert (summary.asked, summary.ran, summary.reused, summary.answered, summary.errors) == (10, 10, 0, 10, 0)
    assert (summary.mean_steps, summary.cost, summary.success) == (1.0, None, None)
    settings = yaml.safe_load((tmp_path / "run" / "run.yaml").read_text())
    described = msgspec.json.decode(msgspec.json.encode(agent.describe()))
    assert settings["fingerprints"]["agent"] == described.pop("fingerprint")
    assert settings["settings"] == {"agent": described, "retriever": scripted.Tiny().describe(), "seed": 0}
    assert settings["calls"][0]["samples"] == 2
    assert {"lrat-sim", "litellm", "python"} <= settings["calls"][0]["versions"].keys()
    rows = parquet.read_table(tmp_path / "run" / "index.parquet").to_pylist()
    assert len({row["id"] for row in rows}) == 10
    with (tmp_path / "run" / "trajectories.jsonl").open("rb") as stream:
        for row in rows:
            stream.seek(row["offset"])
            trajectory = msgspec.json.decode(stream.readline())
            assert trajectory["id"] == row["id"]
    row = next(row for row in rows if row["task_id"] == "t3" and row["sample"] == 1)
    assert (row["status"], row["end_reason"], row["answer"]) == ("answered", "answer", "3.2026")
    assert (row["turns"], row["searches"], row["browses"], row["cost"]) == (2, 1, 0, None)
    assert (row["prompt_tokens"], row["completion_tokens"], row["reasoning_tokens"]) == (20, 10, 4)


def test_no_key_is_written(rollout, agent, tmp_path, monkeypatch):
    monkeypatch.setenv("OWN_KEY", "sk-very-secret")
    keyed = msgspec.structs.replace(agent, key_env="OWN_KEY")
    rollout(tasks(1), keyed, tmp_path)
    assert "sk-very-secret" not in "".join(path.read_text() for path in tmp_path.glob("*.*l*"))


def test_the_same_call_again_reuses_everything_and_says_so(rollout, agent, scripted, tmp_path, capsys):
    rollout(tasks(4), agent, tmp_path, table=True)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    retriever = scripted.Tiny()
    summary = rollout(tasks(4), agent, tmp_path, retriever=retriever, table=True)
    assert (summary.ran, summary.reused, summary.answered) == (0, 4, 4)
    assert retriever.searches == []
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert "4 of 4 runs are in" in capsys.readouterr().err


def test_more_tasks_and_samples_extend_a_run(rollout, agent, tmp_path):
    rollout(tasks(2), agent, tmp_path)
    summary = rollout(tasks(3), agent, tmp_path, samples=2)
    assert (summary.asked, summary.reused, summary.ran) == (6, 2, 4)
    assert len(yaml.safe_load((tmp_path / "run.yaml").read_text())["calls"]) == 2


@pytest.mark.parametrize("simulated", [False, True])
def test_any_concurrency_gives_the_same_trajectories_as_any_repetition(rollout, agent, tmp_path, simulated):
    if simulated:
        agent = AgentSettings(model="sim/default", limits=Limits(k=2, snippet_tokens=4))
    for name, concurrency in (("one", 1), ("eight", 8), ("again", 8)):
        rollout(tasks(10, Plan(hops=[HOP])), agent, tmp_path / name, concurrency=concurrency, samples=2)
    assert content(tmp_path / "one") == content(tmp_path / "eight") == content(tmp_path / "again")
    assert len(set(content(tmp_path / "one"))) == 20


def test_errors_are_run_again_and_the_last_record_counts(rollout, agent, scripted, tmp_path):
    down = {"t1", "t3"}

    def answer(messages, _):
        number = messages[1]["content"].split()[-1]
        if f"t{number}" in down:
            raise CustomLLMError(401, "down")
        return scripted.says(f"Exact Answer: {number}")

    scripted.provide(answer)
    summary = rollout(tasks(5), agent, tmp_path)
    assert (summary.answered, summary.errors) == (3, 2)
    down.clear()
    summary = rollout(tasks(5), agent, tmp_path)
    assert (summary.reused, summary.ran, summary.answered, summary.errors) == (3, 2, 5, 0)
    assert len((tmp_path / "trajectories.jsonl").read_bytes().splitlines()) == 7
    kept = list(read_trajectories(tmp_path))
    assert sorted(trajectory.task_id for trajectory in kept) == [f"t{number}" for number in range(5)]
    assert {trajectory.status for trajectory in kept} == {"answered"}
    assert {row["status"] for row in parquet.read_table(tmp_path / "index.parquet").to_pylist()} == {"answered"}


def test_one_failed_run_does_not_stop_its_neighbours(rollout, agent, scripted, tmp_path):
    retriever = scripted.Tiny()
    search = retriever.search

    def sometimes(queries, k):
        if queries[0].endswith("2"):
            raise OSError("disk")
        return search(queries, k)

    retriever.search = sometimes
    summary = rollout(tasks(5), agent, tmp_path, retriever=retriever)
    assert (summary.answered, summary.errors) == (4, 1)
    (broken,) = [each for each in read_trajectories(tmp_path) if each.status == "error"]
    assert (broken.task_id, broken.error.boundary) == ("t2", "retriever")


def test_a_torn_last_line_is_cut_off_and_run_again(rollout, agent, tmp_path):
    rollout(tasks(4), agent, tmp_path / "torn", concurrency=1)
    rollout(tasks(4), agent, tmp_path / "whole")
    path = tmp_path / "torn" / "trajectories.jsonl"
    path.write_bytes(path.read_bytes()[:-100])
    assert len(list(read_trajectories(tmp_path / "torn"))) == 3
    summary = rollout(tasks(4), agent, tmp_path / "torn")
    assert (summary.reused, summary.ran) == (3, 1)
    assert content(tmp_path / "torn") == content(tmp_path / "whole")


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"limits": Limits(k=3)}, r"agent\.limits\.k was 10 and is now 3"), ({"prompt": "Find.\n"}, r"agent\.prompt")],
)
def test_a_folder_of_another_agent_is_refused_by_what_differs(rollout, agent, scripted, tmp_path, changed, named):
    rollout(tasks(2), agent, tmp_path)
    with pytest.raises(FingerprintMismatch, match=named):
        rollout(tasks(2), msgspec.structs.replace(agent, **changed), tmp_path)
    with pytest.raises(FingerprintMismatch, match=r"retriever\.documents was 4 and is now 1"):
        rollout(tasks(2), agent, tmp_path, retriever=scripted.Tiny(scripted.DOCUMENTS[:1]))
    with pytest.raises(FingerprintMismatch, match="seed was 0 and is now 1"):
        rollout(tasks(2), agent, tmp_path, seed=1)
    # how a call is sent may change between two calls, what is asked may not
    patient = msgspec.structs.replace(agent, timeout=7.0)
    assert rollout(tasks(2), patient, tmp_path).reused == 2


def test_trajectories_without_their_settings_are_not_added_to(rollout, agent, tmp_path):
    rollout(tasks(2), agent, tmp_path)
    (tmp_path / "run.yaml").unlink()
    with pytest.raises(InputError, match=r"no run\.yaml"):
        rollout(tasks(2), agent, tmp_path)


def test_tasks_without_a_plan_are_left_out_by_name_before_a_simulated_run(rollout, tmp_path, capsys):
    mixed = [*tasks(2, Plan(hops=[HOP])), Task(id="bare", question="?")]
    summary = rollout(mixed, AgentSettings(model="sim/default"), tmp_path, table=True)
    assert (summary.left_out, summary.asked, summary.errors) == (["bare"], 2, 0)
    assert "left out 1 of 3 tasks, without a plan: bare" in capsys.readouterr().err
    with pytest.raises(InputError, match="none of the 1 tasks has a plan"):
        rollout(mixed[2:], AgentSettings(model="sim/default"), tmp_path, table=True)


def test_bad_input_is_refused_before_anything_runs(rollout, agent, tmp_path):
    with pytest.raises(InputError, match="no tasks"):
        rollout([], agent, tmp_path, table=True)
    with pytest.raises(InputError, match="'t0'"):
        rollout(tasks(1) * 2, agent, tmp_path, table=True)
    with pytest.raises(InputError, match="concurrency is 0"):
        rollout(tasks(1), agent, tmp_path, concurrency=0, table=True)
    there = {"model": "hosted_vllm/m", "base_url": "http://127.0.0.1:9/v1"}
    limited = msgspec.structs.replace(agent, **there, limits=Limits(cost=1.0))
    with pytest.raises(InputError, match=r"limits\.cost.*unknown"):
        rollout(tasks(1), limited, tmp_path, table=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        rollout(tasks(1), agent, tmp_path / "file" / "run", table=True)
    assert not (tmp_path / "trajectories.jsonl").exists()


def test_success_so_far_counts_unanswered_and_errors_as_failures(rollout, agent, scripted, tmp_path):
    def answer(messages, _):
        number = int(messages[1]["content"].split()[-1])
        if number == 3:
            raise CustomLLMError(401, "down")
        return scripted.says(["Exact Answer: x", "Exact Answer: y", "Exact Answer: unknown"][number % 3])

    def grade(task, trajectory):
        state = "correct" if trajectory.answer in task.answers else "incorrect"
        return Grade(trajectory_id=trajectory.id, state=state, judge="test")

    scripted.provide(answer)
    told = []
    arguments = {"grade": grade, "table": False, "progress": lambda *now: told.append(now)}
    first = rollout(tasks(6), agent, tmp_path, **arguments)
    # right: 0; wrong: 1, 4; unanswered: 2, 5; error: 3
    assert first.success == pytest.approx(1 / 6)
    assert told[-1] == (6, 6, "runs")
    again = rollout(tasks(6), agent, tmp_path, **arguments)
    assert again.success == pytest.approx(1 / 6)
    grades = {row["task_id"]: row["grade"] for row in parquet.read_table(tmp_path / "index.parquet").to_pylist()}
    assert (grades["t0"], grades["t1"], grades["t2"]) == ("correct", "incorrect", None)


def test_a_full_disk_is_one_sentence_and_loses_nothing(rollout, agent, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(InputError, match="free some space"):
            rollout(tasks(20), agent, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept = len(list(read_trajectories(tmp_path)))
    assert 0 < kept < 20
    assert rollout(tasks(20), agent, tmp_path).reused == kept
    assert len(content(tmp_path)) == 20


def test_a_key_that_the_provider_quotes_back_is_in_no_file_and_on_no_screen(
    rollout, scripted, tmp_path, monkeypatch, capfd
):
    key = "tok-5f1e9a77c0d24b13"
    monkeypatch.setattr(keys, "_known", set())
    monkeypatch.setattr(keys, "_written", ())
    monkeypatch.setenv("SOME_KEY", key)

    def answer(request, number):
        quoted = server.headers[number]["authorization"]
        assert quoted == f"Bearer {key}"
        assert key not in str(request)
        if number == 0:
            return scripted.Reply({"error": {"message": f"debug: {quoted}"}}, status=500)
        if number == 1:
            return scripted.Reply(scripted.body(scripted.calls(("search", {"query": quoted}), reasoning=quoted)))
        return scripted.Reply(scripted.body(scripted.says(f"Exact Answer: {quoted}")))

    with scripted.Server(answer) as server:
        agent = AgentSettings(model="openai/m", base_url=server.url, key_env="SOME_KEY", window=32_000)
        rollout([Task(id="t", question="q")], agent, tmp_path / "run", table=True)
    (trajectory,) = read_trajectories(tmp_path / "run")
    assert trajectory.answer == "Bearer [key]"
    assert "[key]" in trajectory.turns[0].attempts[0].error
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    with sqlite3.connect(tmp_path / "run" / "calls.sqlite") as calls:
        files += [zlib.decompress(packed) for (packed,) in calls.execute("SELECT completion FROM calls")]
    assert not [
        content for content in (*files, *(text.encode() for text in capfd.readouterr())) if key.encode() in content
    ]


TEXTS = {**dict.fromkeys(("id", "task_id", "agent", "retriever", "answer"), "x"), "end_reason": "answer"}
NUMBERS = dict.fromkeys(("sample", "seed", "turns", "failed_calls", "reasoning_tokens", "seconds", "offset"), 0)
TOKENS = {"prompt_tokens": 1000, "completion_tokens": 500}
GRADED = {"status": "answered", "error": None, "grade": "correct"}
ROW = Row(**TEXTS, **NUMBERS, **TOKENS, **GRADED, searches=3, browses=1, cost=0.25)


def counted(*rows, graded=True):
    tally = Tally(10, graded=graded)
    for changed in rows:
        tally.add(msgspec.structs.replace(ROW, **changed))
    return tally


def test_answers_at_a_limit_are_told_apart():
    tally = counted({}, {"end_reason": "turn_limit"}, {"status": "unanswered", "end_reason": "turn_limit"})
    assert tally.fields()["answered"] == "2, 1 of them forced"
    assert "answered" not in counted({}).fields()


def test_totals_are_shown():
    tally = counted({}, {"grade": "incorrect", "searches": 5}, {"status": "unanswered", "grade": None})
    assert tally.fields() == {
        "done": "3/10",
        "success so far": "33.3%",
        "steps": "4.7",
        "unanswered": "1",
        "errors": "0",
        "tokens": "4,500",
        "cost": "$0.75",
    }


def test_what_is_unknown_of_cost_or_tokens_is_said_and_never_zero():
    assert counted({}, {"cost": None}).fields()["cost"] == "unknown"
    assert counted({"cost": 0.0}).fields()["cost"] == "$0.00"
    tally = counted({}, {"prompt_tokens": None, "unknown_usage": 3})
    assert (tally.tokens, tally.fields()["tokens"]) == (None, "unknown (usage of 3 calls)")


def test_ungraded_answers_are_left_out_of_success():
    assert counted({}, {"grade": None}).success == 1.0
    assert counted({"grade": None}).fields()["success so far"] == "-"
    assert counted({}, graded=False).success is None


def test_errors_are_failures_but_not_in_the_mean_of_steps():
    tally = counted({}, {"status": "error", "grade": None, "searches": 100})
    assert (tally.success, tally.mean_steps) == (0.5, 4.0)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_gets_a_table_and_a_pipe_plain_lines_while_it_goes_on(terminal, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.01)
    console = Console(file=io.StringIO(), force_terminal=terminal, highlight=False, width=120)
    monkeypatch.setattr(progress, "console", console)
    tally = counted({})
    with board("rollout", tally, console, SimpleNamespace(limiter=SimpleNamespace(taken=17, limit=20), retried=3)):
        tally.add(ROW)
        time.sleep(0.5)
    before, last = console.file.getvalue().rsplit("rollout:", 1)
    assert ("──" in before) == terminal
    assert "17/20" in before
    assert "left 0:" in before.replace("\x1b", "") or terminal
    assert last.startswith(" done 2/10, success so far 100.0%")
    assert "calls" not in last, "what is true at the moment only"


def test_nothing_is_said_where_nobody_listens(capsys):
    with board("rollout", counted(), None, Client()):
        pass
    assert capsys.readouterr() == ("", "")
