"""Quantization methods that FineQ is compared with, in the paper's settings (Section V-A; docs/quantizer/baselines.md).

Each method lives in a module of its own and is registered here by name:

    from fineq.baselines import BASELINES, CALIBRATED_BASELINES
    dequantized, bits_per_weight = BASELINES["rtn"](weight)
    dequantized, bits_per_weight = CALIBRATED_BASELINES["gptq"].quantize(weight, hessian)
"""

from __future__ import annotations

import re

from fineq.baselines.gptq import Gptq
from fineq.baselines.hessian import CalibratedBaseline
from fineq.baselines.owq import Owq
from fineq.baselines.pb_llm import PbLlm
from fineq.baselines.rtn import Rtn
from fineq.baselines.uniform import Uniform

BASELINES: dict[str, Rtn | Uniform] = {
    "rtn": Rtn(bits=2),
    "uniform": Uniform(bits=2),
    "rtn-3bit": Rtn(bits=3),
}
"""Name -> method. A method has `.title` and `.bits` (the paper's 'Avg. Bits': scales and padding not counted) and
is called with a weight, float [out, in], and optionally its name; it returns the dequantized weight in float32 and
the true bits per weight."""

CALIBRATED_BASELINES: dict[str, CalibratedBaseline] = {
    "gptq": Gptq(),
    "gptq-g128": Gptq(group=128),
    "gptq-best": Gptq(act_order=True, search=True),
    "gptq-g128-best": Gptq(group=128, act_order=True, search=True, static_groups=False),
    "pb-llm": PbLlm(),
    "pb-llm-best": PbLlm(act_order=True),
    "owq": Owq(),
    "owq-best": Owq(act_order=True),
}
"""Name -> method that needs the Hessian of a layer's inputs; `.nominal_bits` is the paper's 'Avg. Bits'."""


def find_baseline(name: str) -> Rtn | Uniform | CalibratedBaseline | None:
    """A registered method, or one of its kind at another width; None: no such name.

    `rtn-4bit`, `uniform-4bit`, `gptq-4bit`, `gptq-3bit-g64`, `gptq-4bit-g128-best`; `owq-3.25bit`, `owq-3.25bit-best`:
    that many nominal bits, at most half a bit of them for FP16 columns; `pb-llm-20%`: that share of salient weights.
    """
    known: dict[str, Rtn | Uniform | CalibratedBaseline] = {**BASELINES, **CALIBRATED_BASELINES}
    if name in known:
        return known[name]
    if match := re.fullmatch(r"(rtn|uniform)-(\d+)bit", name):
        kinds: dict[str, type[Rtn] | type[Uniform]] = {"rtn": Rtn, "uniform": Uniform}
        return kinds[match[1]](bits=int(match[2]))
    if match := re.fullmatch(r"gptq-(\d+)bit(?:-g(\d+))?(-best)?", name):
        best = bool(match[3])
        return Gptq(int(match[1]), int(match[2]) if match[2] else None, best, best, static_groups=not best)
    if match := re.fullmatch(r"owq-(\d)\.(\d+)bit(-best)?", name):
        return Owq(bits=int(match[1]), extra_bits=float(f"0.{match[2]}"), act_order=bool(match[3]))
    if match := re.fullmatch(r"pb-llm-(\d+)%(-best)?", name):
        return PbLlm(salient=int(match[1]) / 100, act_order=bool(match[2]))
    return None


__all__ = [
    "BASELINES",
    "CALIBRATED_BASELINES",
    "CalibratedBaseline",
    "Gptq",
    "Owq",
    "PbLlm",
    "Rtn",
    "Uniform",
    "find_baseline",
]
