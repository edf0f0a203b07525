import math

import numpy
import pytest
import torch

from lrat_sim.training.loss import Distillation
from lrat_sim.training.trainer import teacher_scores

LOGITS = torch.tensor([[2.0, 0.5, -1.0, 0.0], [0.0, 1.0, 3.0, -2.0]])


def labels(**changed):
    given = {
        "positive": torch.tensor([0, 2]),
        "negatives": torch.tensor([[1, 2], [3, -1]]),
        "negative_weights": torch.tensor([[1.0, 1.0], [1.0, 9.0]]),
        "weights": torch.tensor([1.0, 0.5]),
        "teacher": torch.tensor([[4.0, 1.0, 0.0], [1.0, 2.0, 99.0]]),
    }
    return {**given, **changed}


def softmax(numbers):
    total = sum(math.exp(number) for number in numbers)
    return [math.exp(number) / total for number in numbers]


def test_kl_by_hand():
    first = sum(p * math.log(p / q) for p, q in zip(softmax([4, 1, 0]), softmax([2, 0.5, -1]), strict=True))
    second = sum(p * math.log(p / q) for p, q in zip(softmax([1, 2]), softmax([3, -2]), strict=True))
    found = Distillation("kl", 2.0)(LOGITS, labels())
    assert float(found) == pytest.approx(2 * (first + 0.5 * second) / 2, rel=1e-5)


def test_margin_mse_by_hand():
    first = ((1.5 - 3.0) ** 2 + (3.0 - 4.0) ** 2) / 2
    second = (5.0 - (-1.0)) ** 2
    found = Distillation("margin_mse", 1.0)(LOGITS, labels())
    assert float(found) == pytest.approx((first + 0.5 * second) / 2, rel=1e-5)


@pytest.mark.parametrize("kind", ["kl", "margin_mse"])
def test_gradient_is_finite_and_weight_zero_takes_a_row_s_away(kind):
    logits = LOGITS.clone().requires_grad_()
    Distillation(kind)(logits, labels(weights=torch.tensor([1.0, 0.0]))).backward()
    assert torch.isfinite(logits.grad).all()
    assert float(logits.grad[0].abs().max()) > 0.01
    assert float(logits.grad[1].abs().max()) == 0.0


@pytest.mark.parametrize("kind", ["kl", "margin_mse"])
def test_row_without_negatives_and_negative_of_weight_zero_add_nothing(kind):
    without = labels(negatives=torch.tensor([[1, 2], [-1, -1]]))
    zero = labels(negative_weights=torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    logits = LOGITS.clone().requires_grad_()
    one = Distillation(kind)(logits, without)
    assert float(one) == pytest.approx(float(Distillation(kind)(LOGITS, zero)))
    one.backward()
    assert torch.isfinite(logits.grad).all()
    assert float(logits.grad[1].abs().max()) == 0.0


def test_teacher_is_asked_once_and_its_scores_are_kept(tmp_path):
    asked = []

    class Lengths:
        def predict(self, pairs, **_):
            asked.extend(pairs)
            return numpy.array([len(text) for _, text in pairs], numpy.float32)

    texts = [("q", "x" * n) for n in range(300)]
    for _ in range(2):
        teacher_scores(Lengths(), texts, tmp_path / "teacher.npy")
        assert numpy.load(tmp_path / "teacher.npy").tolist() == list(range(300))
    assert len(asked) == 300
