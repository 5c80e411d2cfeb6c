"""The training script on a tiny text: same bytes on every run, resumed or not, and a model that loads."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

from fineq.evaluation.perplexity import shipped_text_path
from fineq.huggingface.loading import load_model, load_tokenizer

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_model.py"
specification = importlib.util.spec_from_file_location("train_model", SCRIPT)
train_model = importlib.util.module_from_spec(specification)
sys.modules["train_model"] = train_model
specification.loader.exec_module(train_model)

OPTIONS = train_model.Options(
    steps=6, seed=3, threads=1, vocabulary=300, hidden=16, feed_forward=24, layers=1, heads=2,
    context=16, batch=2, warmup=2, check_every=2,
)  # fmt: skip
QUIET = Console(quiet=True)


@pytest.fixture(autouse=True)
def restore_torch_settings():
    threads, random = torch.get_num_threads(), torch.get_rng_state()
    yield
    torch.set_num_threads(threads)
    torch.set_rng_state(random)
    torch.use_deterministic_algorithms(False)


def contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_same_bytes_again_and_after_an_interruption(tmp_path, monkeypatch):
    text = [shipped_text_path()]
    train_model.train(text, OPTIONS, tmp_path / "first", QUIET)
    expected = contents(tmp_path / "first")
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= set(expected)
    assert not (tmp_path / "first.checkpoint").exists()
    train_model.train(text, OPTIONS, tmp_path / "again", QUIET)
    assert contents(tmp_path / "again") == expected

    def interrupt(self, tokens, original=train_model.TrainingRun.train_step):
        if self.step == 5:
            raise KeyboardInterrupt
        return original(self, tokens)

    with monkeypatch.context() as patch:
        patch.setattr(train_model.TrainingRun, "train_step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_model.train(text, OPTIONS, tmp_path / "resumed", QUIET)
    assert not (tmp_path / "resumed").exists() and (tmp_path / "resumed.checkpoint").exists()
    other = train_model.Options(**(vars(OPTIONS) | {"seed": 4}))
    with pytest.raises(train_model.TrainingError, match="is of a run with other texts or options"):
        train_model.train(text, other, tmp_path / "resumed", QUIET)
    run = train_model.train(text, OPTIONS, tmp_path / "resumed", QUIET)
    assert contents(tmp_path / "resumed") == expected and run.step == 6

    train_model.train(text, other, tmp_path / "other", QUIET)
    assert contents(tmp_path / "other")["model.safetensors"] != expected["model.safetensors"]

    model, tokenizer = load_model(tmp_path / "first"), load_tokenizer(tmp_path / "first")
    assert model.config.vocab_size == len(tokenizer) == 300
    assert tokenizer.decode(tokenizer.encode("A kite.", add_special_tokens=False)) == "A kite."


def test_the_best_weights_are_written(tmp_path, monkeypatch):
    losses = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr(train_model, "held_out_loss", lambda *arguments: next(losses))
    run = train_model.train([shipped_text_path()], OPTIONS, tmp_path / "model", QUIET)
    assert (run.best_step, run.best_loss) == (4, 1.0)


def test_learning_reduces_the_held_out_loss(tmp_path):
    options = train_model.Options(**(vars(OPTIONS) | {"steps": 60, "check_every": 30, "learning_rate": 1e-2}))
    run = train_model.train([shipped_text_path()], options, tmp_path / "model", QUIET)
    assert run.best_loss < 5.0  # log(300) = 5.7 knows nothing


def test_held_out_text_is_never_trained_on():
    text = "\n\n".join(f"paragraph {number}" for number in range(100)) + "\n"
    training, held_out = train_model.split(text, 0.05)
    assert training + held_out == text
    assert held_out.startswith("paragraph") and 0 < len(held_out) < 0.1 * len(text)


def test_typographic_and_damaged_punctuation_becomes_plain(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("It’s “so”  \nItâ€™s â€œsoâ€\n", encoding="utf-8")
    assert train_model.read_text(path) == 'It\'s "so"\nIt\'s "so"\n'


def test_bad_texts_are_refused(tmp_path):
    short = tmp_path / "short.txt"
    short.write_text("A few words.\n\nAnd some more.\n")
    with pytest.raises(train_model.TrainingError, match="fewer than one window of 16 and 2: give more text"):
        train_model.train([short], OPTIONS, tmp_path / "model", QUIET)
    with pytest.raises(train_model.TrainingError, match="cannot read the text .*absent.txt"):
        train_model.train([tmp_path / "absent.txt"], OPTIONS, tmp_path / "model", QUIET)
    assert not (tmp_path / "model").exists()
