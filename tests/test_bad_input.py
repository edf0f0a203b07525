"""Bad input on the command line: exit code 2, one sentence that names the place and the remedy, nothing lost."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from lrat_sim import cli
from lrat_sim.artifact import read_records, write_records
from lrat_sim.corpus import prepare
from lrat_sim.records import Negative, Pair, Provenance, Trajectory, canonical
from lrat_sim.rollout.index import read_trajectories

DOCUMENTS = [
    {"id": "a", "title": "Brindle Lighthouse", "text": "Brindle Lighthouse was designed by Maren Oxley."},
    {"id": "b", "title": "Maren Oxley", "text": "Maren Oxley was born in Thornmouth."},
    {"id": "c", "title": "Thornmouth", "text": "Thornmouth is a town with a harbour."},
]
PLAN = {"hops": [{"subject": "Brindle Lighthouse", "relation": "designer", "object": "Maren Oxley"}]}
TASKS = {
    split: [
        {
            "id": f"{split}-1",
            "question": f"Who designed Brindle Lighthouse, {split}?",
            "answer": "Maren Oxley",
            "evidence": ["a"],
            "plan": PLAN,
        }
    ]
    for split in ("train", "test")
}


def lay_down(folder, documents=DOCUMENTS, tasks=TASKS):
    """The local copy of a task set of one's own."""
    folder.mkdir()
    for name, lines in {"corpus": documents, **tasks}.items():
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        (folder / f"{name}.jsonl").write_text("".join(f"{text}\n" for text in texts))
    return folder


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "lock" not in path.name}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A prepared data set and a graded run on it, to be copied."""
    folder = tmp_path_factory.mktemp("made")
    prepare("jsonl", folder / "set", source=lay_down(folder / "source"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in ("index bm25:b=0.7 oracle -t set", "rollout -t set -o run --samples 3 --seed 4"):
            patch.setattr(sys, "argv", ["lrat-sim", *line.split()])
            with pytest.raises(SystemExit) as left:
                cli.main()
            assert left.value.code in (None, 0)
    return folder


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    """A working folder with ``source``, ``set``, ``run``, and ``file``, which is not a folder."""
    folder = shutil.copytree(made, tmp_path / "here")
    (folder / "file").write_text("a file\n")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("LRAT_SIM_DATA", raising=False)
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A slow machine would say how long an index took, beside the sentence."""
    monkeypatch.setattr("lrat_sim.progress._SECONDS_WORTH_A_LINE", float("inf"))


@pytest.fixture
def refused(command, place):
    """refused(*arguments) expects bad input and gives the sentence, once it is sure that nothing was lost."""

    def run(*arguments):
        before = contents(place)
        out, err = command(*arguments, code=2)
        assert out == ""
        assert err.count("\n") == 1, err
        assert err.startswith("lrat-sim: ")
        assert err.endswith(".\n")
        after = contents(place)
        assert {path: after.get(path) for path in before} == before
        return err

    return run


# --- documents and tasks


SOURCES = {
    "a line without id": ({"documents": [DOCUMENTS[0], {"text": "No id."}]}, ["corpus.jsonl, line 2", "`id`"]),
    "a line without text": ({"documents": [DOCUMENTS[0], {"id": "b"}]}, ["corpus.jsonl, line 2", "`text`"]),
    "a line that is not JSON": ({"documents": [*DOCUMENTS, "{'id': 'd'}"]}, ["corpus.jsonl, line 4"]),
    "an empty id": ({"documents": [{"id": " ", "text": "x"}]}, ["corpus.jsonl, line 1", "id is empty"]),
    "nothing but empty documents": ({"documents": [{"id": "a", "text": " "}]}, ["empty"]),
    "no task at all": ({"tasks": {"test": []}}, ["has no tasks"]),
    "a duplicate id": ({"documents": [*DOCUMENTS, DOCUMENTS[1]]}, ["corpus.jsonl, line 4", "'b'", "line 2"]),
    "an empty corpus": ({"documents": []}, ["empty"]),
    "evidence that is not there": (
        {"tasks": {"test": [{**TASKS["test"][0], "evidence": ["zzz"]}]}},
        ["test.jsonl, line 1", "'zzz'", "missing_evidence"],
    ),
    "a task without question": ({"tasks": {"test": [{"id": "t"}]}}, ["test.jsonl, line 1", "`question`"]),
    "a duplicate task": ({"tasks": {"test": TASKS["test"] * 2}}, ["test.jsonl, line 2", "'test-1'", "line 1"]),
    "a plan that is none": ({"tasks": {"test": [{**TASKS["test"][0], "plan": {"hop": 1}}]}}, ["line 1", "plan"]),
}


@pytest.mark.parametrize(("given", "words"), SOURCES.values(), ids=SOURCES)
def test_wrong_source_is_refused(refused, place, given, words):
    lay_down(place / "wrong", **given)
    said = refused("index", "bm25", "-t", "jsonl", "--source", "wrong")
    for word in words:
        assert word in said


def test_source_that_was_mended_is_read_on_the_next_call(refused, command, place):
    lay_down(place / "wrong", documents=[*DOCUMENTS, DOCUMENTS[0]])
    refused("index", "bm25", "-t", "jsonl", "--source", "wrong")
    (place / "wrong" / "corpus.jsonl").write_text((place / "source" / "corpus.jsonl").read_text())
    assert "bm25: 3 documents" in command("index", "bm25", "-t", "jsonl", "--source", "wrong")[0]


def test_source_that_changed_is_refused(refused, command, place):
    command("index", "bm25", "-t", "jsonl", "--source", "source")
    with (place / "source" / "corpus.jsonl").open("a") as lines:
        lines.write(json.dumps({"id": "d", "text": "New."}) + "\n")
    assert "corpus.jsonl" in refused("index", "bm25", "-t", "jsonl", "--source", "source")


# --- names, options, folders: (arguments, words of the sentence)


MISSING = {
    "source": ("index bm25 -t jsonl --source nowhere", ["nowhere does not exist", "give the folder"]),
    "no source": ("index bm25 -t 2wikimultihopqa", ["2wikimultihopqa", "LRAT_SIM_DATA"]),
    "grade": ("grade nowhere", ["nowhere", "run folder"]),
    "judge": ("grade nowhere --answers none", ["nowhere", "run folder"]),
    "mine": ("mine nowhere", ["nowhere", "run folder"]),
    "evaluate": ("evaluate nowhere", ["nowhere", "run folder"]),
    "pairs": ("train nowhere.jsonl -t set -o model", ["nowhere.jsonl", "mine pairs first"]),
    "pairs in a folder": ("train run -t set -o model", ["run/pairs.jsonl", "mine pairs first"]),
    "model": ("search tower -t set -r dense:model=./nowhere", ["./nowhere"]),
    "folder without a model": ("search tower -t set -r source/../run", ["run holds no encoder"]),
    "report": ("judge-report nowhere", ["nowhere"]),
}
UNKNOWN = {
    "retriever of search": ("search tower -t set -r nosuch", ["'nosuch'", "bm25, dense"]),
    "retriever of rollout": ("rollout -t set -o new -r nosuch", ["'nosuch'", "bm25, dense"]),
    "second retriever": ("compare bm25 nosuch -t set -o new", ["'nosuch'", "bm25, dense"]),
    "baseline": ("flywheel -t set -o new --baseline nosuch", ["'nosuch'", "bm25, dense"]),
    "agent": ("rollout -t set -o new -a nosuch", ["agent", "'nosuch'", "simulated"]),
    "retriever, before a world is made": ("compare bm25 nosuch -t world", ["'nosuch'", "bm25, dense"]),
    **{
        f"agent of {verb}, before a world is made": (f"{verb} -t world -a nosuch", ["agent", "'nosuch'"])
        for verb in ("compare bm25 oracle", "flywheel", "ablate", "controls", "probe")
    },
    "agent of check": ("check nosuch", ["agent", "'nosuch'", "simulated"]),
    "task set": ("rollout -t nosuch -o new", ["task set", "'nosuch'", "world"]),
    "mining recipe": ("mine run --recipe nosuch", ["recipe", "'nosuch'", "mine-paper"]),
    "training recipe": ("train run -t set -o model --recipe nosuch", ["recipe", "'nosuch'", "train-small"]),
    "recipe of the flywheel": ("flywheel -t set -o new --training nosuch", ["recipe", "'nosuch'", "train-small"]),
    "split": ("rollout -t set -o new --split nosuch", ["split 'nosuch'", "train", "--split"]),
    "split of the flywheel": ("flywheel -t set -o new --split nosuch", ["split 'nosuch'", "train"]),
    "record": ("schema nosuch", ["nosuch", "trajectory"]),
    "command": ("nosuch", ["nosuch", "lrat-sim --help"]),
}
VALUES = {
    "agent option": ("rollout -t set -o new --agent-option limits.turns=0", ["limits.turns", "1"]),
    "agent field": ("rollout -t set -o new --agent-option zork=1", ["zork"]),
    "persona": ("rollout -t set -o new --agent-option simulation.zork=1", ["zork"]),
    "training option": ("train run -t set -o model --option epochs=0", ["epochs", ">= 1"]),
    "training field": ("train run -t set -o model --option zork=0", ["zork"]),
    "training of the flywheel": ("flywheel -t set -o new --training-option epochs=x", ["epochs"]),
    "recipe option": ("mine run --option weight=zork", ["weight", "zork"]),
    "recipe field": ("mine run --option zork=1", ["zork"]),
    "task option": ("prepare world -o new --task-option zork=1", ["zork"]),
    "documents": ("prepare world -o new --task-option documents=10", ["documents", ">= 1000"]),
    "seed of a world": ("prepare world -o new --task-option seed=-1", ["seed", ">= 0"]),
    "retriever option": ("search tower -t set -r bm25:zork=1", ["zork", "k1"]),
    "retriever value": ("search tower -t set -r bm25:k1=zork", ["k1"]),
    "retriever grammar": ("search tower -t set -r bm25:zork", ["'zork'", "name=value"]),
    "KEY=VALUE": ("rollout -t set -o new --agent-option limits.turns", ["'limits.turns'", "KEY=VALUE"]),
    "KEY=VALUE without a key": ("mine run --option =1", ["'=1'", "KEY=VALUE"]),
    "VALUE that is no YAML": ("mine run --option weight=[", ["weight=["]),
    "one retriever": ("compare bm25 -t set -o new", ["two retrievers"]),
    "the same retriever twice": ("compare bm25 bm25 -t set -o new", ["NAME=SPEC"]),
    "an arm that is a way out": ("compare ..=bm25 oracle -t set -o new", ["'..'"]),
    "a baseline with a taken name": ("flywheel -t set -o new --baseline base=bm25", ["base", "NAME=SPEC"]),
}
USAGE = {
    "k": ("search tower -t set --k 0", ["--k", "lrat-sim search --help"]),
    "evaluate-k": ("flywheel -t set -o new --evaluate-k 0", ["--evaluate-k"]),
    "number": ("mine run --processes many", ["--processes", "integer"]),
    "bound": ("split run -o new --test -1", ["--test", "0"]),
    "choice": ("train run --kind nosuch", ["--kind", "encoder"]),
    "option": ("prepare world --nosuch 2", ["--nosuch"]),
    "no query": ("search", ["query"]),
    "no task set": ("rollout", ["--task-set"]),
    "no value": ("rollout --out", ["--out"]),
    "too much": ("list too much", ["too much"]),
}
UNWRITABLE = {
    "world": "prepare world -o file/new --task-option documents=1000",
    "rollout": "rollout -t set -o file/new",
    "compare": "compare bm25 oracle -t set -o file/new",
    "flywheel": "flywheel -t set -o file/new",
    "controls": "controls -t set -o file/new",
    "mine": "mine run -o file/new",
    "data": "index bm25 -t jsonl --source source --data file/new",
    "demo": "demo -o file/new",
    "a file as run folder": "rollout -t set -o file",
}
OTHER_SETTINGS = {
    "rollout -t set -o run": "seed was 4 and is now 0",
    "rollout -t set -o run --seed 4 -k 2": "limits.k was 5 and is now 2",
    "rollout -t set -o run --seed 4 -r bm25:b=0.7": "b was 0.4 and is now 0.7",
    "rollout -t set -o run --seed 4 -a simulated-hasty": "agent",
    "flywheel -t set -o run": "run",
}
CASES = {
    "missing": MISSING,
    "unknown": UNKNOWN,
    "value": VALUES,
    "usage": USAGE,
    "unwritable": {name: (line, ["file", "choose another"]) for name, line in UNWRITABLE.items()},
    "other settings": {line: (line, [word, "choose another"]) for line, word in OTHER_SETTINGS.items()},
}


@pytest.mark.parametrize(
    ("line", "words"),
    [pytest.param(*case, id=f"{kind}: {name}") for kind, cases in CASES.items() for name, case in cases.items()],
)
def test_wrong_command_is_refused_and_makes_nothing(refused, place, line, words):
    there = sorted(os.listdir(place))
    said = refused(*line.split(" "))
    for word in words:
        assert word in said
    assert sorted(os.listdir(place)) == there


def test_model_folder_that_cannot_be_written_to_is_refused(refused, place, one_layer):
    where = Provenance(task="train-1", trajectory="t", turn=0, rank=1, rule="browsed")
    negatives = [Negative(docid="b")]
    pair = Pair(query="q", positive="a", negatives=negatives, weight=1.0, raw_weight=0.5, length=9, provenance=where)
    write_records(place / "pairs.jsonl", [pair])
    training = "--base-model", str(one_layer), "--option", "freeze_layers=0"
    said = refused("train", "pairs.jsonl", "-t", "set", "-o", "file/new", *training)
    assert "file" in said
    assert "choose another folder" in said


def test_base_model_that_cannot_be_loaded_does_not_bind_the_folder(command, refused, place, one_layer):
    wheel = "flywheel", "-t", "set", "-o", "wheel"
    assert "./nowhere" in refused(*wheel, "--base-model", "./nowhere")
    # three documents teach nothing, which is said after the collection: the folder was free for the right model
    assert "no pairs to train on" in command(*wheel, "--base-model", one_layer, "--samples", "1", code=2)[1]


# --- what is damaged


def cut(path, share=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("set/dataset.json", ["dataset.json is not the card of a prepared data set", "empty folder"]),
        ("set/corpus/corpus.json", ["corpus.json is not the card of a finished corpus", "again"]),
        ("set/corpus/documents.arrow", ["set/corpus is damaged", "again"]),
        ("set/corpus/id_rows.npy", ["set/corpus is damaged", "again"]),
        ("set/tasks/train.jsonl", ["train.jsonl holds 0 tasks", "again"]),
    ],
)
def test_damaged_data_set_is_refused(refused, place, file, words):
    cut(place / file)
    said = refused("search", "tower", "-t", "set")
    for word in words:
        assert word in said


def test_documents_that_changed_under_the_same_fingerprint_are_refused(refused, place):
    file = place / "set" / "corpus" / "documents.arrow"
    file.write_bytes(file.read_bytes().replace(b"Maren", b"Karen"))
    said = refused("search", "Karen", "-t", "set")
    assert "set/corpus is damaged (documents.arrow holds other bytes than were written); build the corpus again" in said


def test_preparing_says_what_was_found_and_what_was_left_out(command, place):
    documents = [*DOCUMENTS, {"id": "d", "text": ""}]
    task = {**TASKS["test"][0], "evidence": ["a", "d"]}
    lay_down(place / "new", documents=documents, tasks={"test": [task, {"id": "t2", "question": "Why?"}]})
    (place / "new" / "corpus.zip").write_bytes(b"x")
    _, err = command("index", "bm25", "-t", "jsonl", "--source", "new")
    for sentence in (
        "jsonl: 3 documents; tasks: test 2; in ",
        "Tasks with a plan: 1 of 2 (test 1).",
        "Documents left out, having neither text nor title: 1 (named as evidence: 1).",
        "Files that are not read: corpus.zip.",
    ):
        assert sentence in err


@pytest.mark.parametrize("name", ["vocabulary.json", "index.json", "rows.npy", "values.npy"])
def test_damaged_index_is_refused_and_built_again_once_it_is_deleted(refused, command, place, name):
    shutil.rmtree(place / "set" / "indexes")
    command("search", "Brindle", "-t", "set")
    (file,) = (place / "set" / "indexes").rglob(name)
    cut(file)
    said = refused("search", "Brindle", "-t", "set")
    assert "is damaged" in said
    assert "delete that folder" in said
    shutil.rmtree(next(parent for parent in file.parents if parent.name == "bm25"))
    assert "Brindle" in command("search", "Brindle", "-t", "set")[0]


def test_damaged_dense_index_is_refused(refused, command, place, one_layer):
    spec = f"dense:model={one_layer}"
    command("search", "Brindle", "-t", "set", "-r", spec)
    vectors = [path for path in (place / "set" / "indexes").rglob("*.npy") if "dense" in str(path)]
    cut(max(vectors, key=lambda path: path.stat().st_size))
    assert "is damaged" in refused("search", "Brindle", "-t", "set", "-r", spec)


def test_torn_last_line_is_healed_and_loses_nothing_else(command, place):
    run = place / "run"
    whole = {trajectory.id: canonical(trajectory) for trajectory in read_trajectories(run)}
    file = run / "trajectories.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    assert len(lines) == 3
    file.write_bytes(b"".join(lines[:2]) + lines[2][: len(lines[2]) // 2])
    command("evaluate", "run")  # reading passes a torn line over
    _, err = command("rollout", "-t", "set", "-o", "run", "--samples", "3", "--seed", "4")
    assert "2 of 3 runs are in run already: reused" in err
    assert file.read_bytes().startswith(b"".join(lines[:2]))
    assert {trajectory.id: canonical(trajectory) for trajectory in read_records(file, Trajectory)} == whole


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        *(("torn", line) for line in ("evaluate run", "grade run", "mine run", "rollout -t set -o run --seed 4")),
        *(("turns", line) for line in ("evaluate run", "mine run")),
    ],
)
def test_damaged_line_in_the_middle_and_wrong_field_are_refused(refused, place, damage, line):
    file = place / "run" / "trajectories.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    wrong = lines[1][:40] if damage == "torn" else json.dumps({**json.loads(lines[1]), "turns": 3}).encode()
    file.write_bytes(lines[0] + wrong + b"\n" + lines[2])
    said = refused(*line.split())
    assert "trajectories.jsonl, line 2" in said
    assert damage == "torn" or damage in said


# --- the same in a process of its own


@pytest.mark.parametrize(
    "line", ["search tower -t set -r nosuch", "search tower -t set -k none", "rollout -t set -o file/new"]
)
def test_process_leaves_with_exit_code_2_and_one_line(place, line):
    command = [sys.executable, "-m", "lrat_sim.cli", *line.split()]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("lrat-sim: ")
    assert done.stderr.count("\n") == 1


# --- what is not ours, or of a later lrat-sim: a refused command leaves every byte where it was


LINE = '{"mine": 1}\n{"mine": 2}'
FOREIGN = {
    "a run's trajectories": ("new/trajectories.jsonl", LINE, "rollout -t set -o new"),
    "a run's trajectories on one line": ("new/trajectories.jsonl", '[{"mine": 1}]', "rollout -t set -o new"),
    "a run's tasks": ("new/tasks.jsonl", LINE, "rollout -t set -o new"),
    "a run's index": ("new/index.parquet", "PAR1", "rollout -t set -o new"),
    "a run's manifest": ("new/run.yaml", "mine: 1\n", "rollout -t set -o new"),
    "a run's manifest, emptied": ("run/run.yaml", "", "rollout -t set -o run --seed 4"),
    "grades": ("run/grades.jsonl", LINE, "grade run"),
    "grades, torn": ("run/grades.jsonl", '{"mi', "grade run"),
    "verdicts": ("run/verdicts.jsonl", LINE, "grade run --answers none"),
    "pairs": ("new/pairs.jsonl", LINE, "mine run -o new"),
    "an account of a mining": ("new/mining.json", "[1]", "mine run -o new"),
    "a study": ("new/study.json", "[1]", "compare bm25 oracle -t set -o new"),
    "a comparison": ("new/comparison.json", '{"mine": 1}', "compare bm25 oracle -t set -o new"),
    "an arm": ("new/oracle/tasks.jsonl", LINE, "compare oracle bm25 -t set -o new"),
    "a flywheel": ("new/study.json", "{}", "flywheel -t set -o new"),
    "a corpus": ("new/corpus/corpus.json", "{}", "prepare world -o new --task-option documents=1000"),
    "tasks": ("new/tasks/train.jsonl", LINE, "prepare world -o new --task-option documents=1000"),
    "behaviour": ("new/behaviour.json", '{"mine": 1}', "behaviour run -o new"),
    "measures": ("new/measures.csv", "a,b\n", "behaviour run -o new"),
    "a conversion": ("new/data.parquet", "PAR1", "convert run -o new --to parquet"),
    "a file for a conversion": ("new.jsonl", LINE, "convert run -o new.jsonl --to openai"),
    "a sheet": ("run/sheet-answers.csv", "a,b\n1,2\n", "grade run --sample 2"),
}


@pytest.mark.parametrize(("name", "content", "line"), FOREIGN.values(), ids=FOREIGN)
def test_nothing_is_written_over_what_is_not_ours(command, place, name, content, line):
    path = place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    _, err = command(*line.split(), code=2)
    assert path.read_text() == content
    assert path.name in err or path.parent.name in err


@pytest.mark.parametrize(
    "line", ["rollout -t set -o run", "rollout -t set -o new", "rollout -t set -o run -k 2 --seed 4"]
)
@pytest.mark.parametrize("end", ["", '{"schema_version":1,"id":"tra', None], ids=["whole", "torn", "no line break"])
def test_refused_rollout_leaves_every_byte_and_adds_no_file(command, place, line, end):
    shutil.copytree(place / "run", place / "new")
    (place / "new" / "run.yaml").unlink()
    for folder in ("run", "new"):
        for lock in (place / folder).glob("*.lock"):
            lock.unlink()
        file = place / folder / "trajectories.jsonl"
        content = file.read_bytes()
        file.write_bytes(content[:-1] if end is None else content + end.encode())
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    command(*line.split(), code=2)
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "line",
    [
        "rollout -t set -o new-\udcff",
        "convert run -o new-\udcff --to parquet",
        "mine run -o new-\udcff",
        "search \udcff -t set",
    ],
)
def test_arguments_that_are_no_utf8_are_refused_before_anything_is_written(refused, place, line):
    assert "is not UTF-8" in refused(*line.split())
    assert not [path for path in place.iterdir() if path.name.startswith("new-")]


@pytest.mark.parametrize(
    "line",
    [
        "rollout -t set -o run --seed 4 --samples 4",
        "grade run",
        "evaluate run",
        "mine run -o pairs",
        "behaviour run",
        "convert run -o out.jsonl --to openai",
        "merge run -o merged",
    ],
)
def test_manifest_of_a_later_version_is_refused(refused, place, line):
    path = place / "run" / "run.yaml"
    path.write_text(path.read_text().replace("schema_version: 1", "schema_version: 2"))
    said = refused(*line.split())
    assert "run/run.yaml has schema_version 2, newer than the 1" in said
    assert "upgrade lrat-sim" in said


def test_files_of_a_later_version_are_refused(tmp_path):
    from lrat_sim.comparison import load
    from lrat_sim.errors import InputError
    from lrat_sim.study import read_study

    readers = {"comparison.json": lambda folder: load(folder / "comparison.json"), "study.json": read_study}
    for name, read in readers.items():
        (tmp_path / name).write_text('{"schema_version": 9, "what": "else"}')
        with pytest.raises(InputError, match=f"{name} has schema_version 9, newer than"):
            read(tmp_path)


# --- a disk that is full


FULL = {
    "rollout": "rollout -t set -o new",
    "grade": "grade graded",
    "mine": "mine run -o new",
    "world": "prepare world -o new --task-option documents=1000",
    "index": "index bm25:b=0.9 -t set",
    "convert to a folder": "convert run -o new --to parquet",
    "convert to a file": "convert run -o new.jsonl --to openai",
    "compare": "compare bm25 oracle -t set -o new",
    "sheets": "grade run --sample 3",
}


@pytest.mark.parametrize("line", FULL.values(), ids=FULL)
def test_full_disk_is_one_sentence_and_the_next_try_heals(place, capsys, monkeypatch, line):
    resource = pytest.importorskip("resource")
    shutil.copytree(place / "run", place / "graded")
    (place / "graded" / "grades.jsonl").unlink()
    monkeypatch.setattr(sys, "argv", ["lrat-sim", *line.split()])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (120, hard))
    try:
        with pytest.raises(SystemExit) as left:
            cli.main()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = capsys.readouterr().err
    assert left.value.code == 2, said
    assert "Traceback" not in said
    assert "free some space" in said.splitlines()[-1]
    assert not [path for path in place.rglob("*.part*") if path.name != "documents.arrow.part"]  # taken up again
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert not left.value.code, capsys.readouterr().err
