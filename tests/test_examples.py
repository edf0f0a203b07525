"""Every example runs as it stands, in an empty folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lrat_sim.artifact import read_records
from lrat_sim.comparison import load
from lrat_sim.grading.run import VERDICTS
from lrat_sim.records import Verdict
from lrat_sim.rollout import read_trajectories

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def run(tmp_path):
    """run(name, *arguments, **environment) gives what an example prints."""

    def example(name, *arguments, **environment):
        command = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, env=os.environ | environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return example


def test_every_example_has_a_test():
    tested = {"generate", "compare", "custom_judge", "custom_retriever", "flywheel_world", "flywheel_2wiki"}
    tested |= {"flywheel_rounds"}  # in tests/study
    tested |= {"custom_tool", "real_model"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == tested


def test_flywheel_on_real_text_takes_ten_lines():
    assert len((EXAMPLES / "flywheel_2wiki.py").read_text().splitlines()) <= 10


def test_generate(run, tmp_path):
    names = [line.split()[0] for line in run("generate").splitlines()]
    assert names == ["bm25", "oracle"]
    for name in names:
        runs = list(read_trajectories(tmp_path / "runs" / "generate" / name))
        assert len(runs) == 40
        assert {trajectory.sample for trajectory in runs} == {0, 1}


@pytest.mark.slow
def test_compare(run, tmp_path):
    assert "bm25 (base)" in run("compare")
    comparison = load(tmp_path / "runs" / "compare" / "runs" / "comparison.json")
    assert [summary.name for summary in comparison.summaries] == ["bm25", "bm25:b=0.75", "oracle"]
    assert comparison.tasks_asked == 30


def test_custom_retriever(run, tmp_path):
    assert "bm25 (base)" in run("custom_retriever")
    runs = tmp_path / "runs" / "custom-retriever" / "runs"
    assert load(runs / "comparison.json").tasks_asked == 25
    described = {trajectory.retriever["kind"] for trajectory in read_trajectories(runs / "title-first")}
    assert described == {"title-first"}
    first = [hits[0].score for trajectory in read_trajectories(runs / "title-first") for hits in searches(trajectory)]
    assert any(score > 1000 for score in first), "a query that names a title has that document first"
    assert any(score < 1000 for score in first), "the others are ranked as by BM25"


def searches(trajectory):
    return [call.hits for turn in trajectory.turns for call in turn.calls if call.hits]


def test_custom_retriever_is_a_name_on_the_command_line_by_an_entry_point(tmp_path, small_world):
    """As the package of a user would register it."""
    shutil.copy(EXAMPLES / "custom_retriever.py", tmp_path / "my_search.py")
    package = tmp_path / "my_search-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: my-search\nVersion: 1.0\n")
    point = "[lrat_sim.retrievers]\ntitle-first = my_search:open_title_first\n"
    (package / "entry_points.txt").write_text(point)
    title = next(document.title for document in small_world.corpus if document.title)
    line = ["search", title, "-t", str(small_world.folder), "-r", "title-first:base=oracle", "-k", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "lrat_sim.cli", *line],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert title in done.stdout
    assert " 1,0" in done.stdout, "a score above a thousand: the title was named"


def test_custom_tool(run):
    lines = run("custom_tool").splitlines()
    assert [line.partition(":")[0] for line in lines[::3]] == ["DocID"] * 3


@pytest.mark.slow
def test_custom_judge(run, tmp_path):
    lines = run("custom_judge").splitlines()
    said = {name: float(value.rstrip("%")) for name, value in (line.rsplit(": ", 1) for line in lines)}
    match, prompt, rules, finding = said.values()
    assert 0 < prompt < match, "in fewer searches less is found"
    assert 0 < finding < rules, "who names a finding is fewer than who rejects nothing"
    states = {verdict.state for verdict in verdicts_of(tmp_path / "runs" / "custom-judge" / "run", "finding:1")}
    assert states == {"relevant", "irrelevant", "unjudged"}


def verdicts_of(folder, judge):
    return [verdict for verdict in read_records(folder / VERDICTS, Verdict) if verdict.judge == judge]


@pytest.mark.slow
def test_flywheel_world(run, tmp_path):
    gate, *answer = run("flywheel_world").splitlines()
    assert gate.startswith("gate: round 1 is accepted: +")
    assert any(line.startswith("trained ") for line in answer)
    assert (tmp_path / "runs" / "world" / "flywheel" / "evaluate" / "test-k5" / "comparison.json").is_file()


@pytest.mark.slow
def test_flywheel_2wiki(run, data):
    printed = run("flywheel_2wiki", LRAT_SIM_DATA=str(data)).splitlines()
    assert [line.split()[0] for line in printed] == ["test-k5"]


@pytest.mark.slow
def test_real_model(run, scripted, tmp_path):
    """With a scripted model in place of a real one, which opens what it found and reads out its first word."""

    def answer(request, number):
        texts = [message["content"] for message in request["messages"]]
        turn, question = sum(message["role"] == "assistant" for message in request["messages"]), texts[1]
        docids = re.findall(r"^DocID:(.+)$", "\n".join(texts), re.MULTILINE)
        text = "Thought: it says so.\nFinal Answer:\nExact Answer: nothing of that kind"
        if turn == 0:
            text = f"Thought: I search.\nAction: search[{question}]"
        elif turn == 1:
            text = f"Thought: I read.\nAction: get_document[{docids[0]}]"
        return scripted.Reply(scripted.body(scripted.says(text)))

    sizes = ("--documents", 1000, "--train-tasks", 20, "--tasks", 4)
    with scripted.Server(answer) as server:
        printed = run("real_model", *sizes, "--base-url", server.url, OPENAI_API_KEY="none")
        again = run("real_model", *sizes, "--base-url", server.url, OPENAI_API_KEY="none")
    assert again == printed, "rerun, it only reads what is there"
    for who in ("simulated", "real"):
        compared = load(tmp_path / "runs" / "real-model" / f"compare-{who}" / "comparison.json")
        assert [summary.name for summary in compared.summaries] == ["base", "trained", "bm25", "oracle", "own"]
        assert compared.tasks_asked == 4
    assert printed.count("Kendall's tau of") == 2
