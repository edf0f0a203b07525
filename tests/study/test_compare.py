"""Comparisons: cells of agent, task set and k, each with a run folder an arm and seed."""

import sys
from dataclasses import replace

import msgspec
import pytest
from engines import Elastic, EngineServer
from sentence_transformers import CrossEncoder

from lrat_sim.agent import load_agent
from lrat_sim.artifact import command_line
from lrat_sim.comparison import load
from lrat_sim.corpus import prepare
from lrat_sim.errors import InputError
from lrat_sim.grading.answers import MatchJudge
from lrat_sim.models.budget import LimitReached
from lrat_sim.retrieval.registry import parse_spec
from lrat_sim.rollout.index import read_trajectories
from lrat_sim.study import Arm, CallOptions, CompareSettings, Condition, Study, alike, compare, opened, read_study
from lrat_sim.study.record import STUDY

SPECS = {"bm25": "bm25", "bound": "oracle"}


@pytest.fixture
def run(small_world, tmp_path):
    """run(**settings) compares on three tasks of the small world, by default in the same folder."""

    def comparing(retrievers=SPECS, datasets=None, folder="out", profiles=None, **settings):
        wanted = CompareSettings(**{"limit": 3} | settings)
        return compare(retrievers, datasets or {"world": small_world}, tmp_path / folder, wanted, agents=profiles)

    return comparing


def cells(tmp_path):
    return {cell.folder: cell for cell in read_study(tmp_path / "out").cells}


@pytest.fixture(scope="module")
def reranker_folder(one_layer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rerankers") / "small-one"
    CrossEncoder(str(one_layer), num_labels=1, device="cpu").save_pretrained(str(folder), create_model_card=False)
    return folder


@pytest.fixture
def as_command():
    """The command line of the next calls, until ``None``."""
    token = command_line.set("lrat-sim compare ...")
    yield command_line.set
    command_line.reset(token)


def test_reranker_adds_the_arm_that_reranks_bm25(run, reranker_folder, tmp_path):
    result = run(reranker=f"{reranker_folder}:depth=3", limit=2)
    (comparison,) = result.comparisons.values()
    name = f"bm25+{reranker_folder.name}"
    assert [*comparison.arms] == ["bm25", "bound", name]
    described = next(read_trajectories(tmp_path / "out" / name)).retriever
    assert (described["kind"], described["base"]["kind"], described["depth"]) == ("rerank", "bm25", 3)
    with pytest.raises(InputError, match="reranker is 'oracle', which does not rerank"):
        run(reranker="oracle", folder="other")


def test_engine_with_other_documents_is_compared_and_the_answer_says_that_the_corpus_differs(run, small_world):
    engine = Elastic()
    engine.put("wiki", {d.id: {"title": d.title, "text": d.text[:200]} for d in small_world.corpus})
    with EngineServer(engine.answer) as server:
        given = {"bm25": "bm25", "same": f"elasticsearch:url={server.url}"}
        same = run(given, limit=2).answer
        other = run({**given, "same": f"elasticsearch:url={server.url},index=wiki"}, limit=2, folder="other").answer
    assert "corpus" not in same
    assert other.startswith("The arms differ in more than their retriever: corpus (bm25: ")
    assert "same: 'the index wiki of elasticsearch')" in other


def test_task_set_without_documents_needs_a_retriever_that_has_some(tmp_path):
    (tmp_path / "InfoSeek-Eval.tsv").write_text("e_0\tWho?\tA\n")
    dataset = prepare("infoseek-eval", tmp_path / "set", source=tmp_path)
    engine = Elastic()
    engine.put("wiki", {"a": {"title": "", "text": "a lighthouse"}})
    with EngineServer(engine.answer) as server:
        own = opened(f"elasticsearch:url={server.url},index=wiki", dataset)
        assert [hit.docid for hit in own.search(["lighthouse"], 3)[0]] == ["a"]
    with pytest.raises(InputError, match="has no documents"):
        opened("bm25", dataset)


def test_single_cell_lies_in_the_folder_itself(run, as_command, tmp_path):
    result = run(profiles=[load_agent("simulated")])
    (comparison,) = result.comparisons.values()
    assert load(tmp_path / "out" / "comparison.json") == comparison
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {"bm25", "bound"}
    record = read_study(tmp_path / "out")
    assert record == result.record
    (cell,) = record.cells
    assert (cell.folder, cell.agent, cell.task_set, cell.split, cell.k) == (".", "simulated", "world", "test", 5)
    assert (cell.arms, cell.base, cell.seeds, cell.tasks) == (["bm25", "bound"], "bm25", [0], 3)
    assert cell.answer == comparison.answer == result.answer
    assert comparison.answer in repr(result)
    assert record.command == "lrat-sim compare ..."
    assert record.settings["retrievers"] == SPECS


def test_with_one_retriever_the_agents_are_the_arms(run, tmp_path, capsys):
    agents = ("closed-book=simulated:harness=closed-book", "rag=simulated:harness=rag", "simulated")
    result = run({"bm25": "bm25"}, agents=agents[:2], limit=4)
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {"closed-book", "rag"}
    capsys.readouterr()
    result = run({"bm25": "bm25"}, agents=agents, limit=4)
    said = capsys.readouterr().err
    assert "evaluate simulated on 4 tasks of world" in said
    (comparison,) = result.comparisons.values()
    assert (comparison.arms, comparison.base) == (["closed-book", "rag", "simulated"], "closed-book")
    assert (comparison.setting["arms"], comparison.setting["retriever"]) == ("agents", "bm25")
    means = {summary.name: summary.means for summary in comparison.summaries}
    assert [means[arm]["steps"] for arm in ("closed-book", "rag")] == [0.0, 1.0]
    assert means["closed-book"]["evidence_recall"] == 0.0 < means["simulated"]["evidence_recall"]
    runs = {arm: list(read_trajectories(tmp_path / "out" / arm)) for arm in comparison.arms}
    assert {arm: len(kept) for arm, kept in runs.items()} == dict.fromkeys(comparison.arms, 4), "nothing ran twice"
    assert {run.agent.get("harness") for run in runs["rag"]} == {"rag"}
    assert result.table().columns[0] == "agent"


def test_one_retriever_and_one_agent_are_no_comparison(run):
    with pytest.raises(InputError, match=r"two retrievers or more, .* or one and two agents"):
        run({"bm25": "bm25"})


def test_every_combination_of_agent_task_set_and_k_is_a_cell(run, small_world, tmp_path, capsys):
    card = msgspec.structs.replace(small_world.card, made_from={"name": "another"})
    other = replace(small_world, splits={"test": small_world.tasks("test")[3:6]}, card=card)
    sets, agents = {"world": small_world, "other": other}, ("simulated", "simulated-hasty")
    result = run(datasets=sets, agents=agents, ks=(1, 5), limit=2)
    said = capsys.readouterr().err
    assert [f"step {number} of 16: evaluate " in said for number in range(1, 17)] == [True] * 16
    wanted = {f"{agent}-{name}-test-k{k}" for agent in agents for name in sets for k in (1, 5)}
    assert {*result.comparisons} == wanted == {*cells(tmp_path)}
    for folder, comparison in result.comparisons.items():
        setting = comparison.setting
        assert folder == f"{setting['agent']}-{setting['task_set']}-test-k{setting['k']}"
        assert load(tmp_path / "out" / folder / "comparison.json") == comparison
        assert comparison.tasks_asked == 2


@pytest.fixture
def more(run, tmp_path, contents, capsys):
    """more(**settings) compares again and loses nothing: the result, how many runs were reused, the new ones."""

    def again(*given, **settings):
        before = contents(tmp_path / "out")
        capsys.readouterr()
        result = run(*given, **settings)
        after = contents(tmp_path / "out")
        assert all(after[name].startswith(content) for name, content in before.items())
        return result, capsys.readouterr().err.count("3 runs are in"), {*after} - {*before}

    return again


def test_further_k_adds_cells_and_finds_the_first_where_it_lies(run, more, tmp_path):
    run()
    result, reused, new = more(ks=(5, 1))
    assert ([*result.comparisons], reused) == ([".", "simulated-world-test-k1"], 2)
    assert new == {"simulated-world-test-k1/bm25", "simulated-world-test-k1/bound"}
    run(ks=(10,))
    assert {*cells(tmp_path)} == {".", "simulated-world-test-k1", "simulated-world-test-k10"}, "all are still listed"


def test_same_call_again_runs_nothing_and_gives_the_same(run, as_command, tmp_path, snapshot, capsys):
    first = run(ks=(1, 5), seeds=(0, 1))
    as_command(None)
    before = snapshot(tmp_path / "out")
    capsys.readouterr()
    assert run(ks=(1, 5), seeds=(0, 1)) == first, "the command line outlasts a call without one"
    assert capsys.readouterr().err.count("3 of 3 runs are in") == 8
    assert snapshot(tmp_path / "out") == before


def test_other_settings_of_an_agent_of_the_same_name_lie_elsewhere(run, more, tmp_path):
    run(ks=(5, 1))
    (folder,) = more(agent_options={"limits.turns": 3}, ks=(5,))[0].comparisons
    assert folder.startswith("simulated-world-test-k5-")
    assert len(cells(tmp_path)) == 3


def test_another_retriever_and_more_tasks_only_add(run, more):
    run()
    result, _, new = more({**SPECS, "short": "bm25:b=0.3"}, limit=4)
    (comparison,) = result.comparisons.values()
    assert comparison.arms == ["bm25", "bound", "short"]
    assert (comparison.tasks_asked, new) == (4, {"short"})


def test_runs_of_other_settings_in_the_folder_are_refused_and_kept(run, tmp_path, contents):
    run(agent_options={"limits.k": 3})
    (tmp_path / "out" / STUDY).unlink()  # as a kill before the first cell was whole leaves it
    before = contents(tmp_path / "out")
    with pytest.raises(InputError, match=r"agent\.limits\.k was 3 and is now 5"):
        run()
    assert contents(tmp_path / "out") == before
    assert not (tmp_path / "out" / STUDY).exists()


def test_a_folder_holds_one_kind_of_study(run, small_world, tmp_path):
    run()
    with pytest.raises(InputError, match="holds a study of the kind 'compare', not 'sweep'"):
        Study("sweep", tmp_path / "out", CompareSettings())


def test_limit_on_time_holds_for_all_cells_together(run):
    with pytest.raises(LimitReached, match="the limit on seconds is reached; rerun with a higher one to resume"):
        run(ks=(1, 5), calls=CallOptions(max_seconds=1e-6))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"retrievers": {"bm25": "bm25"}}, "two retrievers"),
        ({"retrievers": {"..": "bm25", "a": "oracle"}}, "'..'"),
        ({"split": "nosuch"}, "no split 'nosuch'"),
        ({"seeds": ()}, "each once"),
        ({"seeds": (1, 1)}, "each once"),
        ({"ks": (5, 5)}, "asked for twice"),
    ],
)
def test_bad_input_is_said_before_anything_is_written(run, tmp_path, settings, said):
    with pytest.raises(InputError, match=said):
        run(**settings)
    assert not (tmp_path / "out").exists()


def test_damaged_record_is_refused_by_name(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / STUDY).write_text('{"cells": 3}')
    with pytest.raises(InputError, match=r"study\.json is not the record of a study"):
        run()


# --- one comparison


def test_comparison_says_what_was_compared_and_where_its_runs_lie(small_world, tmp_path):
    condition = Condition(small_world, "test", load_agent("simulated"), 4)
    named = [
        Arm(name="bm25", retriever=opened("bm25", small_world), folder="first"),
        Arm(name="oracle", retriever=lambda seed: opened("oracle", small_world)),
    ]
    study = Study("compare", tmp_path, CompareSettings())
    comparison = study.evaluate(named, condition, ".", base="bm25", seeds=[3])
    assert load(tmp_path / "comparison.json") == comparison
    assert comparison.setting == {
        "agent": "simulated", "k": 5, "seeds": [3], "samples": 1, "judge": MatchJudge.name, "task_set": "world",
        "split": "test",
    }  # fmt: skip
    runs = {summary.name: summary.runs for summary in comparison.summaries}
    assert runs == {"bm25": ["first"], "oracle": ["oracle"]}
    assert all((tmp_path / run / "index.parquet").is_file() for of_arm in runs.values() for run in of_arm)
    means = {summary.name: summary.means for summary in comparison.summaries}
    assert means["oracle"]["ndcg"] == pytest.approx(1.0)
    assert 0 < means["bm25"]["ndcg"] < 1


def test_each_seed_runs_in_a_folder_of_its_own_and_tasks_are_paired_by_their_mean(run, tmp_path):
    both, *alone = (run(folder=str(seeds), seeds=seeds).comparisons["."] for seeds in ((0, 1), (0,), (1,)))
    assert [arm.runs for arm in both.summaries] == [["bm25", "bm25-seed-1"], ["bound", "bound-seed-1"]]
    for folder, seed in zip(both.arm("bm25").runs, (0, 1), strict=True):
        assert {trajectory.seed for trajectory in read_trajectories(tmp_path / "(0, 1)" / folder)} == {seed}
    for name in SPECS:
        means = [comparison.arm(name).means["steps"] for comparison in alone]
        assert both.arm(name).means["steps"] == pytest.approx(sum(means) / 2)
        assert both.arm(name).over_seeds["steps"] == pytest.approx(abs(means[0] - means[1]) / 2**0.5)
    assert both.pairings[0].measures["success"].tasks == 3


def test_further_seed_only_adds_and_the_first_is_found_again(run, more):
    run(seeds=(7,))
    result, reused, _ = more(seeds=(8, 7))
    assert reused == 2
    assert result.comparisons["."].summaries[0].runs == ["bm25-seed-8", "bm25"]
    assert more(seeds=(8, 7)) == (result, 4, set())


def test_arms_that_would_share_a_folder_are_refused_before_anything_runs(run, tmp_path):
    with pytest.raises(InputError, match="would share the folder"):
        run({"a": "bm25", "a-seed-1": "oracle"}, seeds=(0, 1))
    assert not [*(tmp_path / "out").iterdir()]


# --- the encoders of a comparison read texts of one length


def read(spec, options):
    """What an opened spec would read."""
    return int({**parse_spec(spec)[1], **options}["max_length"])


@pytest.mark.parametrize(
    ("specs", "asked", "lengths"),
    [
        (["dense", "short:48"], None, [48, 48]),
        (["dense", "short:48", "short-2:96"], None, [96, 96, 96]),
        (["dense", "short:48"], 64, [64, 64]),
        (["dense:max_length=32", "short:48"], None, [32, 32]),
        (["dense:max_length=32", "short:48,max_length=40", "dense"], None, [32, 40, 48]),
        (["dense", "long"], None, [256, 256]),
        (["embedding-api:model=m", "dense"], None, [256, 256]),
    ],
)
def test_one_length_for_all_the_trained_models_unless_one_is_asked_for(encoder_folder, specs, asked, lengths):
    def spec(text):
        name, _, rest = text.partition(":")
        if not name.startswith(("short", "long")):
            return text
        trained, _, option = rest.partition(",")
        folder = encoder_folder(name, own=int(trained or 512), trained=int(trained) if trained else None)
        return f"{folder}:{option}" if option else folder

    named = {f"arm-{number}": spec(text) for number, text in enumerate(specs)}
    assert [read(named[arm], options) for arm, options in alike(named, asked).items()] == lengths


def test_what_a_retriever_is_made_of_reads_the_same_and_nothing_is_set_for_one_kind_of_encoder(encoder_folder):
    assert alike({"a": "bm25", "b": "oracle"}) == {"a": {}, "b": {}}
    assert alike({"a": "bm25", "b": "dense", "c": "dense:index=faiss"}) == {"a": {}, "b": {}, "c": {}}
    trained = encoder_folder("trained", own=48, trained=48)
    specs = {"t": trained, "r": "rerank:model=x", "h": f"hybrid:bm25+{trained}", "b": "rerank:model=x,base=bm25"}
    assert alike(specs) == {
        "t": {"max_length": 48},
        "r": {"base": "dense:max_length=48"},
        "h": {"members": f"bm25+{trained}:max_length=48"},
        "b": {},
    }


def test_comparison_opens_its_arms_at_one_text_length(encoder_folder, small_world, tmp_path, monkeypatch):
    lengths, bm25 = {}, opened("bm25", small_world)

    def open_(spec, dataset, **options):
        lengths[spec] = options
        return bm25

    monkeypatch.setattr(sys.modules["lrat_sim.study.arms"], "opened", open_)
    monkeypatch.setattr(Study, "evaluate", lambda *_, **__: (_ for _ in ()).throw(InterruptedError))
    trained = encoder_folder("trained", own=96, trained=96)
    specs = {"base": "dense", "trained": trained, "bm25": "bm25"}
    for length, wanted in ((None, 96), (64, 64)):
        with pytest.raises(InterruptedError):
            compare(specs, small_world, tmp_path / "out", CompareSettings(max_length=length))
        assert lengths == {"dense": {"max_length": wanted}, trained: {"max_length": wanted}, "bm25": {}}
