"""Layers that decide are found by what they do, and stay as they are."""

import pytest
import torch
import transformers
from helpers.models.tiny_models import CONFIGS, LLAMA, MOE, make_model
from torch import nn

from fineq.models import routers
from fineq.models.language_model import block_linears, kept_layers
from fineq.models.routers import CHOOSES, FACTORS, NAMED

CASES = {
    "gemma4": (
        lambda: transformers.Gemma4TextConfig(
            **LLAMA, head_dim=12, global_head_dim=12, enable_moe_block=True, num_experts=4, top_k_experts=2,
            moe_intermediate_size=40, hidden_size_per_layer_input=0, vocab_size_per_layer_input=61,
        ),
        {"router.proj": CHOOSES},
    ),
    "hunyuan": (
        CONFIGS["hunyuan_v1_moe"],
        {"mlp.gate.wg": CHOOSES},
    ),
    "gemma3n": (
        lambda: transformers.Gemma3nTextConfig(
            **LLAMA, head_dim=12, altup_num_inputs=4, laurel_rank=8, num_kv_shared_layers=0,
            activation_sparsity_pattern=[0.0, 0.0], hidden_size_per_layer_input=8, vocab_size_per_layer_input=61,
            layer_types=["full_attention", "full_attention"],
        ),
        {"altup.modality_router": FACTORS, "altup.correction_coefs": FACTORS},
    ),
    "longcat": (  # a router that no name gives away
        lambda: transformers.LongcatFlashConfig(
            vocab_size=61, hidden_size=48, num_layers=2, num_hidden_layers=4, num_attention_heads=4, ffn_hidden_size=80,
            expert_ffn_hidden_size=40, q_lora_rank=24, kv_lora_rank=24, qk_nope_head_dim=12, qk_rope_head_dim=12,
            v_head_dim=12, head_dim=12, moe_topk=2, n_routed_experts=4, zero_expert_num=1, max_position_embeddings=64,
        ),
        {"mlp.router.classifier": CHOOSES},
    ),
    "qwen2_moe": (
        lambda: transformers.Qwen2MoeConfig(
            **MOE, num_experts=4, moe_intermediate_size=40, shared_expert_intermediate_size=40
        ),
        {"mlp.shared_expert_gate": FACTORS},
    ),
}  # fmt: skip


def on_meta(config):
    with torch.device("meta"):
        return transformers.AutoModelForCausalLM.from_config(config)


def by_place(reasons: dict[str, str]) -> dict[str, str]:
    """Reasons by the place in a block."""
    return {name.split(".", 3)[3]: reason for name, reason in reasons.items()}


@pytest.mark.parametrize("case", CASES)
def test_layers_that_decide_stay(case):
    make_config, expected = CASES[case]
    model = on_meta(make_config())
    kept = kept_layers(model)
    assert expected.items() <= by_place(kept).items()
    assert not kept.keys() & set(block_linears(model))
    linears = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    quantized = {name for name in block_linears(model) if name in linears}
    assert quantized | kept.keys() | {"lm_head"} >= {name for name in linears if ".layers." in name}


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "opt", "gpt_neox", "mistral"])
def test_layers_that_compute_features_do_not(architecture):
    assert not kept_layers(on_meta(CONFIGS[architecture]()))


def test_small_models_have_few_outputs_everywhere():
    assert not kept_layers(on_meta(transformers.LlamaConfig(**LLAMA | dict(hidden_size=16, intermediate_size=24))))


def test_a_model_with_memory_is_not_run(tmp_path, monkeypatch):
    directory = make_model("mixtral", tmp_path)
    model = transformers.AutoModelForCausalLM.from_pretrained(directory)
    model.register_forward_pre_hook(lambda *_: pytest.fail("run"))
    assert len(block_linears(model)) == 2 * (4 + 2 * 3)


def test_names_help_where_a_model_cannot_be_followed(monkeypatch):
    config = CASES["gemma4"][0]()
    model = on_meta(config)

    def fail(**arguments):
        raise RuntimeError("needs values")

    monkeypatch.setattr(model, "forward", fail)
    monkeypatch.setattr(routers, "_gives_factors", lambda linears: [])
    router = model.model.layers[0].router
    router.gate = router._modules.pop("proj")
    assert by_place(kept_layers(model)) == {"router.gate": NAMED}
