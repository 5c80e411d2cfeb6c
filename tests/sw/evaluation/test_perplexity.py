"""Perplexity against direct computations, impossible protocols, and the text formats."""

import math
import os
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from fineq.common.errors import FineqError
from fineq.evaluation.perplexity import perplexity, read_text, shipped_text_path, tokenize
from fineq.huggingface.loading import load_model, load_tokenizer
from fineq.models.locations import shipped_model_path


@pytest.fixture(scope="module")
def model():
    return load_model(shipped_model_path())


@pytest.fixture(scope="module")
def tokens():
    return tokenize(load_tokenizer(shipped_model_path()), read_text(shipped_text_path()).content)


def transformers_loss(model, windows):
    """Mean of the loss that transformers itself computes, window by window."""
    with torch.no_grad():
        return sum(model(input_ids=w[None], labels=w[None]).loss.item() for w in windows) / len(windows)


@pytest.mark.parametrize("length", [32, 100, 512])
def test_agrees_with_the_loss_of_transformers(model, tokens, length):
    width = length - 1
    chunks = tokens[: len(tokens) // width * width].view(-1, width)
    expected = transformers_loss(model, functional.pad(chunks, (1, 0), value=0))
    measured = perplexity(model, tokens, length, bos="window", bos_token_id=0)
    assert math.isclose(measured.nll, expected, rel_tol=1e-4)
    assert math.isclose(measured.perplexity, math.exp(expected), rel_tol=1e-4)
    assert measured.scored_tokens == chunks.numel() and measured.windows == len(chunks)

    chunks = tokens[: len(tokens) // length * length].view(-1, length)
    measured = perplexity(model, tokens, length, bos="none")
    assert math.isclose(measured.nll, transformers_loss(model, chunks), rel_tol=1e-4)

    with_bos = torch.cat([torch.tensor([0]), tokens])
    chunks = with_bos[: len(with_bos) // length * length].view(-1, length)
    measured = perplexity(model, tokens, length, bos="text", bos_token_id=0)
    assert math.isclose(measured.nll, transformers_loss(model, chunks), rel_tol=1e-4)
    assert measured.scored_tokens == len(chunks) * (length - 1)


@pytest.mark.parametrize("bos", ["window", "none"])
@pytest.mark.parametrize("stride", [1, 5, 15])
def test_overlapping_windows_score_every_token_once_in_its_first_window(model, tokens, bos, stride):
    length, tokens = 16, tokens[:60]
    lead = [0] if bos == "window" else []
    width = length - len(lead)
    last = (len(tokens) - width) // stride * stride + width
    losses = []
    for target in range(0 if lead else 1, last):
        start = max(0, -(-(target - width + 1) // stride)) * stride
        if start == target and not lead:
            continue  # the first of a window that does not overlap has no context
        context = torch.tensor([*lead, *tokens[start:target].tolist()])
        with torch.no_grad():
            logits = model(input_ids=context[None]).logits[0, -1]
        losses.append(functional.cross_entropy(logits, tokens[target]).item())
    measured = perplexity(model, tokens, length, bos=bos, bos_token_id=0, stride=stride)
    assert measured.scored_tokens == len(losses)
    assert math.isclose(measured.nll, sum(losses) / len(losses), rel_tol=1e-5)


def test_uniform_model_has_the_perplexity_of_its_vocabulary(tokens):
    model = load_model(shipped_model_path())
    model.model.norm.weight.data.zero_()
    assert math.isclose(perplexity(model, tokens, 64, bos="none").perplexity, 1024, rel_tol=1e-6)


def test_batches_do_not_change_the_result(model, tokens, monkeypatch):
    first = perplexity(model, tokens, 64)
    monkeypatch.setattr("fineq.evaluation.perplexity.BATCH_TOKENS", 64)
    assert math.isclose(perplexity(model, tokens, 64).nll, first.nll, rel_tol=1e-6)


def test_max_windows_and_progress(model, tokens):
    seen = []
    measured = perplexity(model, tokens, 64, max_windows=3, progress=lambda *state: seen.append(state))
    assert (measured.windows, measured.scored_tokens, seen[-1]) == (3, 3 * 63, (3, 3))


@pytest.mark.parametrize(
    "options, text",
    [
        ({"bos": "sometimes"}, "bos is 'sometimes': choose one of window, text, none"),
        ({"bos": "window"}, "no beginning-of-sequence token: choose bos 'none'"),
        ({"sequence_length": 1}, "sequence length 1 is impossible: the model takes 2 to 512 tokens"),
        ({"sequence_length": 513}, "sequence length 513 is impossible"),
        ({"stride": 0}, "stride 0 is impossible: it must lie between 1 and 64"),
        ({"stride": 65}, "stride 65 is impossible"),
        ({"token_ids": torch.arange(63)}, "the text has 63 tokens, fewer than one window of 64: give a longer text"),
    ],
)
def test_impossible_protocols_are_refused(model, tokens, options, text):
    arguments = {"token_ids": tokens, "sequence_length": 64} | options
    with pytest.raises(FineqError, match=text):
        perplexity(model, **arguments)


def test_nan_from_the_model_is_refused(tokens):
    model = load_model(shipped_model_path())
    model.model.norm.weight.data[0] = math.nan
    with pytest.raises(FineqError, match="loss is not a finite number"):
        perplexity(model, tokens, 64)


# -- text ------------------------------------------------------------------------------------------------------


def test_text_formats(tmp_path):
    plain = tmp_path / "a.txt"
    plain.write_bytes(b"One.\r\n\r\nTwo.\n")
    assert read_text(plain).content == "One.\r\n\r\nTwo.\n"
    wiki = tmp_path / "wiki.test.raw"
    wiki.write_text(" \n = Title = \n \n First line . \n")
    text = read_text(wiki)
    assert text.content == "\n\n".join(["", " = Title = \n", "", " First line . \n"])
    assert (text.documents, text.join) == (4, "\n\n")
    lines = tmp_path / "c4.jsonl"
    lines.write_text('{"text": "One\\u2028x", "url": "u"}\n\n{"text": "Two"}\n')
    text = read_text(lines)
    assert (text.content, text.documents, text.join) == ("One\u2028x Two", 2, " ")
    assert len(text.sha256) == 64 and text.name == "c4.jsonl"


@pytest.mark.parametrize(
    "name, content, text",
    [
        ("a.pdf", b"x", "a.pdf is not a text that FineQ reads: give a .txt, .raw or .jsonl file"),
        ("a.txt", None, "cannot read the text .*a.txt: No such file"),
        ("a.txt", b" \n", "the text .*a.txt is empty: give a file with text"),
        ("a.txt", b"ab\xff", "a.txt: it is not UTF-8 at byte 2"),
        ("a.jsonl", b'{"text": "x"}\n{"t": 1}', "line 2 of .*a.jsonl is not a JSON object with a 'text' field"),
        ("a.jsonl", b'{"text": 3}', "line 1 of .*a.jsonl has a 'text' field that is not a string"),
        ("a.jsonl", b"[1]", "line 1 of .*a.jsonl is not a JSON object"),
        ("a.jsonl", b"", "a.jsonl is empty"),
    ],
)
def test_bad_texts_are_refused(tmp_path, name, content, text):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FineqError, match=text):
        read_text(tmp_path / name)


def test_shipped_text_is_long_varied_and_plain():
    text = read_text(shipped_text_path()).content
    paragraphs = text.strip().split("\n\n")
    assert len(text.encode()) >= 15_000 and text.isascii()
    assert len(set(paragraphs)) == len(paragraphs) > 50


def test_shipped_text_is_not_in_the_training_text():
    folder = os.environ.get("FINEQ_TEXT")
    if not folder:
        pytest.skip("FINEQ_TEXT does not name a directory of text files")
    training = "\n".join(path.read_text(encoding="utf-8") for path in Path(folder).glob("tinystories*.txt"))
    long = [s for s in read_text(shipped_text_path()).content.replace("\n", " ").split(". ") if len(s) > 40]
    assert long and not [sentence for sentence in long if sentence in training]
