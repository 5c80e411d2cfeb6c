"""Tune a quantized model end to end, block by block in memory: scales, norms and, if wanted, codes.

The loss is the divergence of the model's predictions from those of the full-precision model. Teacher and student are
known by what enters the first block and by what leaves the last one of the full-precision model, so that no second
model is needed; of the blocks, as many keep what the backward pass needs as the memory allows, and the others are run
again. What is kept does not change a bit of the result.
"""

from __future__ import annotations

from fineq.calibrated.tuning.run import TuningInputs, product_dtype, tune
from fineq.calibrated.tuning.state import MemoryState, State
from fineq.calibrated.tuning.student import check_tunable

__all__ = ["MemoryState", "State", "TuningInputs", "check_tunable", "product_dtype", "tune"]
