"""What a user gets who installs the wheel, away from the checkout."""

import importlib.metadata
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import lrat_sim
from lrat_sim import catalog
from lrat_sim.retrieval import known_retrievers

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "faiss", "litellm", "transformers", "sentence_transformers", "datasets"}
KINDS = ("agents", "retrievers", "prompts", "corpora", "recipes")


def run(*command, cwd, **environment):
    """Runs a command that must succeed, with nothing of the checkout or the user's own settings in reach."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "COVERAGE"))}
    clean |= {"HOME": str(cwd), "XDG_CONFIG_HOME": str(cwd / "config"), "COLUMNS": "200"} | environment
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def away(tmp_path_factory):
    """An empty folder outside the checkout."""
    return tmp_path_factory.mktemp("away")


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """The folder of commands of a fresh environment that holds the wheel, and borrows only what it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder / "dist", ROOT]
    run(*build, cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    # after the installation, so that pip does not find the editable one there; a .pth inside it is not followed
    said = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).stdout
    Path(said.strip(), "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin"


def loaded_modules(*command, cwd):
    """The top-level modules that a Python command imports."""
    said = run(*command, cwd=cwd, PYTHONPROFILEIMPORTTIME="1").stderr
    lines = [line.split("|")[-1].strip() for line in said.splitlines() if line.startswith("import time:")]
    assert len(lines) > 20
    return {line.partition(".")[0] for line in lines}


def test_installed_package_is_the_one_from_the_wheel(scripts, away):
    said = run(scripts / "python", "-c", "import lrat_sim; print(lrat_sim.__file__, lrat_sim.__version__)", cwd=away)
    file, version = said.stdout.split()
    assert Path(file).is_relative_to(scripts.parent)
    assert version == lrat_sim.__version__


def test_wheel_and_editable_install_find_the_same_names(scripts, away, monkeypatch):
    code = (
        "import json; from lrat_sim import catalog; from lrat_sim.retrieval import known_retrievers;"
        f"found = {{kind: catalog.names(kind) for kind in {KINDS}}};"
        "assert all(catalog.read_text(kind, name) for kind in found for name in found[kind]);"
        "print(json.dumps(found | {'retrievers': known_retrievers()}))"
    )
    in_wheel = json.loads(run(scripts / "python", "-c", code, cwd=away).stdout)
    monkeypatch.chdir(away)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(away / "config"))
    here = {kind: catalog.names(kind) for kind in KINDS} | {"retrievers": known_retrievers()}
    assert in_wheel == here
    assert all(in_wheel.values()), "a kind without a single name was not packed"


def test_own_file_in_the_working_directory_goes_before_that_of_the_wheel(scripts, tmp_path):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "search-agent.txt").write_text("mine")
    code = "from lrat_sim import catalog; print(catalog.read_text('prompts', 'search-agent'))"
    assert run(scripts / "python", "-c", code, cwd=tmp_path).stdout == "mine\n"


def test_importing_the_package_loads_nothing_heavy(scripts, away):
    assert not HEAVY & loaded_modules(scripts / "python", "-c", "import lrat_sim", cwd=away)


def test_help_lists_the_commands_and_loads_nothing_heavy(scripts, away):
    text = run(scripts / "lrat-sim", "--help", cwd=away).stdout
    assert {"demo", "rollout", "mine", "train", "compare", "flywheel"} <= set(text.split())
    assert not HEAVY & loaded_modules(scripts / "lrat-sim", "--help", cwd=away)


def test_tiny_rollout_runs_from_the_wheel_and_is_reused(scripts, tmp_path):
    run(scripts / "lrat-sim", "prepare", "world", "--task-option", "documents=1000", "--out", "world", cwd=tmp_path)
    command = [scripts / "lrat-sim", "rollout", "--task-set", "world", "--split", "test", "--limit", "3"]
    command += ["--retriever", "bm25", "--agent-option", "limits.turns=8", "--out", "run"]
    run(*command, cwd=tmp_path)
    written = (tmp_path / "run" / "trajectories.jsonl").read_bytes()
    records = [json.loads(line) for line in written.splitlines()]
    assert len({record["task_id"] for record in records}) == len(records) == 3
    assert {record["status"] for record in records} <= {"answered", "unanswered"}
    assert all(any(call["hits"] for call in record["turns"][0]["calls"]) for record in records)
    run(*command, cwd=tmp_path)
    assert (tmp_path / "run" / "trajectories.jsonl").read_bytes() == written


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def needed(extras):
    """Every package that an installation with these extras draws in here, by canonical name."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = [Requirement(line) for line in declared["dependencies"]]
    waiting += [Requirement(line) for extra in extras for line in declared["optional-dependencies"][extra]]
    found, seen = {}, set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in seen:
            continue
        seen.add((name, frozenset(requirement.extras)))
        found.setdefault(name, []).append(requirement)
        for line in importlib.metadata.requires(name) or ():
            below = Requirement(line)
            marker = below.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in requirement.extras or {""}):
                waiting.append(below)
    return found


def test_constraints_pin_every_package_that_is_installed():
    pinned = {canonicalize_name(name): version for name, version in pins().items()}
    try:
        wanted = needed(["dev"])
    except importlib.metadata.PackageNotFoundError as error:
        pytest.skip(f"{error.name} is declared and not installed here")
    missing = {name for name in wanted if name not in pinned}
    assert not missing
    for name, requirements in wanted.items():
        for requirement in requirements:
            assert requirement.specifier.contains(pinned[name], prereleases=True), f"{name} {pinned[name]}"


def test_pins_fit_any_build_of_a_package():
    assert pins()["torch"] == "2.13.0"
    assert not [name for name, version in pins().items() if "+" in version]
