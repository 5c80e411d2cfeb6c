"""Plans: a layout that is a model, a part of it done for real, and numbers that follow."""

from dataclasses import replace

import pytest
import torch
from helpers.running.command_line import run_fineq

from fineq.blockwise.duration import Duration
from fineq.checkpoint.card import Sizes
from fineq.checkpoint.planning import Options, make_plan
from fineq.checkpoint.source import open_source
from fineq.distributed.parts import Part
from fineq_reports.plan.estimate import Estimate, Slice, estimate
from fineq_reports.plan.layout import fill, make_layout
from fineq_sim.workloads.named import named_shape

SHAPE = named_shape("smollm2-135m")
SMALL = replace(SHAPE, blocks=2, vocabulary=300)


def test_a_layout_has_all_tensors_and_takes_no_room(tmp_path):
    make_layout(SMALL, tmp_path / "m", shard_bytes=4_000_000)
    source = open_source(tmp_path / "m")
    assert len(source.containers) > 2
    plan = make_plan(source, Options("mse"), "row")
    assert len(plan.quantized) == 14
    size = sum(path.stat().st_size for path in (tmp_path / "m").glob("*.safetensors"))
    room = sum(512 * path.stat().st_blocks for path in (tmp_path / "m").glob("*.safetensors"))
    assert size > 14_000_000 and room < size / 10
    name = plan.quantized[3].source
    fill(source, [name])
    values = source.tensors[name].read(name).to(torch.float32).view(source.entry(name).shape)
    assert values.std() == pytest.approx(0.02, rel=0.02)
    assert not source.tensors[plan.quantized[4].source].read(plan.quantized[4].source).any()


def test_a_part_is_done_and_the_rest_foretold(tmp_path):
    said = []
    found = estimate(SMALL, tmp_path / "w", "mse", 4, said.append)
    assert found.slice.part == Part(3, 4) and len(said) == 2
    assert 0.15 < found.slice.weights / found.sizes.weights < 0.35
    assert found.slice.read_bytes == 2 * found.slice.weights
    assert 2 < 8 * found.slice.written_bytes / found.slice.weights < 3
    assert found.sent == 16 * 2 * 6 * (3 * 576**2 + 1536**2)


def test_numbers_by_hand():
    done = Slice(Part(1, 2), 3, 1000, 9.0, 10.0, 2.0, 2000, 300)
    plan = Estimate(SHAPE, Sizes(10_000, 3000, 11_000, 4500, 22_000), done, Duration(60.0, 7.0, 20.0), 1, 500)
    assert plan.merge_seconds == pytest.approx(30)
    assert plan.quantize_seconds(4) == pytest.approx(10_000 / 100 / 4 + 30)
    assert plan.calibrate_seconds(1, 100.0) == pytest.approx(87)
    assert plan.calibrate_seconds(8, 100.0) == pytest.approx(10 + 7 + 5)


def test_unknown_models(tmp_path):
    code, _, error = run_fineq("plan", "llama-2-71b", "-o", tmp_path / "o")
    assert code == 1 and "llama-2-70b" in error and not (tmp_path / "o" / "plan-llama-2-71b.md").exists()
