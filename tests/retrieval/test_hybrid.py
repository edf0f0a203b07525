import pytest

from lrat_sim.errors import InputError
from lrat_sim.records import Task


def test_scores_are_sums_of_reciprocal_ranks(opened):
    query = "film of Carla Ruiz"
    lists = [opened(spec).search([query], 100)[0] for spec in ("bm25", "dense")]
    for hit in opened("hybrid:bm25+dense").search([query], 10)[0]:
        ranks = [found.rank for hits in lists for found in hits if found.docid == hit.docid]
        assert hit.score == pytest.approx(sum(1 / (60 + rank) for rank in ranks))


def test_members_may_have_options_and_the_constant_is_one(open_fresh):
    plain = open_fresh("hybrid:bm25+bm25:engine=rank-bm25,k1=1.2", constant=10)
    assert plain.describe()["constant"] == 10
    assert plain.describe()["members"][1]["k1"] == 1.2
    assert open_fresh("hybrid:members=bm25+bm25:engine=rank-bm25,constant=10").describe()["constant"] == 10


@pytest.mark.parametrize("spec", ["hybrid:bm25+", "hybrid:members=bm25", "hybrid:+"])
def test_fewer_than_two_members_are_refused(spec, open_fresh):
    with pytest.raises(InputError, match="two or more"):
        open_fresh(spec)


def test_an_oracle_among_the_members_learns_the_task(open_fresh):
    hybrid = open_fresh("hybrid:oracle+bm25", constant=0)
    task = Task(id="t", question="?", evidence=["dilli"])
    assert "dilli" not in [hit.docid for hit in hybrid.search(["film"], 3)[0]]
    assert "dilli" in [hit.docid for hit in hybrid.for_task(task).search(["film"], 3)[0]]
