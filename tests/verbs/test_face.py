"""What `import lrat_sim as ls` offers, as a script uses it."""

import importlib
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import lrat_sim as ls

DESIGN = """
import lrat_sim as ls

data = ls.prepare("world")                                # or your own jsonl, BEIR, 2WikiMultihopQA, …
run = ls.rollout(data, agent="simulated", retriever="bm25", split="train")   # recorded, resumed, graded
pairs = ls.mine(run)
model = ls.train(pairs)                                   # a sentence-transformers folder
print(ls.compare({"base": "dense", "trained": model}, data, agent="simulated").answer)
result = ls.flywheel(data, rounds=3)
"""


def test_the_example_of_the_design_runs_word_for_word(small, capsys):
    made = {}
    exec(DESIGN, made)
    data, run, pairs, model, result = (made[name] for name in ("data", "run", "pairs", "model", "result"))
    assert capsys.readouterr().out.startswith("trained ")
    assert data.folder == Path("runs/data/world")
    assert run.success == run.metrics.success > 0, "a rollout is graded"
    assert re.fullmatch(r"Run\(runs/rollout-world-train-simulated-bm25-\w{8}: 24 tasks, success \d+\.\d %\)", repr(run))
    assert len(pairs) == len([*pairs]) == pairs.report.pairs > 0
    assert repr(pairs) == f"Pairs({run.folder}/pairs.jsonl: {len(pairs):,} pairs)"
    assert (model.folder / "modules.json").is_file()
    assert len(result.rounds.rounds) <= 3
    assert (result.folder / "report.html").is_file()
    again = ls.rollout("runs/data/world", agent="simulated", retriever="bm25", split="train")
    assert "24 of 24 runs are in" in capsys.readouterr().err
    assert again == run


SCRIPT = """
    from collections.abc import Sequence

    import lrat_sim as ls

    data: ls.Dataset = ls.prepare("world", documents=2000)
    run: ls.Run = ls.rollout(data, agent="simulated", retriever="bm25", split="train", concurrency=4)
    success: float | None = run.success
    model = ls.train(ls.mine([run, "runs/other"]), out="model")
    answer: str = ls.compare({"base": "dense", "trained": model}, data, agent="simulated").answer
    trained = ls.flywheel(data, rounds=3).model
    with ls.open_retriever(model, data) as dense:
        hits: list[list[ls.Hit]] = dense.search(["who designed it"], k=5)


    class Reversed(ls.Retriever):
        def search(self, queries: Sequence[str], k: int) -> list[list[ls.Hit]]:
            return [[ls.Hit(docid="a", score=1.0, rank=1)] for _ in queries]

        def document(self, docid: str) -> ls.Document:
            return ls.Document(id=docid, text="")

        def describe(self) -> dict[str, object]:
            return {"kind": "reversed"}


    ls.rollout(data, retriever=Reversed())
"""


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("", "Success"),
        ("ls.rollout(data, retriever=3)", 'Argument "retriever"'),
        ("ls.rollou(data)", 'has no attribute "rollou"'),
    ],
)
def test_a_users_script_is_checked_strictly(tmp_path, added, said):
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT) + added + "\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "/dev/null", "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert said in done.stdout


def test_importing_takes_no_time_and_loads_nothing_heavy():
    code = (
        "import time, sys; began = time.perf_counter(); import lrat_sim; took = time.perf_counter() - began;"
        "heavy = {'torch', 'faiss', 'litellm', 'transformers', 'ray', 'numpy', 'rich', 'msgspec'} & {*sys.modules};"
        "print(took, *heavy)"
    )
    said = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout for _ in range(3)]
    assert [line.split()[1:] for line in said] == [[], [], []]
    assert min(float(line.split()[0]) for line in said) < 0.2


def test_every_public_name_is_there_and_a_room_does_not_hide_its_verb():
    for name in ls.__all__:
        assert getattr(ls, name).__name__ == name
        assert name in dir(ls)
    for room in ("rollout", "report", "behaviour"):
        importlib.import_module(f"lrat_sim.{room}")
        assert callable(getattr(ls, room))
    with pytest.raises(AttributeError, match="rollou"):
        ls.rollou  # noqa: B018
