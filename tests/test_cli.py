import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import torch
import typer
from safetensors.torch import load_file

from lrat_sim import __version__, catalog, cli
from lrat_sim.agent.tool import known_tools
from lrat_sim.artifact import read_records, write_records
from lrat_sim.cli.commands import COMMANDS
from lrat_sim.comparison import load
from lrat_sim.formats import FORMATS
from lrat_sim.formats.pairs import PAIR_FORMATS
from lrat_sim.grading.run import GRADES, VERDICTS
from lrat_sim.mining.run import PAIRS
from lrat_sim.records import NOUNS, Grade, Pair, Verdict
from lrat_sim.retrieval import known_retrievers
from lrat_sim.rollout.index import read_trajectories

FIRST = ["demo", "rollout", "mine", "train", "compare", "flywheel", "view", "report"]


@pytest.fixture(scope="module")
def recorded(small_world, tmp_path_factory):
    """A run folder of four tasks, to be copied."""
    folder = tmp_path_factory.mktemp("recorded") / "run"
    line = ["rollout", "-t", str(small_world.folder), "-o", str(folder), "--limit", "4", "-r", "oracle"]
    done = subprocess.run([sys.executable, "-m", "lrat_sim.cli", *line], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture
def run(recorded, tmp_path):
    return shutil.copytree(recorded[0], tmp_path / "run")


def fits(text, but=()):
    """Whether no line is wider than 80 columns, but for those that start with a word and go on with a path."""
    return all(len(line) <= 80 for line in text.splitlines() if not line.startswith(tuple(but)))


def test_a_command_for_each_verb():
    steps = {"prepare", "world", "index", "search", "grade", "evaluate", "explain"}
    studies = {"sweep", "controls", "ablate", "behaviour", "probe"}
    data_sets = {"convert", "merge", "split", "export-pairs"}
    assert {*COMMANDS} == {*FIRST} | steps | studies | data_sets | {"check", "serve", "schema", "list", "judge-report"}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_fits_80_columns(command, name):
    out, err = command(name, "--help")
    assert f"lrat-sim {name}" in out
    assert fits(out)
    assert err == ""
    assert re.search(rf"Example:\s+lrat-sim {name}\b", out)


@pytest.mark.parametrize("name", COMMANDS)
def test_example_of_every_command_can_be_parsed(name):
    _, given, *arguments = shlex.split("lrat-sim " + COMMANDS[name].example)
    with typer.main.get_command(cli.build([name])).commands[given].make_context(name, arguments) as context:
        assert context.args == []


@pytest.mark.parametrize("arguments", [(), ("-h",), ("--help",)])
def test_help_names_every_command_the_eight_that_one_begins_with_first(command, arguments):
    out, _ = command(*arguments)
    assert command("--version")[0] == f"lrat-sim {__version__}\n"
    named = re.findall(r"^│ ([a-z-]+) +[A-Z]", out, re.MULTILINE)
    assert named == [*COMMANDS]
    assert named[:8] == FIRST


def test_list_names_what_can_be_named_and_says_what_it_is(command):
    out, err = command("list")
    found = {kind: catalog.names(kind) for kind in catalog.KINDS}
    found |= {"retrievers": known_retrievers(), "tools": known_tools()}
    found |= {"formats of trajectories": [*FORMATS], "formats of pairs": [*PAIR_FORMATS]}
    names = re.findall(r"^([a-z0-9][\w.-]*) {2,}\w", out, re.MULTILINE)
    assert names[1:] == [name for names in found.values() for name in names], "each with a word on it"
    assert all(re.search(rf"^{kind} *$", out, re.MULTILINE) for kind in found)
    assert fits(out)
    assert err == ""


@pytest.mark.parametrize("noun", NOUNS)
def test_schema_is_a_valid_json_schema(command, noun):
    jsonschema.Draft202012Validator.check_schema(json.loads(command("schema", noun)[0]))


def test_recorded_files_keep_to_the_printed_schemas(command, wheel):
    collected = {"trajectory": "trajectories", "task": "tasks", "grade": "grades", "verdict": "verdicts"}
    files = {noun: f"round-1/collect/{name}.jsonl" for noun, name in collected.items()}
    for noun, file in {**files, "pair": "round-1/pairs.jsonl"}.items():
        validator = jsonschema.Draft202012Validator(json.loads(command("schema", noun)[0]))
        lines = (wheel.folder / file).read_text().splitlines()[:5]
        assert lines
        for line in lines:
            validator.validate(json.loads(line))
        assert not validator.is_valid({})


def test_world_is_made_and_then_reused(command, tmp_path):
    sizes = {"documents": 1000, "seed": 3, **{f"{split}_tasks": 2 for split in ("train", "dev", "test", "ood")}}
    line = "prepare", "world", "-o", "here", *(f"--task-option={name}={size}" for name, size in sizes.items())
    out, err = command(*line)
    assert out == "task set: here\n"
    assert "1,000 documents; tasks: train 2" in err
    made = (tmp_path / "here" / "corpus" / "documents.arrow").stat().st_mtime_ns
    command(*line)
    assert (tmp_path / "here" / "corpus" / "documents.arrow").stat().st_mtime_ns == made


def test_index_says_what_it_built(command, small_world):
    out, _ = command("index", "bm25", "oracle", "-t", small_world.folder)
    assert [line.split(",")[0] for line in out.splitlines()] == ["bm25: 1", "oracle: 1"]
    assert all("1,000 documents, fingerprint " in line for line in out.splitlines())


def test_search_shows_hits_by_rank_or_says_that_there_are_none(command, small_world):
    document = small_world.corpus[10]
    out, _ = command("search", document.text[:200], "-t", small_world.folder, "-k", "3")
    assert document.id in out
    assert fits(out)
    assert re.findall(r"^ +(\d) ", out, re.MULTILINE) == ["1", "2", "3"]
    assert "Nothing is found" in command("search", "qqqqzzzz", "-t", small_world.folder)[0]


def test_rollout_puts_results_on_standard_output_and_progress_on_standard_error(recorded):
    _, done = recorded
    assert re.search(r"^ *tasks asked .* 4 *$", done.stdout, re.MULTILINE)
    assert "done 4/4" in done.stderr
    assert "done 4/4" not in done.stdout
    assert "tasks asked" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert fits(done.stdout)


def test_grade_mine_and_evaluate_a_run(command, run):
    (run / GRADES).unlink()
    assert re.search(r"ungraded +.* [1-4]", command("evaluate", run)[0])
    out, _ = command("grade", run)
    assert re.search(r"ungraded +.* 0", out)
    assert fits(out)
    assert list(read_records(run / GRADES, Grade))
    verdicts = list(read_records(run / VERDICTS, Verdict))
    assert verdicts
    out, err = command("mine", run, "--recipe", "mine-paper")
    pairs = list(read_records(run / PAIRS, Pair))
    assert f"Mining: {len(pairs)} pairs from" in out
    assert fits(out, ["pairs:"])
    assert "Mining" not in err
    assert len(list(read_records(run / VERDICTS, Verdict))) == len(verdicts), "a browse was judged again"
    assert command("evaluate", run, run)[0].count("success") == 1, "one column a run"


def test_mine_into_another_folder_with_an_option(command, run, tmp_path):
    out, _ = command("mine", run, "-o", "pairs", "--option", "weight=none")
    assert out.splitlines()[-1] == "pairs: pairs/pairs.jsonl"
    assert {pair.weight for pair in read_records(tmp_path / "pairs" / PAIRS, Pair)} == {1.0}
    assert not (run / PAIRS).exists()


def test_retrievers_are_compared_by_the_names_of_their_recipes(command, small_world, one_layer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "retrievers").mkdir()
    for name, text in (("plain", "query"), ("reading", "iter-i7")):
        options = {"model": str(one_layer), "pooling": "mean", "max_length": 64, "query_text": text, "device": "cpu"}
        own = catalog.dump_yaml({"retriever": "dense", "options": options})
        (tmp_path / "retrievers" / f"{name}.yaml").write_text(own)
    out, _ = command(
        "compare", "base=plain", "iter=reading", "both=hybrid:bm25+reading", "--task-set", small_world.folder,
        "--limit", "2", "--out", "compared",
    )  # fmt: skip
    assert "query text (base: 'query'; iter, both: 'iter-i7')" in " ".join(out.split())
    for arm, sent in (("base", []), ("iter", ["iter-i7"]), ("both", ["iter-i7"])):
        searches = [call for run in read_trajectories(tmp_path / "compared" / arm) for *_, call in run.searches()]
        assert all([*call.executed.get("sent", {})] == sent for call in searches)
        assert searches


def test_train_makes_a_model_that_can_be_searched_with(command, wheel, small_world, one_layer):
    options = [f"--option={each}" for each in ("epochs=1", "freeze_layers=0", "max_document_length=32")]
    line = "train", wheel.folder / "round-1", "-t", small_world.folder, "--base-model", one_layer, *options
    out, err = command(*line, "-o", "model")
    assert out == "model: model\n"
    assert "training steps" in err
    assert "reused" in command(*line, "-o", "model")[1]
    spec = f"dense:model={wheel.model},max_length=32"
    assert fits(command("search", "tower", "-t", small_world.folder, "-r", spec, "-k", "2")[0])


def test_pairs_go_out_with_their_texts_and_train_a_reranker_elsewhere(command, wheel, small_world, one_layer, tmp_path):
    round_one = wheel.folder / "round-1"
    out, _ = command("export-pairs", round_one, "-o", "lrat.jsonl", "--to", "lrat", "-t", small_world.folder)
    mined = sum(1 for _ in read_records(round_one / PAIRS, Pair))
    assert out.startswith(f"{mined:,} pairs as lrat: lrat.jsonl")
    few = "".join((tmp_path / "lrat.jsonl").read_text("utf-8").splitlines(keepends=True)[:6])
    (tmp_path / "few.jsonl").write_text(few, "utf-8")
    line = "train", "few.jsonl", "--texts-in-pairs", "--kind", "reranker", "--base-model", one_layer
    out, _ = command(*line, "-o", "reranker", "--option", "epochs=1")
    assert out == "model: reranker\n"
    out, _ = command("search", "river", "-r", "rerank:base=bm25,model=reranker,depth=4", "-t", small_world.folder)
    assert "river" in out.lower()


def test_train_measures_on_a_guard_set(command, wheel, small_world, one_layer, tmp_path, general):
    options = [f"--option={setting}" for setting in ("epochs=1", "freeze_layers=0")]
    line = "train", wheel.folder / "round-1", "-t", small_world.folder, "--base-model", one_layer, *options
    out, _ = command(*line, "-o", "model", "--guard", general)
    assert re.search(
        r"^nDCG@10 on the guard: [01]\.\d{4} before, [01]\.\d{4} after \([+-]0\.\d{4}\)$", out, re.MULTILINE
    )
    _, err = command(*line, "-o", "other", "--guard", general, "--kind", "reranker", code=2)
    assert "--guard" in err
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_two_processes_train_from_the_command_line(wheel, small_world, one_layer, tmp_path):
    """The model is that of one process, and one of them speaks."""
    pairs = list(read_records(wheel.folder / "round-1" / PAIRS, Pair))[:40]
    write_records(tmp_path / PAIRS, pairs)
    line = ["lrat_sim.cli", "train", tmp_path, "-t", small_world.folder, "--base-model", one_layer]
    line += ["--option=epochs=2", "--option=batch_size=8", "--option=max_document_length=16"]
    line += ["--option=freeze_layers=0"]
    models = []
    for name, start in (("two", ["torch.distributed.run", "--nproc-per-node", "2", "-m"]), ("one", [])):
        command = [sys.executable, "-m", *start, *map(str, line), "-o", str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"model: {tmp_path / name}\n"
        models.append(load_file(tmp_path / name / "model.safetensors"))
    base = load_file(Path(one_layer) / "model.safetensors")
    two, one, start = (torch.cat([each[key].flatten() for key in sorted(models[1])]) for each in (*models, base))
    # Adam divides small gradients by themselves, so that rounding moves a few weights by a whole step
    assert torch.linalg.norm(one - start) > 0
    assert torch.linalg.norm(two - one) < 0.02 * torch.linalg.norm(one - start)


def test_compare_prints_and_writes_the_paired_comparison(command, small_world, tmp_path):
    line = "compare", "bm25", "bound=oracle", "-t", small_world.folder, "-o", "runs", "--limit", "4"
    out, err = command(*line)
    comparison = load(tmp_path / "runs" / "comparison.json")
    assert comparison.arms == ["bm25", "bound"]
    assert comparison.tasks_asked == 4
    assert re.search(r"^bm25 \(base\) +\d", out, re.MULTILINE)
    assert "Differences from bm25" in command(*line, "--full")[0]
    assert fits(out)
    assert " ".join(out.split()).endswith(f"study: runs report: runs/report.html {comparison.answer}")
    assert "done 4/4" in err
    assert err.splitlines()[-1].endswith("next: lrat-sim view runs")
    assert command(*line)[1].count("4 of 4 runs are in") == 2


def test_flywheel_continues_with_another_k(command, wheel, wheel_settings, small_world, tmp_path):
    folder = shutil.copytree(wheel.folder, tmp_path / "wheel")
    options = [f"--training-option={name}={value}" for name, value in wheel_settings.training_options.items()]
    line = "flywheel", "-t", small_world.folder, "-o", folder, "--base-model", wheel_settings.base_model, *options
    line += ("--samples", "1", "--gate", "none")
    out, err = command(*line, "--test-tasks", "3", "--evaluate-k", "1", "--evaluate-k", "5", "--baseline", "oracle")
    assert {path.name for path in (folder / "evaluate").iterdir()} == {"test-k1", "test-k5"}
    assert load(folder / "evaluate" / "test-k1" / "comparison.json").tasks_asked == 3
    model = folder / "round-1" / "model"
    assert f"model: {model}\nretriever: hybrid:members={model}+bm25,weights=" in out
    assert f"\nstudy: {folder}\nreport: {folder / 'report.html'}\n" in out
    assert fits(out, ["model:", "retriever:", "study:", "report:", "test-k"])
    assert "were trained on already: reused" in err
    assert err.count("3 of 3 runs are in") == 4, "at k = 5 all is there: base, trained, base+bm25, oracle"


def test_check_of_the_simulated_agent_is_ok(command):
    out, _ = command("check", "simulated")
    for what in ("endpoint", "tool calls", "reasoning", "context window", "price"):
        assert re.search(rf"^{what} +ok ", out, re.MULTILINE)
    assert fits(out)


def test_check_of_an_endpoint_that_is_not_there_fails(command, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    option = "base_url=http://127.0.0.1:9/v1"
    out, _ = command("check", "openai-tools", "--agent-option", option, "--agent-option", "timeout=2", code=1)
    assert re.search(r"endpoint +fail ", out)
