"""Random models of every supported architecture, small enough to make in a test."""

from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

LLAMA = dict(
    vocab_size=61,
    hidden_size=48,
    intermediate_size=80,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=None,
)
MOE = LLAMA | dict(num_experts_per_tok=2)

CONFIGS = {
    "llama": lambda: transformers.LlamaConfig(**LLAMA),
    "llama-tied": lambda: transformers.LlamaConfig(**LLAMA, tie_word_embeddings=True, attention_bias=True),
    "mistral": lambda: transformers.MistralConfig(**LLAMA, sliding_window=None),
    "qwen2": lambda: transformers.Qwen2Config(**LLAMA, tie_word_embeddings=True),
    "qwen3": lambda: transformers.Qwen3Config(**LLAMA, head_dim=12),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=61, n_embd=48, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2
    ),
    "opt": lambda: transformers.OPTConfig(
        vocab_size=61, hidden_size=48, ffn_dim=80, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, word_embed_proj_dim=32,
    ),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(
        vocab_size=61, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, bos_token_id=1, eos_token_id=2,
    ),
    "bloom": lambda: transformers.BloomConfig(
        vocab_size=61, hidden_size=48, n_layer=2, n_head=4, max_position_embeddings=64,
    ),
    "falcon-alibi": lambda: transformers.FalconConfig(
        vocab_size=61, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, alibi=True, multi_query=False,
        max_position_embeddings=64, parallel_attn=False, bias=True, bos_token_id=1, eos_token_id=2,
    ),
    "mixtral": lambda: transformers.MixtralConfig(**MOE, num_local_experts=3),
    "qwen3_moe": lambda: transformers.Qwen3MoeConfig(
        **MOE, num_experts=3, moe_intermediate_size=40, head_dim=12, decoder_sparse_step=1, norm_topk_prob=True
    ),
    "hunyuan_v1_moe": lambda: transformers.HunYuanMoEV1Config(**MOE, num_experts=4, moe_topk=[2, 2], head_dim=12),
    "granitemoe": lambda: transformers.GraniteMoeConfig(**MOE, num_local_experts=3),
    "granitemoeshared": lambda: transformers.GraniteMoeSharedConfig(
        **MOE, num_local_experts=3, shared_intermediate_size=40
    ),
    "aria_text": lambda: transformers.AriaTextConfig(
        **LLAMA | dict(pad_token_id=0), moe_num_experts=4, moe_topk=2, moe_num_shared_experts=1
    ),
}  # fmt: skip


def make_model(architecture: str, directory: Path, dtype: torch.dtype = torch.float32, **saving) -> Path:
    """A model directory with a config, random weights (larger than usual, so that outputs differ) and a tokenizer."""
    torch.manual_seed(sum(map(ord, architecture)))
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[architecture]())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
            elif name.endswith("bias"):
                parameter.normal_(std=0.1)
    model.to(dtype).save_pretrained(directory, **saving)
    words = {"<unk>": 0, "<s>": 1, "</s>": 2} | {chr(ord("a") + n): 3 + n for n in range(26)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>").save_pretrained(directory)
    return directory


def files(directory: Path) -> dict[str, bytes]:
    """Contents of the files of a directory, by name."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}
