import pytest

from lrat_sim.cli.flywheel import _shares
from lrat_sim.errors import InputError


def test_a_retriever_with_its_share_may_have_options_and_a_name():
    given = ["bm25=0.2", "lexical=bm25:b=0.5=0.1"]
    assert _shares(given) == {"bm25": 0.2, "lexical=bm25:b=0.5": 0.1}


@pytest.mark.parametrize("option", ["bm25", "bm25=", "bm25=much", "=0.2"])
def test_an_option_without_retriever_or_share_is_refused(option):
    with pytest.raises(InputError, match=r"SPEC=SHARE, like bm25=0\.2"):
        _shares([option])
