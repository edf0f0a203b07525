from dataclasses import replace

import msgspec
import pytest
from rich.console import Console

from lrat_sim.agent import load_agent
from lrat_sim.comparison import load
from lrat_sim.errors import InputError
from lrat_sim.experiment import run_experiment
from lrat_sim.experiment.cells import EXPERIMENT, read_experiment
from lrat_sim.experiment.table import render_cells
from lrat_sim.models.budget import LimitReached

AGENT = load_agent("simulated")


@pytest.fixture
def experiment(small_world, specs, tmp_path):
    """experiment(**settings) runs three tasks of the small world in the same folder: the comparisons by folder."""

    def run(retrievers=None, datasets=None, agents=(AGENT,), **settings):
        return run_experiment(
            retrievers or specs, datasets or {"world": small_world}, agents, tmp_path / "out",
            **{"limit": 3} | settings,
        )  # fmt: skip

    return run


def cells(tmp_path):
    return {cell.folder: cell for cell in read_experiment(tmp_path / "out").cells}


def test_single_cell_lies_in_the_folder_itself(experiment, tmp_path):
    (comparison,) = experiment(command="lrat-sim compare ...").values()
    assert load(tmp_path / "out" / "comparison.json") == comparison
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {"bm25", "bound"}
    found = read_experiment(tmp_path / "out")
    (cell,) = found.cells
    assert (cell.folder, cell.agent, cell.task_set, cell.split, cell.k) == (".", "simulated", "world", "test", 5)
    assert (cell.arms, cell.base, cell.seeds, cell.tasks) == (["bm25", "bound"], "bm25", [0], 3)
    assert cell.answer == comparison.answer
    assert found.command == "lrat-sim compare ..."
    assert found.settings["retrievers"] == {"bm25": "bm25", "bound": "oracle"}


def test_every_combination_of_agent_task_set_and_k_is_a_cell(experiment, small_world, tmp_path):
    card = msgspec.structs.replace(small_world.card, made_from={"name": "another"})
    other = replace(small_world, splits={"test": small_world.tasks("test")[3:6]}, card=card)
    agents = [AGENT, load_agent("simulated-hasty")]
    found = experiment(datasets={"world": small_world, "other": other}, agents=agents, ks=[1, 5], limit=2)
    wanted = {
        f"{agent}-{task_set}-test-k{k}"
        for agent in ("simulated", "simulated-hasty") for task_set in ("world", "other") for k in (1, 5)
    }  # fmt: skip
    assert {*found} == wanted == {*cells(tmp_path)}
    for folder, comparison in found.items():
        setting = comparison.setting
        assert folder == f"{setting['agent']}-{setting['task_set']}-test-k{setting['k']}"
        assert load(tmp_path / "out" / folder / "comparison.json") == comparison
        assert comparison.tasks_asked == 2


def test_further_k_adds_cells_and_finds_the_first_where_it_lies(experiment, tmp_path, contents, capsys):
    experiment()
    before = contents(tmp_path / "out")
    capsys.readouterr()
    found = experiment(ks=[5, 1])
    assert [*found] == [".", "simulated-world-test-k1"]
    assert capsys.readouterr().err.count("3 of 3 runs are in") == 2
    after = contents(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    assert {*after} - {*before} == {"simulated-world-test-k1/bm25", "simulated-world-test-k1/bound"}
    experiment(ks=[10])
    assert {*cells(tmp_path)} == {".", "simulated-world-test-k1", "simulated-world-test-k10"}, "all are still listed"


def test_same_call_again_runs_nothing_and_gives_the_same(experiment, tmp_path, contents, capsys):
    first = experiment(ks=[1, 5], seeds=[0, 1])
    before, listed = contents(tmp_path / "out"), (tmp_path / "out" / EXPERIMENT).read_bytes()
    capsys.readouterr()
    assert experiment(ks=[1, 5], seeds=[0, 1]) == first
    assert capsys.readouterr().err.count("3 of 3 runs are in") == 8
    assert contents(tmp_path / "out") == before
    assert (tmp_path / "out" / EXPERIMENT).read_bytes() == listed


def test_other_settings_of_an_agent_of_the_same_name_lie_elsewhere(experiment, tmp_path, contents):
    experiment(ks=[5, 1])
    before = contents(tmp_path / "out")
    changed = load_agent("simulated", {"limits.turns": 3})
    (folder,) = experiment(agents=[changed], ks=[5])
    assert folder.startswith("simulated-world-test-k5-")
    after = contents(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    assert len(cells(tmp_path)) == 3


def test_another_retriever_and_more_tasks_only_add(experiment, specs, tmp_path, capsys):
    experiment()
    capsys.readouterr()
    (found,) = experiment({**specs, "short": "bm25:b=0.3"}, limit=4).values()
    assert [summary.name for summary in found.summaries] == ["bm25", "bound", "short"]
    assert found.tasks_asked == 4
    assert capsys.readouterr().err.count("3 of 4 runs are in") == 2


def test_runs_of_other_settings_in_the_folder_are_refused_and_kept(experiment, specs, small_world, tmp_path, contents):
    from lrat_sim.experiment import compare_retrievers, opened

    # a comparison that knows no cells, as a script makes it
    arms = {name: opened(spec, small_world) for name, spec in specs.items()}
    agent = load_agent("simulated", {"limits.k": 3})
    compare_retrievers(arms, small_world.tasks("test")[:3], agent, tmp_path / "out", base="bm25")
    before = contents(tmp_path / "out")
    with pytest.raises(InputError, match=r"agent\.limits\.k was 3 and is now 5"):
        experiment()
    assert contents(tmp_path / "out") == before
    assert not (tmp_path / "out" / EXPERIMENT).exists()


def test_limit_on_time_holds_for_all_cells_together(experiment):
    from lrat_sim.experiment import CallOptions

    with pytest.raises(LimitReached):
        experiment(ks=[1, 5], calls=CallOptions(seconds=1e-6))


def test_same_cell_twice_is_refused_before_anything_runs(experiment, tmp_path):
    with pytest.raises(InputError, match="asked for twice"):
        experiment(agents=[AGENT, load_agent("simulated", {"limits.k": 5})])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"retrievers": {"bm25": "bm25"}}, "two retrievers"),
        ({"retrievers": {"..": "bm25", "a": "oracle"}}, "'..'"),
        ({"split": "nosuch"}, "no split 'nosuch'"),
    ],
)
def test_bad_input_is_said_before_anything_is_written(experiment, tmp_path, settings, said):
    with pytest.raises(InputError, match=said):
        experiment(**settings)
    assert not (tmp_path / "out").exists()


def test_damaged_experiment_is_refused_by_name(experiment, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / EXPERIMENT).write_text('{"cells": 3}')
    with pytest.raises(InputError, match=r"experiment\.json is not an experiment"):
        experiment()


def test_table_shows_success_against_k_for_every_arm(experiment):
    found = experiment(ks=[5, 1])
    console = Console(width=80)
    with console.capture() as captured:
        console.print(render_cells(found))
    lines = captured.get().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert all(" ".join(captured.get().split()).count(" ".join(each.answer.split())) for each in found.values())
    table = lines[next(number for number, line in enumerate(lines) if line.startswith("retriever ")) :]
    rows = [line.split() for line in table if line.startswith(("bm25 ", "bound "))]
    assert [row[:2] for row in rows] == [["bm25", "1"], ["bm25", "5"], ["bound", "1"], ["bound", "5"]]
    for row, comparison, place in zip(rows, [*reversed(found.values())] * 2,
                                      [0, 0, 1, 1], strict=True):  # fmt: skip
        assert row[2] == f"{100 * comparison.summaries[place].means['success']:.1f}"
