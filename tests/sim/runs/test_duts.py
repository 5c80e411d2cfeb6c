"""Designs under test: a part of a component is the module that the component delivers."""

import pytest

from fineq_hw.config import ACCELERATORS
from fineq_sim.runs.duts import component_design

CONFIG = ACCELERATORS["accelerator_5x7"]


def test_a_part_is_the_module_inside(tmp_path):
    whole = component_design("write_dma", CONFIG, tmp_path)
    part = component_design("write_dma.lengths", CONFIG, tmp_path)
    module = whole.manifest.entry(whole.top).children["lengths"]
    inside = whole.sources[f"{module}.v"]
    assert part.top == "dut_write_dma_lengths" and list(part.sources) == [f"{part.top}.v"]
    text = part.sources[f"{part.top}.v"]
    assert text[text.index("module ") :].replace(part.top, module) == inside[inside.index("module ") :]
    assert part.outputs["output__payload"] == "output__valid"


@pytest.mark.parametrize(
    "kind, message",
    [
        ("write_dma.nothing", "write_dma holds no 'nothing': it holds splitter, lengths, unanswered, queue"),
        ("watchdog.nothing", "watchdog holds no 'nothing': it holds nothing"),
        ("nothing.queue", "unknown component 'nothing': choose one of "),
    ],
)
def test_what_is_not_there(tmp_path, kind, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        component_design(kind, CONFIG, tmp_path)
