import pytest

from lrat_sim.agent import load_agent
from lrat_sim.comparison import load
from lrat_sim.errors import InputError
from lrat_sim.experiment import compare_retrievers, opened
from lrat_sim.grading.answers import MatchJudge


@pytest.fixture(scope="module")
def arms(small_world):
    return {"bm25": opened("bm25", small_world), "oracle": opened("oracle", small_world)}


@pytest.fixture(scope="module")
def tasks(small_world):
    return small_world.tasks("test")[:4]


AGENT = load_agent("simulated")


def test_comparison_says_what_was_compared_and_where_its_runs_lie(arms, tasks, tmp_path):
    setting = {"task_set": "world", "split": "test"}
    found = compare_retrievers(
        arms, tasks, AGENT, tmp_path, base="bm25", folders={"bm25": "first"}, setting=setting, seed=3
    )
    assert load(tmp_path / "comparison.json") == found
    assert found.setting == {
        "agent": "simulated", "k": 5, "seeds": [3], "samples": 1, "judge": MatchJudge.name, "task_set": "world",
        "split": "test",
    }  # fmt: skip
    assert [(summary.name, summary.runs) for summary in found.summaries] == [
        ("bm25", ["first"]),
        ("oracle", ["oracle"]),
    ]
    assert all((tmp_path / run / "index.parquet").is_file() for summary in found.summaries for run in summary.runs)
    means = {summary.name: summary.means for summary in found.summaries}
    assert means["oracle"]["ndcg"] == pytest.approx(1.0)
    assert 0 < means["bm25"]["ndcg"] < 1


def test_each_seed_runs_in_a_folder_of_its_own_and_tasks_are_paired_by_their_mean(arms, tasks, tmp_path, seeds_of):
    both = compare_retrievers(arms, tasks, AGENT, tmp_path / "both", base="bm25", seeds=[0, 1])
    runs = {summary.name: summary.runs for summary in both.summaries}
    assert runs == {"bm25": ["bm25", "bm25-seed-1"], "oracle": ["oracle", "oracle-seed-1"]}
    assert [seeds_of(tmp_path / "both" / run) for run in runs["bm25"]] == [{0}, {1}]
    alone = [compare_retrievers(arms, tasks, AGENT, tmp_path / str(seed), base="bm25", seed=seed) for seed in (0, 1)]
    for place, name in enumerate(arms):
        means = [each.summaries[place].means["steps"] for each in alone]
        assert both.summaries[place].name == name
        assert both.summaries[place].means["steps"] == pytest.approx(sum(means) / 2)
        assert both.summaries[place].over_seeds["steps"] == pytest.approx(abs(means[0] - means[1]) / 2**0.5)
    assert both.pairings[0].measures["success"].tasks == len(tasks)


def test_further_seed_only_adds_and_the_first_is_found_again(arms, tasks, tmp_path, contents, capsys):
    compare_retrievers(arms, tasks, AGENT, tmp_path, base="bm25", seed=7)
    before = contents(tmp_path)
    capsys.readouterr()
    found = compare_retrievers(arms, tasks, AGENT, tmp_path, base="bm25", seeds=[8, 7])
    assert capsys.readouterr().err.count("4 of 4 runs are in") == 2
    assert {name: contents(tmp_path)[name] for name in before} == before
    assert found.summaries[0].runs == ["bm25-seed-8", "bm25"]
    again = compare_retrievers(arms, tasks, AGENT, tmp_path, base="bm25", seeds=[8, 7])
    assert capsys.readouterr().err.count("4 of 4 runs are in") == 4
    assert again == found


@pytest.mark.parametrize("seeds", [[], [1, 1]])
def test_seeds_must_be_some_each_once(arms, tasks, tmp_path, seeds):
    with pytest.raises(InputError, match="each once"):
        compare_retrievers(arms, tasks, AGENT, tmp_path, base="bm25", seeds=seeds)


def test_arms_that_would_share_a_folder_are_refused_before_anything_runs(arms, tasks, tmp_path):
    named = {"a": arms["bm25"], "a-seed-1": arms["oracle"]}
    with pytest.raises(InputError, match="would share the folder"):
        compare_retrievers(named, tasks, AGENT, tmp_path, base="a", seeds=[0, 1])
    assert not [*tmp_path.iterdir()]
