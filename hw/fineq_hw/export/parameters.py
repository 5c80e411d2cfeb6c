"""Configurations without a name: a named one with some of its parameters changed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields, replace

from fineq.common.errors import FineqError
from fineq_hw.config import AcceleratorConfig, name_part
from fineq_hw.export.tops import Config, array_of


def changed(config: Config, settings: Sequence[str]) -> Config:
    """A configuration with parameters changed, those of an accelerator's array by their plain names.

    Args:
        config: where to begin.
        settings: such as `rows=32`.

    Raises:
        FineqError: no such parameter, a value that is none, or parameters that do not go together.
    """
    array = array_of(config)
    of_machine: dict[str, object] = {}
    of_array: dict[str, object] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        owner = next((part for part in (config, array) if name in parameters(part)), None)
        if not equals or owner is None:
            known = sorted({*parameters(config), *parameters(array)})
            problem = f"unknown parameter {name!r}" if equals else f"{setting!r} is no parameter=value"
            raise FineqError(f"{problem}: choose from {', '.join(known)}")
        values = of_array if owner is array else of_machine
        values[name] = _value(name, text, getattr(owner, name))
    try:
        if of_array:
            array = replace(array, **of_array)  # type: ignore[arg-type]
        if not isinstance(config, AcceleratorConfig):
            return array
        return replace(config, array=array, **of_machine)  # type: ignore[arg-type]
    except ValueError as error:
        raise FineqError(str(error)) from error


def parameters(config: Config) -> list[str]:
    """Names of the parameters that can be changed."""
    return [each.name for each in fields(config) if each.init and each.name != "array"]


def _value(name: str, text: str, present: object) -> object:
    """A value of the type of the present one."""
    if isinstance(present, bool):
        if text.lower() not in ("true", "false"):
            raise FineqError(f"{name} is {text!r}: it must be true or false")
        return text.lower() == "true"
    if isinstance(present, int):
        if not re.fullmatch(r"[+-]?\d+|0x[0-9a-fA-F]+", text):
            raise FineqError(f"{name} is {text!r}: it must be an integer")
        return int(text, 0)
    return text


def changed_name(name: str, settings: Sequence[str]) -> str:
    """A module name for a changed configuration, such as `accelerator_16x16_rows32`."""
    return "_".join([name, *(re.sub(r"\W", "", name_part(setting)) for setting in settings)])
