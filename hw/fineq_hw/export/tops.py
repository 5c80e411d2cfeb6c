"""What can be written as Verilog: the named configurations and the component that each of them is a parameter of.

`<array>` is a `TemporalCore`, `<array>_packed` a `PackedCore`, `<mac>` a `MacCore`, `<accelerator>` an `Accelerator` or
a `MacAccelerator`, with the names of `fineq_hw.config`.
"""

from __future__ import annotations

from fineq_hw.accelerator import Accelerator, MacAccelerator
from fineq_hw.array.core import PackedCore, TemporalCore
from fineq_hw.baseline.mac_core import MacCore
from fineq_hw.config import ACCELERATORS, ARRAYS, MACS, AcceleratorConfig, ArrayConfig, MacConfig
from fineq_hw.lib.hierarchy import VerilogComponent

Config = ArrayConfig | MacConfig | AcceleratorConfig


def top_components() -> dict[str, tuple[type[VerilogComponent], Config]]:
    """Component class and configuration by top module name."""
    tops: dict[str, tuple[type[VerilogComponent], Config]] = {}
    for name, config in ARRAYS.items():
        tops[name] = (TemporalCore, config)
        tops[f"{name}_packed"] = (PackedCore, config)
    for name, mac in MACS.items():
        tops[name] = (MacCore, mac)
    for name, accelerator in ACCELERATORS.items():
        kind = MacAccelerator if isinstance(accelerator.array, MacConfig) else Accelerator
        tops[name] = (kind, accelerator)
    return tops


def array_of(config: Config) -> ArrayConfig | MacConfig:
    """The array of a configuration."""
    return config.array if isinstance(config, AcceleratorConfig) else config
