"""Train the small language model that the package carries (docs/quantizer/model.md).

A LLaMA-architecture model with its own byte-level BPE tokenizer, trained from plain text files and written in
Hugging Face layout: float16 safetensors, config.json, generation_config.json, tokenizer files.

Training windows look like evaluation windows: a beginning-of-sequence token, then consecutive text. The end of
each text is held out; the weights with the lowest held-out loss are the ones that are written.

Deterministic: the same texts, options, thread count and library versions give the same bytes, with or without an
interruption. Another thread count changes the order of floating-point sums and so the bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tokenizers
import torch
import typer
from rich.console import Console
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from fineq.common.files import replacing, replacing_directory
from fineq.common.progress import progress_display

BOS, EOS = "<s>", "</s>"
# Typographic characters, also when UTF-8 was once read as Windows-1252, become plain ones.
# The closing quote comes last: its damaged form is the beginning of all the others.
PLAIN = {"’": "'", "‘": "'", "“": '"', "–": "-", "—": "-", "…": "...", "”": '"'}


class TrainingError(Exception):
    """Training cannot start: the message says what is wrong and what to do."""


@dataclass(frozen=True)
class Options:
    """Everything besides the texts that decides the written bytes."""

    steps: int
    seed: int
    threads: int
    vocabulary: int = 1024
    hidden: int = 128
    feed_forward: int = 384
    layers: int = 4
    heads: int = 4
    context: int = 512
    batch: int = 4
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    dropout: float = 0.1
    holdout: float = 0.05
    warmup: int = 100
    check_every: int = 150


def read_text(path: Path) -> str:
    """Text of a file with plain punctuation and no trailing blanks."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"cannot read the text {path}: {error}") from error
    for typographic, plain in PLAIN.items():
        damaged = typographic.encode().decode("cp1252", errors="ignore")
        text = text.replace(damaged, plain).replace(typographic, plain)
    return "\n".join(line.rstrip() for line in text.splitlines()).strip() + "\n"


def split(text: str, holdout: float) -> tuple[str, str]:
    """(training part, held-out end), cut at a paragraph so that no sentence is in both."""
    cut = text.rfind("\n\n", 0, int(len(text) * (1 - holdout))) + 2
    return text[:cut], text[cut:]


def train_tokenizer(text: str, vocabulary: int) -> Tokenizer:
    """Byte-level BPE over single words; encodes any text, puts BOS in front by default."""
    tokenizer = Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[BOS, EOS],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return tokenizer


def build_model(options: Options, vocabulary: int) -> LlamaForCausalLM:
    """Untrained model. Dropout sits in hooks of the training run, so the written model is a plain LLaMA."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=options.hidden,
        intermediate_size=options.feed_forward,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        num_key_value_heads=options.heads,
        max_position_embeddings=options.context,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        use_cache=False,
    )
    model = LlamaForCausalLM(config)
    if options.dropout:

        def drop(module, inputs, output):
            return functional.dropout(output, options.dropout, training=module.training)

        blocks = model.model.layers
        residual = [linear for block in blocks for linear in (block.self_attn.o_proj, block.mlp.down_proj)]
        for module in [model.model.embed_tokens, *residual]:
            module.register_forward_hook(drop)
    return model


def window_losses(model: LlamaForCausalLM, windows: torch.Tensor) -> torch.Tensor:
    """Mean next-token loss in nats. `windows`: int64 [batch, length], BOS included, which is never a target."""
    logits = model(input_ids=windows[:, :-1], use_cache=False).logits
    return functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


def with_bos(chunks: torch.Tensor) -> torch.Tensor:
    return functional.pad(chunks, (1, 0), value=0)


def held_out_loss(model: LlamaForCausalLM, tokens: torch.Tensor, length: int) -> float:
    """Mean loss over the held-out text in consecutive windows of BOS and `length` tokens; a short tail is dropped."""
    length = min(length, len(tokens))
    windows = with_bos(tokens[: len(tokens) // length * length].view(-1, length))
    model.eval()
    with torch.no_grad():
        loss = torch.stack([window_losses(model, part) for part in windows.split(8)]).mean().item()
    model.train()
    return loss


def learning_rate(step: int, options: Options) -> float:
    """Linear warm-up, then a cosine down to a tenth."""
    if step < options.warmup:
        return options.learning_rate * (step + 1) / options.warmup
    progress = (step - options.warmup) / max(1, options.steps - options.warmup)
    return options.learning_rate * (0.55 + 0.45 * math.cos(math.pi * progress))


class TrainingRun:
    """State of one training run: weights, optimizer, random state and the best weights so far."""

    def __init__(self, options: Options, vocabulary: int, fingerprint: str):
        torch.manual_seed(options.seed)
        self.options, self.fingerprint = options, fingerprint
        self.model = build_model(options, vocabulary)
        matrices = [p for p in self.model.parameters() if p.dim() > 1]
        vectors = [p for p in self.model.parameters() if p.dim() <= 1]
        groups = [{"params": matrices, "weight_decay": options.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95))
        self.step, self.best_step, self.best_loss, self.best = 0, 0, math.inf, {}

    def save(self, path: Path) -> None:
        state = {key: getattr(self, key) for key in ("step", "best_step", "best_loss", "best", "fingerprint")}
        state |= {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        with replacing(path) as aside:
            torch.save(state | {"random": torch.get_rng_state()}, aside)

    def resume(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        if state["fingerprint"] != self.fingerprint:
            raise TrainingError(f"{path} is of a run with other texts or options: finish that run or delete the file")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        for key in ("step", "best_step", "best_loss", "best"):
            setattr(self, key, state[key])

    def train_step(self, tokens: torch.Tensor) -> float:
        options = self.options
        starts = torch.randint(0, len(tokens) - options.context + 1, (options.batch,))
        windows = with_bos(torch.stack([tokens[s : s + options.context] for s in starts.tolist()]))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, options)
        loss = window_losses(self.model, windows)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        return loss.item()

    def check(self, tokens: torch.Tensor) -> float:
        loss = held_out_loss(self.model, tokens, self.options.context)
        if loss < self.best_loss:
            self.best_loss, self.best_step = loss, self.step
            self.best = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        return loss


def write_model(run: TrainingRun, tokenizer: Tokenizer, output: Path) -> None:
    """Write the best weights in float16 with everything that loads them; the directory appears whole or not at all."""
    run.model.load_state_dict(run.best)
    model = run.model.eval().to(torch.float16)
    model.config.use_cache = True
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=1, do_sample=False, max_new_tokens=200)
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "model_max_length": run.options.context,
        "clean_up_tokenization_spaces": False,
    }
    with replacing_directory(output) as aside:
        model.save_pretrained(aside)
        tokenizer.save(str(aside / "tokenizer.json"))
        (aside / "tokenizer_config.json").write_text(json.dumps(described, indent=2) + "\n")
        for path in aside.iterdir():
            path.chmod(0o644)


def train(texts: list[Path], options: Options, output: Path, console: Console) -> TrainingRun:
    """Train, resuming from `OUTPUT.checkpoint` when it is there, and write the model to `output`."""
    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True)
    parts = [split(read_text(path), options.holdout) for path in texts]
    tokenizer = train_tokenizer("\n\n".join(training for training, _ in parts), options.vocabulary)

    def encode(part: int) -> torch.Tensor:
        joined = "\n\n".join(pair[part] for pair in parts)
        return torch.tensor(tokenizer.encode(joined, add_special_tokens=False).ids)

    training, held_out = encode(0), encode(1)
    if len(training) < options.context or len(held_out) < 2:
        raise TrainingError(
            f"the texts give {len(training)} training and {len(held_out)} held-out tokens, fewer than one window of "
            f"{options.context} and 2: give more text"
        )
    described = json.dumps([asdict(options), parts, tokenizer.to_str()], sort_keys=True)
    run = TrainingRun(options, tokenizer.get_vocab_size(), hashlib.sha256(described.encode()).hexdigest())
    checkpoint = output.with_name(output.name + ".checkpoint")
    if checkpoint.exists():
        run.resume(checkpoint)
        console.print(f"resuming at step {run.step}")
    parameters = sum(p.numel() for p in run.model.parameters())
    console.print(f"{parameters} parameters, {len(training)} training tokens, {len(held_out)} held-out tokens")

    def tokens_per_second(rate: float) -> str:
        return f"{rate * options.batch * options.context:.0f} tokens/s"

    with progress_display(tokens_per_second, done=run.step, console=console, seconds=60) as progress:
        recent = []
        while run.step < options.steps:
            recent.append(run.train_step(training))
            progress("training", run.step, options.steps)
            if run.step % options.check_every == 0 or run.step == options.steps:
                loss = run.check(held_out)
                run.save(checkpoint)
                console.print(
                    f"step {run.step}: loss {sum(recent) / len(recent):.4f}, held out {loss:.4f} "
                    f"(best {run.best_loss:.4f} at {run.best_step})"
                )
                recent = []
    write_model(run, tokenizer, output)
    checkpoint.unlink(missing_ok=True)
    return run


def main(
    text: Annotated[list[Path], typer.Option(help="Plain text file (UTF-8); may be given several times.")],
    output: Annotated[Path, typer.Option(help="Directory of the model; replaced when it exists.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps.")] = 2700,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads; part of what fixes the bytes.")] = 1,
    dropout: Annotated[float, typer.Option(min=0, max=0.9, help="Dropout during training.")] = Options.dropout,
    context: Annotated[int, typer.Option(min=8, help="Longest context in tokens.")] = Options.context,
    check_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = Options.check_every,
) -> None:
    """Train a small LLaMA-style model on plain text and write it in Hugging Face layout."""
    options = Options(steps, seed, threads, dropout=dropout, context=context, check_every=check_every)
    console = Console(stderr=True)
    try:
        run = train(text, options, output, console)
    except TrainingError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    console.print(f"wrote {output}: held-out loss {run.best_loss:.4f} nats per token, from step {run.best_step}")


if __name__ == "__main__":
    typer.run(main)
