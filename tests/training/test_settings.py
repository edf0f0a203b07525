import pytest

from lrat_sim import catalog
from lrat_sim.errors import InputError
from lrat_sim.training.settings import TrainingSettings


def test_paper_recipe_is_the_paper_s():
    paper = catalog.load("recipes", "train-paper", TrainingSettings)
    assert (paper.epochs, paper.batch_size, paper.learning_rate, paper.temperature) == (2, 32, 1e-6, 0.02)
    assert (paper.group_size, paper.max_query_length, paper.max_document_length) == (10, 512, 512)
    assert paper.in_batch_negatives
    assert paper.pair_weights
    assert paper.freeze_layers == 0


def test_recipes_of_the_package_can_be_read():
    assert catalog.load("recipes", "train-small", TrainingSettings) == TrainingSettings()
    e5 = catalog.load("recipes", "train-paper-e5", TrainingSettings)
    assert e5.query_prompt.startswith("Instruct: ")
    assert e5.query_prompt.endswith("\nQuery: ")
    assert not catalog.load("recipes", "train-reranker", TrainingSettings).in_batch_negatives


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0.0),
        ("learning_rate", float("nan")),
        ("batch_size", 0),
        ("warmup", 1.0),
        ("freeze_layers", -1),
        ("negatives", "best"),
        ("precision", "int8"),
        ("max_query_length", 3),
        ("mini_batch_size", 0),
        ("lora_rank", -1),
        ("lora_alpha", 0.0),
        ("development_share", 1.0),
        ("evaluations", 0),
        ("base_share", -0.1),
        ("distillation", "mse"),
        ("distillation_weight", float("inf")),
    ],
)
def test_value_that_is_not_allowed_is_named(field, value):
    with pytest.raises(InputError, match=field):
        TrainingSettings(**{field: value})


def test_group_of_one_needs_in_batch_negatives():
    assert TrainingSettings(group_size=1).in_batch_negatives
    with pytest.raises(InputError, match="no pair has a negative"):
        TrainingSettings(group_size=1, in_batch_negatives=False)
