"""Two gloo processes against one: the joint batch, its in-batch negatives, the loss, the gradients, the model."""

import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from msgspec.structs import replace
from safetensors.torch import load_file

from lrat_sim.artifact import write_records
from lrat_sim.training.folder import read_record
from lrat_sim.training.trainer import train

SCRIPT = Path(__file__).parent / "two_processes.py"
spec = spec_from_file_location("two_processes", SCRIPT)
two_processes = module_from_spec(spec)
spec.loader.exec_module(two_processes)
CASES = [(mode, name) for mode in two_processes.MODES for name in two_processes.WEIGHTS]


@pytest.fixture(scope="module")
def seven(corpus, make_pair, pairs):
    """Pairs that a naive split would get wrong: two share a positive, one is another's negative, one has none."""
    return [
        make_pair("river of stone", "d1", ["d2", ("d3", 2.5)], 1.0),
        make_pair("bridge and lantern", "d4", ["d1"], 1.0),
        make_pair("old orchard", "d1", ["d5", "d6", "d7"], 1.0),
        make_pair("harbour signal", "d8", [], 1.0),
        make_pair("violin", "d0", ["d38", "d9"], 1.0),
        make_pair("engine", "d39", [("d10", 0.3)], 1.0),
        make_pair("castle", "d11", ["d4"], 1.0),
        *pairs,
    ]


@pytest.fixture(scope="module")
def bases(tiny_model, tiny_multivector, tiny_splade):
    return {"base": tiny_model, "multivector": tiny_multivector, "sparse": tiny_splade}


@pytest.fixture(scope="module")
def together(shared, bases, corpus, seven) -> Path:
    """Run once, by the worker of the test run that comes first; the others find it done."""
    folder = shared / "two-processes"
    with FileLock(shared / "two-processes.lock"):
        if not (folder / "done").exists():
            folder.mkdir()
            (folder / "corpus").symlink_to(corpus.folder)
            for name, base in bases.items():
                (folder / name).symlink_to(base)
            write_records(folder / "pairs.jsonl", questions(seven))
            launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
            done = subprocess.run(
                [*launch, str(SCRIPT), str(folder)], env=environment, capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, done.stderr[:6000]
            (folder / "done").touch()
    return folder


def questions(pairs):
    """Each pair is its own question, so that some can be held out."""
    return [replace(pair, provenance=replace(pair.provenance, task=f"t{n}")) for n, pair in enumerate(pairs)]


@pytest.fixture(scope="module")
def apart(together):
    """What the two processes found, as (loss, gradients) by case."""
    stored = load_file(together / "results.safetensors")
    return {
        (mode, name): (
            stored[f"{mode}/{name}/loss"],
            {
                key.rpartition("/gradient/")[2]: value
                for key, value in stored.items()
                if key.startswith(f"{mode}/{name}/gradient/")
            },
        )
        for mode, name in CASES
    }


def close(left, right):
    return left.keys() == right.keys() and all(
        torch.allclose(left[name], right[name], rtol=1e-3, atol=2e-6) for name in left
    )


@pytest.mark.parametrize(("mode", "name"), CASES)
def test_two_processes_equal_one_on_the_joint_batch(apart, bases, corpus, seven, mode, name):
    weights, base = two_processes.WEIGHTS[name], bases[two_processes.BASES.get(mode, "base")]
    loss, gradients = two_processes.gradients(base, corpus, seven[:7], mode, weights)
    assert max(float(gradient.abs().max()) for gradient in gradients.values()) > 1e-3
    other, found = apart[mode, name]
    assert float(other) == pytest.approx(float(loss), rel=1e-5)
    assert {n: g for n, g in found.items() if g.abs().max() > 0}.keys() == {
        n: g for n, g in gradients.items() if g.abs().max() > 0
    }.keys()
    assert close({name: found[name] for name in gradients}, gradients)


@pytest.mark.parametrize("mode", two_processes.MODES)
def test_weights_reach_the_gradients_of_two_processes(apart, mode):
    loss, gradients = apart[mode, "ones"]
    assert torch.equal(loss, apart[mode, "unweighted"][0])
    assert close(gradients, apart[mode, "unweighted"][1])
    heavier, other = apart[mode, "one-heavier"]
    assert float(heavier) > float(loss)
    assert not close(gradients, other)
    lighter, other = apart[mode, "zero"]
    assert float(lighter) < float(loss)
    assert not close(gradients, other)


def test_training_by_two_processes_is_that_by_one(together, tmp_path, seven, corpus, tiny_model):
    model = train(questions(seven), corpus, tiny_model, two_processes.TRAINING, tmp_path / "model")
    one, two = read_record(model), read_record(together / "model")
    assert (one.machine["processes"], two.machine["processes"]) == (1, 2)
    assert one.identity == two.identity
    assert [entry.step for entry in two.losses] == [entry.step for entry in one.losses]
    assert [entry.loss for entry in two.losses] == pytest.approx([entry.loss for entry in one.losses], rel=1e-4)
    assert [entry.step for entry in two.development] == [entry.step for entry in one.development]
    alone, joint = load_file(model / "model.safetensors"), load_file(together / "model" / "model.safetensors")
    base = load_file(tiny_model / "model.safetensors")
    moved = [name for name in base if not torch.equal(base[name], alone[name])]
    assert moved
    for name in moved:
        assert torch.allclose(alone[name], joint[name], atol=2e-4), name
    assert not (together / "model.training").exists()
