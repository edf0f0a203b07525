"""Verbs know what they were given, and what a result was made with."""

import shutil

import pytest

import lrat_sim as ls


def test_a_folder_of_ones_own_is_a_task_set_and_results_know_it(own):
    run = ls.rollout("docs", samples=2)
    assert run.data.name == "docs"
    assert [task.id for task in run.tasks] == ["t"]
    assert len([*run.trajectories()]) == 2
    pairs = ls.mine(run, out="elsewhere/pairs")
    assert ls.export_pairs(pairs, "out.jsonl", to="lrat").written == len(pairs)
    (shown,) = ls.search("Oxley", run.data, k=1)
    with ls.open_retriever("bm25", "docs") as bm25:
        ((hit,),) = bm25.search(["Oxley"], 1)
    assert shown.document.id == hit.docid in ("a", "b")
    shutil.move(own / "runs", own / "moved")
    assert ls.Run("moved/" + run.folder.name).data.folder.name.startswith("docs")
    shutil.rmtree(own / "moved" / "data")
    moved = f"moved/{run.folder.name}"
    for needing in (
        lambda: ls.export_pairs(moved, "other.jsonl", to="lrat"),
        lambda: ls.mine(moved, options={"guards.near_positive": {}}),
    ):
        with pytest.raises(ls.InputError, match=r"names the task set docs in .* which is gone"):
            needing()
    mined = ls.mine(moved)
    assert [*mined] == [*pairs]
    assert "which is gone; give it with --task-set" in mined.notes[0]


def test_what_is_ones_own_is_called_as_its_files_are(own):
    assert ls.prepare("docs", "first").name == ls.prepare("./docs/../docs/", "second").name == "docs"
    shutil.copy("docs/corpus.jsonl", "passages.v2.jsonl")
    assert ls.prepare("passages.v2.jsonl", "third").name == "passages"
    assert ls.prepare("first").name == "docs", "as it was prepared"


def test_a_rollout_takes_the_only_split_there_is_unless_one_is_named(own, capsys):
    (own / "docs" / "train.jsonl").rename(own / "docs" / "test.jsonl")
    assert len(ls.rollout("docs").tasks) == 1
    assert "docs has no split 'train'; running its only split, 'test'." in capsys.readouterr().err
    with pytest.raises(ls.InputError, match="no split 'train'; it has test"):
        ls.rollout("docs", split="train")
    shutil.rmtree("runs")
    (own / "docs" / "dev.jsonl").write_bytes((own / "docs" / "test.jsonl").read_bytes().replace(b'"t"', b'"u"'))
    with pytest.raises(ls.InputError, match="no split 'train'; it has"):
        ls.rollout("docs")


def test_a_folder_without_a_corpus_is_refused(own):
    (own / "docs" / "corpus.jsonl").unlink()
    with pytest.raises(ls.InputError, match="docs holds no corpus"):
        ls.rollout("docs")


def test_a_result_of_nothing_known_wants_a_task_set(own):
    with pytest.raises(ls.InputError, match=r"none is recorded in bm25, oracle; name one with --task-set"):
        ls.compare(["bm25", "oracle"])


@pytest.mark.parametrize(
    ("settings", "other"),
    [({}, False), ({"samples": 2}, False), ({"limit": 1}, False), ({"seed": 1}, True), ({"k": 3}, True)],
)
def test_the_folder_of_a_run_is_named_by_what_decides_it(own, settings, other):
    folders = [ls.rollout("docs", dry_run=True, **given).folder for given in ({}, settings)]
    assert (folders[0] != folders[1]) == other
    assert not any(folder.exists() for folder in folders)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ls.rollout("docs", samples=0), "samples is 0"),
        (lambda: ls.rollout("docs", concurrency=0), "concurrency is 0"),
        (lambda: ls.rollout("docs", max_cost=0), "max_cost is 0"),
        (lambda: ls.rollout("docs", concurency=1), "no setting 'concurency'"),
        (lambda: ls.flywheel("docs", round=1, agent="nosuch"), "no setting 'round'"),
        (lambda: ls.train("docs", kind="decoder"), "kind is 'decoder'"),
        (lambda: ls.compare(["bm25"], "docs"), "two retrievers or more"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(own, call, said):
    with pytest.raises(ls.InputError, match=said):
        call()
    assert not list(own.glob("runs/[!d]*"))


def test_a_retriever_and_an_agent_may_be_objects(own):
    data = ls.prepare("docs")
    (retriever,) = ls.index("bm25", data).values()
    agent = ls.rollout(data, dry_run=True).agent
    run = ls.rollout(data, "run", agent=agent, retriever=retriever)
    assert {trajectory.agent["name"] for trajectory in run.trajectories()} == {"simulated"}
