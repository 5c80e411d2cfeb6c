"""Blocks that are made the same are followed once, and what is seen is the same."""

from collections import Counter

import pytest
import torch
import transformers
from helpers.models.tiny_models import CONFIGS, LLAMA
from torch import nn

from fineq.models import following
from fineq.models.blocks import block_lists
from fineq.models.repeats import each_kind_once, kinds_of_blocks


def on_meta(config):
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(config)


def kinds(config):
    (blocks,) = block_lists(on_meta(config)).values()
    return kinds_of_blocks(blocks)


SIZES = LLAMA | dict(num_hidden_layers=4)

ALTERNATING = ["sliding_attention", "full_attention"] * 2


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (transformers.LlamaConfig(**SIZES), [0, 0, 0, 0]),
        (transformers.GemmaConfig(**SIZES, head_dim=12), [0, 0, 0, 0]),  # each has a partial function of its own
        (transformers.Gemma2Config(**SIZES, head_dim=12, layer_types=ALTERNATING), [0, 1, 0, 1]),
        (transformers.Qwen2MoeConfig(**SIZES, mlp_only_layers=[1], moe_intermediate_size=40), [0, 1, 0, 0]),
    ],
    ids=["llama", "gemma", "gemma2", "qwen2_moe"],
)  # fmt: skip
def test_kinds(config, expected):
    assert kinds(config) == expected


class Block(nn.Module):
    def __init__(self, **settings):
        super().__init__()
        self.part = nn.Linear(4, 4)
        self.runs = Counter()
        for name, value in settings.items():
            setattr(self, name, value)

    def forward(self, x):
        self.runs.update(["all"])
        return self.part(x)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([dict(number=n) for n in range(3)], [0, 0, 0]),
        ([dict(number=2 * n + 1) for n in range(3)], [0, 0, 0]),
        ([dict(number=n) for n in (0, 1, 3)], [0, 1, 2]),
        ([dict(window=4), dict(window=8)], [0, 1]),  # of two, any difference would count
        ([dict(flag=False), dict(flag=True)], [0, 1]),
        ([dict(factor=0.5), dict(factor=1.5), dict(factor=2.5)], [0, 1, 2]),
        ([dict(sizes=[1, 2]), dict(sizes=[1, 2]), dict(sizes=[1, 3])], [0, 0, 1]),
        ([dict(owned=object()), dict(owned=object())], [0, 1]),
        ([dict(part=nn.Linear(4, 4)), dict(part=nn.Linear(4, 5)), dict(part=nn.Linear(4, 4, bias=False))], [0, 1, 2]),
    ],
)
def test_settings(settings, expected):
    blocks = [Block(**each) for each in settings]
    for block in blocks:
        block.runs = None
    assert kinds_of_blocks(blocks) == expected


def test_blocks_that_share_a_weight_are_no_repeats_of_others():
    blocks = [Block() for _ in range(4)]
    for block in blocks:
        block.runs = blocks[0].runs
    blocks[3].part.weight = blocks[1].part.weight
    with each_kind_once([blocks]):
        for block in blocks:
            block(torch.zeros(1, 4))
    assert blocks[0].runs["all"] == 2


def test_a_kind_runs_once_for_inputs_of_one_form():
    runs, blocks = Counter(), [Block() for _ in range(3)]
    for block in blocks:
        block.runs = runs
    with each_kind_once([blocks]):
        first = blocks[0](torch.zeros(1, 4))
        assert blocks[1](first) is first and blocks[2](first) is first and runs["all"] == 1
        assert blocks[2](torch.zeros(2, 4)).shape == (2, 4) and runs["all"] == 2
    assert blocks[1](first) is not first and "forward" not in vars(blocks[1])


@pytest.mark.parametrize("architecture", CONFIGS)
def test_the_same_is_seen(architecture):
    config = CONFIGS[architecture]()
    seen, whole = following.follow(on_meta(config)), following._run(on_meta(config))
    assert (seen.chosen, seen.borrowed) == (whole.chosen, whole.borrowed)


def test_a_deep_model_takes_no_longer(monkeypatch):
    """Planning was half of the time of `fineq quantize`, most of it thirty times the same."""
    operations = Counter()
    note = following._Follow._note_borrowers

    def count(self, inputs):
        operations[depth] += 1
        note(self, inputs)

    monkeypatch.setattr(following._Follow, "_note_borrowers", count)
    for depth in (2, 12):
        following.follow(on_meta(transformers.LlamaConfig(**LLAMA | dict(num_hidden_layers=depth))))
    assert 0 < operations[12] < 2 * operations[2]  # the forms of inputs are looked at


def test_what_fails_with_repeats_is_followed_in_full(monkeypatch):
    """A model may hand something from block to block that a block that did not run does not give."""
    model = on_meta(transformers.LlamaConfig(**SIZES))
    for block in model.model.layers:
        block.seen = False

    def note(block, *inputs):
        block.seen = True

    last = model.model.layers[-1]
    for block in model.model.layers:
        block.self_attn.register_forward_pre_hook(lambda _, __, block=block: note(block))

    def check(*_):
        assert all(block.seen for block in model.model.layers[:-1]), "the first ones did not run"

    last.unlike = True
    last.register_forward_pre_hook(check)
    seen = following.follow(model)
    assert seen.failure is None and all(block.seen for block in model.model.layers)
