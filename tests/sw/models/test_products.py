"""A packed layer does what the layer before it did, or the layer stays."""

import pytest
import torch
from torch import nn

from fineq.models.products import is_plain_lookup, is_plain_product


class Grouped(nn.Linear):
    """As DeepSeek-V4 has it: each group of inputs meets its own rows."""

    def forward(self, x):
        weight = self.weight.view(2, -1, self.in_features)
        return torch.einsum("...gi,goi->...go", x.unflatten(-2, (-1, 2)), weight).flatten(-2)


class SameByHand(nn.Linear):
    def forward(self, x):
        return x @ self.weight.T + self.bias


class Scaled(nn.Embedding):
    def forward(self, ids):
        return super().forward(ids) * 8.0


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_class_is_known_by_what_it_computes(device):
    with torch.device(device):
        assert is_plain_product(nn.Linear(5, 4)) and is_plain_product(SameByHand(5, 4))
        assert not is_plain_product(Grouped(5, 4))
        assert is_plain_lookup(nn.Embedding(7, 4)) and not is_plain_lookup(Scaled(7, 4))


def test_trying_changes_nothing():
    torch.manual_seed(0)
    layer = SameByHand(5, 4)
    before, state = layer.weight.clone(), torch.get_rng_state()
    is_plain_product(layer)
    assert torch.equal(layer.weight, before) and torch.equal(torch.get_rng_state(), state)
