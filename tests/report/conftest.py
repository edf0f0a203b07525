from pathlib import Path
from xml.etree import ElementTree

import pytest

from lrat_sim.artifact import Store, command_line
from lrat_sim.comparison import compare, save
from lrat_sim.records import Call, Hit, Task, Trajectory, Turn
from lrat_sim.report import write_report
from lrat_sim.rollout.index import record_asked, row, write_index

SCRIPT = "<script>document.title = 'owned'</script>"
NAMES = (
    "_x\"'><img src=x onerror=alert(1)>",
    SCRIPT,
    "</title></svg>$\\frac_1{&%#} 50~^ --`",
    "=1+1\x1b[31m\u202e",
    "bm25",
)
TASKS = [f"</pre>{SCRIPT}{number}" for number in range(6)]


@pytest.fixture(scope="session")
def page():
    """The report of a finished folder, elsewhere, as (page, folder of files)."""

    def make(folder, out, **given):
        written = write_report(folder, out, **given)
        return written.read_text(encoding="utf-8"), written.parent / "report"

    return make


@pytest.fixture(scope="session")
def flown(wheel, page, tmp_path_factory):
    """The report of a finished flywheel."""
    return page(wheel.folder, tmp_path_factory.mktemp("flown"))


@pytest.fixture(scope="session")
def experiment(small_world, shared):
    """Two retrievers with two k and two seeds: two comparisons."""
    from filelock import FileLock

    from lrat_sim.study import CompareSettings, compare

    with FileLock(shared / "experiment.lock"):
        arms = {"bm25": "bm25", "oracle": "oracle"}
        settings = CompareSettings(ks=(3, 5), limit=6, seeds=(0, 1))
        token = command_line.set("lrat-sim compare bm25 oracle <&>")
        compare(arms, small_world, shared / "experiment", settings)
        command_line.reset(token)
    return shared / "experiment"


@pytest.fixture(scope="session")
def experiments(experiment, page, tmp_path_factory):
    """The report of the experiment."""
    return page(experiment, tmp_path_factory.mktemp("experiments"))


@pytest.fixture
def tables():
    """Makes the metrics of arms by task: arm number n solves the first n tasks."""

    def make(names, tasks, **changed):
        def of(number, place):
            metrics = {"success": float(place < number), "evidence_recall": 0.5, "evidence_hit": 1.0, "tokens": 100.0}
            return metrics | {"evidence_opened": 0.5, "steps": 4.0 + place, "searches": 2.0, "cost": None} | changed

        return {
            name: {task: of(number, place) for place, task in enumerate(tasks)} for number, name in enumerate(names)
        }

    return make


@pytest.fixture
def hostile(tables, tmp_path):
    """A comparison whose arms, tasks and settings all attack the page."""
    setting = {"agent": SCRIPT, "task_set": "<b>", "split": "&", "k": 5, "seeds": [0]}
    save(
        compare(tables(NAMES, TASKS), NAMES[0], None, TASKS, setting=setting), tmp_path / "hostile" / "comparison.json"
    )
    return tmp_path / "hostile"


@pytest.fixture
def run_folder(tmp_path):
    """Makes a run folder from {task: [runs]}; a run is a list of turns, a turn the documents that it was shown.

    A run that is None broke.  Every task has the evidence a and b.
    """

    def make(name, runs, evidence=("a", "b")):
        folder = tmp_path / name
        record_asked(folder, [Task(id=task, question=task, evidence=list(evidence)) for task in runs])
        rows = []
        with Store(folder / "trajectories.jsonl", Trajectory) as store:
            for task, samples in runs.items():
                for sample, turns in enumerate(samples):
                    trajectory = _trajectory(task, sample, turns)
                    rows.append(row(trajectory, store.append(trajectory)))
        write_index(folder, rows)
        return folder

    return make


def _trajectory(task, sample, turns):
    def turn(place, shown):
        hits = [Hit(docid=docid, score=1.0, rank=rank) for rank, docid in enumerate(shown, start=1)]
        call = Call(id=str(place), tool="search", arguments={}, executed={}, hits=hits)
        return Turn(reasoning=None, reasoning_tokens=0, calls=[call])

    return Trajectory(
        id=f"{task}-{sample}", task_id=task, question=task, sample=sample, agent={}, retriever={}, seed=0,
        status="error" if turns is None else "answered", end_reason="error" if turns is None else "answer", answer=None,
        turns=[turn(place, shown) for place, shown in enumerate(turns or ())],
    )  # fmt: skip


@pytest.fixture
def words():
    """The texts of a drawing, as they are read."""

    def texts(path):
        root = ElementTree.fromstring(Path(path).read_text(encoding="utf-8"))
        return [line for each in root.iter("{http://www.w3.org/2000/svg}text") for line in each.itertext()]

    return texts
