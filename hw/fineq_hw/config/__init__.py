"""Hardware configurations: every parameter of the arrays and of the accelerator stands here and nowhere else.

The RTL, the testbenches, the cycle model, the synthesis flow and the documents all take a configuration from this
package: its classes from `array`, `mac` and `accelerator`, those with a name from `named`.
"""

from fineq_hw.config.accelerator import (
    ALIGNMENT,
    BUS_BITS,
    MAX_LAYER_SIZE,
    TRANSFER_ROW_BITS,
    VECTOR_WORDS,
    AcceleratorConfig,
    aligned,
)
from fineq_hw.config.array import ADDER_TREES, ROW_SIGN_ENCODINGS, SIGN_HANDLING, ArrayConfig, name_part
from fineq_hw.config.checks import ACTIVATION_STORAGE
from fineq_hw.config.mac import MAC_WEIGHT_BITS, MAC_WEIGHT_PATHS, MULTIPLIERS, MacConfig
from fineq_hw.config.named import ACCELERATORS, ARRAYS, MACS

__all__ = [
    "ACCELERATORS",
    "ACTIVATION_STORAGE",
    "ADDER_TREES",
    "ALIGNMENT",
    "ARRAYS",
    "BUS_BITS",
    "MACS",
    "MAC_WEIGHT_BITS",
    "MAC_WEIGHT_PATHS",
    "MAX_LAYER_SIZE",
    "MULTIPLIERS",
    "ROW_SIGN_ENCODINGS",
    "SIGN_HANDLING",
    "TRANSFER_ROW_BITS",
    "VECTOR_WORDS",
    "AcceleratorConfig",
    "ArrayConfig",
    "MacConfig",
    "aligned",
    "name_part",
]
