"""Arms that are mined and trained from the same runs, and compared."""

from __future__ import annotations

import io
import shutil

import pytest
import yaml
from rich.console import Console

from lrat_sim.artifact import read_records
from lrat_sim.comparison import load
from lrat_sim.comparison.table import comparison_tables, writers_table
from lrat_sim.errors import FingerprintMismatch, InputError, UnknownName
from lrat_sim.records import Pair
from lrat_sim.rollout.index import read_trajectories
from lrat_sim.study import AblationSettings, ablate, load_arms, read_study
from lrat_sim.study.ablate import ArmSettings, by_writer
from lrat_sim.training.folder import read_record

TABLE = {
    "arms": {
        "naive": {"mining": "mine-naive"},
        "weights": {"mining": "mine-paper"},
        "recommended": {"mining": "mine-recommended"},
        "shuffled-within": {"mining": "mine-paper", "mining_options": {"shuffle_positives": {"within": "list"}}},
        "agentir": {"mining": "mine-agentir"},
        "reranker": {"kind": "reranker", "mining": "mine-paper", "training": "train-reranker", "rerank": {"depth": 5}},
        "oracle": {"retriever": "oracle"},
    }
}


@pytest.fixture(scope="session")
def table(shared, wheel_settings):
    """A table of arms that are small enough for a test."""
    small = wheel_settings.training_options
    arms = {name: dict(arm) for name, arm in TABLE["arms"].items()}
    for arm in arms.values():
        if "mining" in arm:
            arm["training_options"] = {**small, "in_batch_negatives": arm.get("kind") != "reranker"}
    path = shared / "arms.yaml"
    beside = shared / "arms.part"
    beside.write_text(yaml.safe_dump({"arms": arms}))
    beside.replace(path)
    return path


@pytest.fixture(scope="session")
def settings(table, one_layer):
    small = {"base_model": str(one_layer), "train_tasks": 12, "test_tasks": 4, "samples": 1}
    return AblationSettings(arms=("weights", "shuffled-within", "oracle"), table=str(table), **small)


@pytest.fixture(scope="session")
def done(shared, small_world, settings):
    """One finished ablation for all tests: look at it, copy it, never change it."""
    from filelock import FileLock

    with FileLock(shared / "ablation.lock"):
        return ablate(small_world, shared / "ablation", settings)


@pytest.fixture
def copied(done, tmp_path):
    return shutil.copytree(done.folder, tmp_path / "copied")


def test_folder_holds_what_its_documentation_names(done):
    folder = done.folder
    (cell,) = read_study(folder).cells
    assert (cell.task_set, cell.split, cell.k, cell.tasks, cell.folder) == ("world", "test", 5, 4, "world/test-k5")
    assert cell.arms == ["base", "weights", "shuffled-within", "oracle"]
    comparison = load(folder / cell.folder / "comparison.json")
    assert comparison == done.comparisons[cell.folder]
    assert cell.answer == comparison.answer
    for summary in comparison.summaries:
        assert summary.ran == 4
        for run in summary.runs:
            assert len(list(read_trajectories(folder / cell.folder / run))) == 4
    assert len(list(read_trajectories(folder / "world" / "collect"))) == 12


def test_table_fits_a_terminal_of_80_columns(done):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(done.table().to_terminal())
    shown = console.export_text()
    assert all(word in shown for word in ("shuffled-within", "steps", "recall", "interval"))
    assert "…" not in shown


def test_arms_are_mined_from_the_same_runs_each_in_its_own_way(done):
    weights, within = (
        list(read_records(done.folder / "world" / "arms" / name / "pairs.jsonl", Pair))
        for name in ("weights", "shuffled-within")
    )
    (cell,) = done.record.cells
    pairs = {arm: trained.pairs for arm, trained in cell.trained.items()}
    assert pairs == {"weights": [len(weights)], "shuffled-within": [len(within)]}
    assert [pair.query for pair in weights] == [pair.query for pair in within]
    assert [pair.positive for pair in weights] != [pair.positive for pair in within]
    documents = [
        [{pair.positive, *(negative.docid for negative in pair.negatives)} for pair in pairs]
        for pairs in (weights, within)
    ]
    assert documents[0] == documents[1]


def test_second_call_reuses_everything_and_changes_no_byte(copied, done, small_world, settings, snapshot):
    before = snapshot(copied)
    assert ablate(small_world, copied, settings).record == done.record
    after = snapshot(copied)  # in another place a model gets another index
    assert {name: after.get(name) for name in before} == before


@pytest.mark.slow
def test_further_arms_and_seeds_only_add(copied, small_world, settings, snapshot, changed):
    before = snapshot(copied)
    result = ablate(small_world, copied, changed(settings, arms=("weights", "agentir"), seeds=(0, 1)))
    after, renewed = snapshot(copied), {"study.json", "world/test-k5/comparison.json"}
    assert {name for name in before if after.get(name) != before[name]} == renewed
    (cell,) = result.record.cells
    _, weights, _ = result.comparisons[cell.folder].summaries
    assert cell.arms == ["base", "weights", "agentir"]
    assert cell.seeds == [0, 1]
    assert weights.over_seeds["success"] is not None
    assert len(cell.trained["weights"].seconds) == 2
    first, second = (read_record(copied / "world" / "arms" / "weights" / f"seed-{seed}" / "model") for seed in (0, 1))
    assert (first.identity["seed"], second.identity["seed"]) == (0, 1)
    # trained on the agent's reasoning, and searched with it
    queries = [pair.query for pair in read_records(copied / "world" / "arms" / "agentir" / "pairs.jsonl", Pair)]
    assert all("\n" in query for query in queries)
    for run, expected in (("agentir", "agentir"), ("weights", None)):
        searched = next(read_trajectories(copied / cell.folder / run))
        assert searched.retriever.get("query_text") == expected
        for placed in searched.searches():
            assert [*placed.call.executed.get("sent", {})] == ([expected] if expected else [])
    table = result.table()
    gains = {row.cells[0]: row.cells[table.columns.index("gain, points")] for row in table.rows}
    assert gains["base"] == ""
    assert gains["agentir"]


def test_each_recipe_is_also_trained_on_what_a_writer_makes_of_the_same_runs(
    copied, small_world, settings, changed, trajectories
):
    before = trajectories(copied / "world" / "collect")
    both = changed(settings, arms=("weights", "recommended"), writers=("vague",))
    result = ablate(small_world, copied, both)
    (cell,) = result.record.cells
    assert cell.arms == ["base", "weights", "weights-vague", "recommended", "recommended-vague"]
    assert trajectories(copied / "world" / "collect") == before
    usual, vague = (
        {run.task_id: run for run in read_trajectories(copied / "world" / folder)}
        for folder in ("collect", "collect-vague")
    )
    for task, run in usual.items():
        assert [call.executed for call in run.calls()] == [call.executed for call in vague[task].calls()]
        assert [turn.reasoning for turn in run.turns] != [turn.reasoning for turn in vague[task].turns]
    assert (copied / "world" / "arms-vague" / "weights-vague" / "seed-0" / "model").is_dir()
    # the vague give nothing away: no pair, no model, and the base stays
    assert cell.trained["recommended-vague"].pairs == [0]
    assert min(cell.trained["weights-vague"].pairs + cell.trained["recommended"].pairs) > 0
    comparison = result.comparisons[cell.folder]
    assert comparison.arm("recommended-vague").means == comparison.arm("base").means
    table = writers_table(comparison)
    assert table.columns == ["recipe", "usual", "vague"]
    cells = {row.cells[0]: row.cells[1:] for row in table.rows}
    assert [*cells] == ["weights", "recommended"]
    assert cells["recommended"][1] == "+0.0\n0 to 0\n0 pairs"
    gain = comparison.pairing("weights-vague").measures["success"].difference.value
    vague = next(record for record in table.records if (record["recipe"], record["writer"]) == ("weights", "vague"))
    assert (vague["difference"], vague["pairs"]) == (gain, cell.trained["weights-vague"].pairs[0])
    assert comparison_tables(comparison)[0].slug == "writers"
    assert ablate(small_world, copied, both).record.cells == result.record.cells


def test_writers_are_the_simulated_agents_alone(small_world, settings, changed, tmp_path):
    real = changed(settings, agent="openai-tools", writers=("terse",), agent_options={"model": "openai/none"})
    with pytest.raises(InputError, match="writers are for the simulated agent, not 'openai/none'"):
        ablate(small_world, tmp_path / "out", real)
    with pytest.raises(InputError, match="an arm 'weights-terse', which 'weights' by terse is to be"):
        by_writer(
            {"weights": ArmSettings(mining="mine-paper"), "weights-terse": ArmSettings(retriever="bm25")}, ["terse"]
        )
    with pytest.raises(InputError, match="leave writer out"):
        ArmSettings(retriever="bm25", writer="terse")


def test_no_writer_no_table(done):
    (comparison,) = done.comparisons.values()
    assert not writers_table(comparison).rows


def test_another_split_is_a_cell_of_its_own(copied, small_world, settings, changed):
    result = ablate(small_world, copied, changed(settings, split="dev", test_tasks=None, arms=("weights",)))
    assert [(cell.split, cell.tasks) for cell in result.record.cells] == [("test", 4), ("dev", 2)]
    assert read_study(copied) == result.record
    assert result.record.settings["split"] == "dev"


def test_reranker_ranks_what_the_base_found(copied, small_world, settings, changed):
    result = ablate(small_world, copied, changed(settings, arms=("reranker",), test_tasks=2))
    model = copied / "world" / "arms" / "reranker" / "seed-0" / "model"
    assert read_record(model).kind == "reranker"
    retriever = next(read_trajectories(copied / "world" / "test-k5" / "reranker")).retriever
    assert (retriever["kind"], retriever["depth"], retriever["base"]["kind"]) == ("rerank", 5, "dense")
    assert result.record.cells[0].arms == ["base", "reranker"]


def test_models_of_another_recipe_are_refused(copied, small_world, settings, table, changed, tmp_path):
    arms = yaml.safe_load(table.read_text())
    arms["arms"]["weights"]["training_options"]["epochs"] = 2
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(arms))
    with pytest.raises(FingerprintMismatch, match="epochs"):
        ablate(small_world, copied, changed(settings, table=str(other)))


def test_arms_of_the_projects_own_table_are_complete():
    with pytest.raises(InputError, match=r"no arm 'paper' in ablate-arms; it has base, bm25"):
        load_arms(("paper",))
    arms = load_arms()
    assert list(arms)[:4] == ["base", "bm25", "base+bm25", "oracle"]
    assert {"naive", "filter", "weights", "iter", "agentir", "recommended", "shuffled", "reranker"} <= set(arms)
    assert arms["filter"].recipe().weight == "none"
    assert arms["filter"].recipe().positives == arms["weights"].recipe().positives != arms["naive"].recipe().positives
    assert {name: arms[name].recipe().query_text for name in ("iter", "agentir", "weights")} == {
        "iter": "iter-i7", "agentir": "agentir", "weights": "query"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arm", "error", "words"),
    [
        ({}, InputError, "one of the two"),
        ({"retriever": "bm25", "mining": "mine-paper"}, InputError, "one of the two"),
        ({"retriever": "bm25", "training_options": {"epochs": 1}}, InputError, "is not trained"),
        ({"mining": "mine-paper", "rerank": {"depth": 3}}, InputError, "no reranker"),
        ({"retriever": "nosuch"}, UnknownName, "nosuch"),
        ({"mining": "nosuch"}, UnknownName, "nosuch"),
        ({"mining": "mine-paper", "mining_options": {"nosuch": 1}}, InputError, "nosuch"),
        ({"mining": "mine-paper", "training_options": {"epochs": 0}}, InputError, "epochs"),
        ({"mining": "mine-paper", "agent_options": {"nosuch": 1}}, InputError, "nosuch"),
    ],
)
def test_arm_that_cannot_be_is_refused_before_anything_runs(small_world, tmp_path, arm, error, words):
    path = tmp_path / "arms.yaml"
    path.write_text(yaml.safe_dump({"arms": {"mine": arm}}))
    with pytest.raises(error, match=words):
        ablate(small_world, tmp_path / "out", AblationSettings(table=str(path)))
    assert not (tmp_path / "out").exists()


def test_arms_that_differ_in_their_share_of_bm25_alone_have_one_model(copied, small_world, settings, table, changed):
    arms = yaml.safe_load(table.read_text())
    arms["arms"]["weights+bm25"] = arms["arms"]["weights"] | {"bm25_share": 0.3}
    fused = table.with_name("fused.yaml")
    fused.write_text(yaml.safe_dump(arms))
    result = ablate(
        small_world, copied, changed(settings, table=str(fused), arms=("weights", "weights+bm25"), test_tasks=2)
    )
    assert not (copied / "world" / "arms" / "weights+bm25").exists()
    _, alone, with_bm25 = (
        next(read_trajectories(copied / "world" / "test-k5" / arm)).retriever for arm in result.record.cells[0].arms
    )
    assert with_bm25["weights"] == [0.7, 0.3]
    assert with_bm25["members"][0].items() <= alone.items()
    assert with_bm25["members"][1]["kind"] == "bm25"


def test_a_share_of_bm25_is_for_encoders_alone():
    for arm in ({"retriever": "bm25"}, {"mining": "mine-paper", "kind": "reranker"}):
        with pytest.raises(InputError, match="bm25_share"):
            ArmSettings(**arm, bm25_share=0.3)
