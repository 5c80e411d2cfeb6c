"""Quantization methods that FineQ is compared with, in the paper's settings (Section V-A).

Each method lives in a module of its own and is registered here by name:

    from fineq.baselines import BASELINES
    dequantized, bits_per_weight = BASELINES["rtn"](weight)
"""

from __future__ import annotations

from fineq.baselines.rtn import Rtn
from fineq.baselines.uniform import Uniform

BASELINES = {
    "rtn": Rtn(bits=2),
    "uniform": Uniform(bits=2),
    "rtn-3bit": Rtn(bits=3),
}
"""Name -> method. A method has `.title` and `.bits` (the paper's 'Avg. Bits': scales and padding not counted) and
is called with a weight, float [out, in], and optionally its name; it returns the dequantized weight in float32 and
the true bits per weight."""

__all__ = ["BASELINES", "Rtn", "Uniform"]
