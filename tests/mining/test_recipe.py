from __future__ import annotations

import msgspec
import pytest
import yaml

from lrat_sim.errors import InputError
from lrat_sim.mining.recipe import MiningRecipe, load_recipe


def test_defaults_are_the_paper_preset():
    assert msgspec.structs.replace(load_recipe("mine-paper"), description="") == MiningRecipe()


def test_description_does_not_change_the_identity():
    assert load_recipe("mine-paper").fingerprint == MiningRecipe().fingerprint
    assert load_recipe("mine-naive").fingerprint != MiningRecipe().fingerprint


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"guards": {"pairs_per_document": 0}}, r"`guards\.pairs_per_document`: expected `int` >= 1"),
        ({"guards": {"near_positive": {"share": 1.5}}}, r"`guards\.near_positive\.share`: expected `float` <= 1\.0"),
        ({"guards": {"near_positive": {"share": float("nan")}}}, r"`guards\.near_positive\.share`"),
        ({"guards": {"lookahead": True}}, "lookahead"),
        ({"outcome_weights": {"correct": float("nan")}}, r"`outcome_weights"),
        ({"outcome_weights": {"right": 1}}, "right"),
        ({"walk": "random"}, "walk is 'random'; it must be one of chain, search, since_useful"),
        ({"searches": "end"}, "searches is 'end'; it must be one of all, back, front, middle"),
        ({"useful": "liked"}, "useful is 'liked'; it must be one of confirmed, judged, read, supported, used"),
        ({"positives": "clicked"}, "positives is 'clicked'; it must be one of browsed, relevant, relevant_or_flagged"),
        ({"weight": "loudness"}, "weight is 'loudness'; it must be one of judge, length, length_clipped"),
        ({"negatives": [{"rule": "others"}]}, "negatives.rule is 'others'"),
        ({"negatives": [{"weight": 0}]}, r"`negatives\[0\]\.weight`: expected `float` > 0\.0"),
        ({"negatives": [{"weight": float("nan")}]}, r"`negatives\[0\]\.weight`"),
        ({"negatives": [{"limit": 0}]}, r"`negatives\[0\]\.limit`: expected `int` >= 1"),
        ({"negatives": [{"up_to": 0}]}, r"`negatives\[0\]\.up_to`"),
        ({"runs": "good"}, "runs"),
        ({"rnus": "all"}, "rnus"),
    ],
)
def test_what_is_not_allowed_is_named(tmp_path, fields, message):
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(fields))
    with pytest.raises(InputError, match=message):
        load_recipe(str(path))
