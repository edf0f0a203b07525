import pytest

from lrat_sim.artifact import write_records
from lrat_sim.comparison import compare, save
from lrat_sim.errors import InputError
from lrat_sim.records import Grade, Task, Usage
from lrat_sim.viewer.arms import arms, choice_texts
from lrat_sim.viewer.library import Library
from lrat_sim.viewer.listing import Query, select
from lrat_sim.viewer.pages import read_address


@pytest.fixture(scope="module")
def table(tmp_path_factory, make):
    """Two runs of six tasks: t0 to t5 with as many steps and ten times the tokens as their number and run say."""
    root = tmp_path_factory.mktemp("runs")
    for run, extra in (("base", 0), ("other", 10)):
        made = [
            make.run(
                make.turn(*[make.search("q", ["e0", "e1"][: n % 3])] * (n + extra)),
                id=f"t{n}.{run}",
                task=f"t{n}",
                end_reason="turn_limit" if n in (1, 4) else "answer",
                status="unanswered" if n == 4 else "error" if n == 5 else "answered",
                usage=Usage(prompt_tokens=10 * (n + extra), completion_tokens=0),
                retriever={"kind": run, "fingerprint": run},
            )
            for n in range(6)
        ]
        write_records(root / run / "trajectories.jsonl", made)
        built = [f"Who built the {'Lighthouse' if n % 2 else 'harbour'} of {n}?" for n in range(5)]
        tasks = [Task(id=f"t{n}", question=question, evidence=["e0", "e1"]) for n, question in enumerate(built)]
        write_records(root / run / "tasks.jsonl", [*tasks, Task(id="t5", question="Nothing known")])
        states = enumerate(("correct", "correct", "incorrect"))
        grades = [Grade(trajectory_id=f"t{n}.{run}", state=state, judge="j") for n, state in states]
        write_records(root / run / "grades.jsonl", grades)
    return Library(root).table


def ids(table, **query):
    return [row["id"] for row in select(table, Query(**query)).rows]


def test_search_wants_every_word_in_question_answer_or_id(table):
    assert ids(table, q="LIGHTHOUSE 3") == ["t3.base", "t3.other"]
    assert ids(table, q="t2.other") == ["t2.other"]
    assert ids(table, q="lighthouse harbour") == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"outcome": "correct", "arm": "base"}, ["t0.base", "t1.base"]),
        ({"status": "unanswered"}, ["t4.base", "t4.other"]),
        ({"status": "forced"}, ["t1.base", "t1.other"]),
        ({"outcome": "error", "retriever": "other"}, ["t5.other"]),
        ({"outcome": "ungraded", "arm": "other"}, ["t3.other"]),
        ({"task": "t2"}, ["t2.base", "t2.other"]),
        ({"agent": "nobody"}, []),
        ({"evidence": "all", "arm": "base"}, ["t2.base"]),
        ({"evidence": "some", "arm": "base"}, ["t1.base", "t4.base"]),
        ({"evidence": "none", "arm": "base"}, ["t0.base", "t3.base"]),
        ({"evidence": "opened"}, []),
        ({"evidence": "unknown"}, ["t5.base", "t5.other"]),
    ],
)
def test_filters_leave_what_fits(table, query, found):
    assert ids(table, **query) == found


@pytest.mark.parametrize("sort", ["steps", "tokens", "task", "outcome", "retriever", "arm"])
def test_every_column_sorts_both_ways(table, sort):
    column = {"task": "task_id", "retriever": "retriever_name"}.get(sort, sort)
    up, down = ([row[column] for row in select(table, Query(sort=way + sort)).rows] for way in ("", "-"))
    assert len(set(up)) > 1
    assert up == sorted(up)
    assert down == sorted(down, reverse=True)


def test_evidence_sorts_by_the_share_shown_with_the_unknown_last(table):
    rows = select(table, Query(sort="-evidence", arm="base")).rows
    assert [row["task_id"] for row in rows] == ["t2", "t1", "t4", "t0", "t3", "t5"]


def test_pages_hold_every_row_once(table):
    pages = [select(table, Query(size=5, page=number)) for number in (1, 2, 3)]
    assert [len(page.rows) for page in pages] == [5, 5, 2]
    assert len({row["id"] for page in pages for row in page.rows}) == 12
    assert select(table, Query(size=5, page=99)) == pages[2]


@pytest.mark.parametrize(
    "wrong", [{"sort": "colour"}, {"page": "0"}, {"page": "x"}, {"colour": "red"}, {"size": "9999"}]
)
def test_an_address_that_cannot_be_read_is_refused(wrong):
    with pytest.raises(InputError, match="the address cannot be read"):
        read_address(wrong, Query)


def test_addresses_encode_whatever_a_name_holds():
    odd = "a/b?c&d#e \"<'>%2e\ud800"
    url = Query(arm=odd).url(page=2)
    assert url.startswith("/trajectories?arm=a%2Fb%3Fc%26d%23e+%22%3C%27%3E%252e")
    assert url.endswith("&page=2")


def test_an_arm_is_called_as_in_its_study_and_takes_in_the_runs_of_all_its_seeds(tmp_path, make):
    for seed in (0, 1):
        run = make.run(make.turn(), id=f"t1.{seed}", retriever={"kind": "dense", "model": "model", "fingerprint": "r"})
        write_records(tmp_path / "study" / f"m-seed{seed}" / "trajectories.jsonl", [run])
    compared = compare({"mine": {"t1": {"success": 1.0}}}, "mine", None, ["t1"], runs={"mine": ["m-seed0", "m-seed1"]})
    save(compared, tmp_path / "study" / "comparison.json")
    (arm,) = arms(Library(tmp_path))
    assert (arm.name, arm.retriever, arm.trajectories, arm.tasks) == ("study/mine", "mine", 2, 1)


@pytest.mark.parametrize(
    ("names", "texts"),
    [
        (["a/x", "a/y"], ["x", "y"]),
        (["s/k3/x", "s/k10/x", "s/k10/y"], ["x (k3)", "x (k10)", "y (k10)"]),
        (["x", "a/b/y"], ["x", "y (a/b)"]),
        (["x"], ["x"]),
    ],
)
def test_names_to_choose_from_show_the_end_that_differs(names, texts):
    assert [*choice_texts(names).values()] == texts
