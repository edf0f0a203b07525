import copy

import pytest
import torch
from torch import nn

from lrat_sim.training.precision import HalfWeights


class Tied(nn.Module):
    """An embedding whose table also reads out, and a layer that is not trained."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.middle, self.out = nn.Embedding(20, 16), nn.Linear(16, 16), nn.Linear(16, 20, bias=False)
        self.out.weight = self.table.weight
        self.middle.requires_grad_(False)

    def forward(self, tokens):
        return self.out(torch.tanh(self.middle(self.table(tokens))))


@pytest.fixture
def model():
    return Tied()


def loss_of(model, tokens):
    return model(tokens).float().logsumexp(dim=-1).mean()


def test_a_model_computes_in_bf16_and_keeps_its_weights_in_fp32(model):
    own = dict(model.named_parameters())
    half = HalfWeights(model, torch.bfloat16, "cpu")
    assert model(torch.tensor([[1, 2]])).dtype == torch.bfloat16
    assert model.out.weight is model.table.weight
    with half.full():
        assert dict(model.named_parameters()) == own
        assert model(torch.tensor([[1, 2]])).dtype == torch.bfloat16  # by autocast
    assert model.table.weight.dtype == torch.bfloat16
    half.end()
    assert dict(model.named_parameters()) == own
    assert {weight.dtype for weight in own.values()} == {torch.float32}


def test_gradients_are_those_of_fp32_but_for_rounding_and_only_of_what_is_trained(model):
    plain, tokens = copy.deepcopy(model), torch.arange(20)[None]
    loss_of(plain, tokens).backward()
    half = HalfWeights(model, torch.bfloat16, "cpu")
    loss_of(model, tokens).backward()
    half.end()
    found, wanted = model.table.weight.grad, plain.table.weight.grad
    assert found.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(found.flatten(), wanted.flatten(), dim=0) > 0.999
    assert model.middle.weight.grad is None


def test_gradients_of_many_passes_are_added_in_fp32(model):
    half, tokens = HalfWeights(model, torch.bfloat16, "cpu"), torch.tensor([[3]])
    loss_of(model, tokens).backward()
    once, passes = half_of(half, model), 1000
    for _ in range(passes - 1):
        loss_of(model, tokens).backward()
    # in bf16 the sum would stop growing at 256 times its addend
    torch.testing.assert_close(half_of(half, model), passes * once, rtol=1e-4, atol=0)


def half_of(half, model):
    with half.full():
        return model.table.weight.grad.clone()


def test_steps_smaller_than_bf16_can_tell_are_not_lost(model):
    half = HalfWeights(model, torch.bfloat16, "cpu")
    with half.full():
        weight = model.table.weight
    before, shown = weight.detach().clone(), model.table.weight.detach().clone()
    for _ in range(2000):
        with torch.no_grad():
            weight.mul_(1 + 1e-5)  # a bf16 number has 8 bits
        half.renew()
    torch.testing.assert_close(weight.detach(), before * (1 + 1e-5) ** 2000, rtol=1e-3, atol=0)
    assert (model.table.weight.abs() > shown.abs()).float().mean() > 0.9
