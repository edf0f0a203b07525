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


def test_small_recipe_is_the_default():
    assert catalog.load("recipes", "train-small", TrainingSettings) == TrainingSettings()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("temperature", 0.0, "temperature is 0.0; it must be above 0"),
        ("learning_rate", float("nan"), "learning_rate is nan; it must be above 0"),
        ("batch_size", 0, "batch_size is 0; it must be 1 or more"),
        ("warmup", 1.0, "warmup is 1.0; it must be a share"),
        ("freeze_layers", -1, "freeze_layers is -1; it must be 0 or more"),
        ("negatives", "best", "negatives is 'best'; it must be 'first' or 'sample'"),
        ("bf16", "yes", "bf16 is 'yes'; it must be true, false or 'auto'"),
    ],
)
def test_value_that_is_not_allowed_is_named(field, value, message):
    with pytest.raises(InputError, match=message):
        TrainingSettings(**{field: value})


def test_group_of_one_needs_in_batch_negatives():
    assert TrainingSettings(group_size=1).in_batch_negatives
    with pytest.raises(InputError, match="no pair has a negative"):
        TrainingSettings(group_size=1, in_batch_negatives=False)
