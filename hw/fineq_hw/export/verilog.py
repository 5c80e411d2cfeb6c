"""Writes the Verilog of the named configurations, one file a module, with a manifest.

The same configurations give the same bytes, wherever and in whatever company they are written. The rest of this room:
`tops` has the configurations, `conversion` makes the text, `manifest` says what each module is, `lint` has Verilator
check it; the command is `fineq_hw.commands.verilog`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from fineq.common.errors import FineqError
from fineq.common.files import write_text
from fineq_hw.export.conversion import convert
from fineq_hw.export.manifest import MANIFEST
from fineq_hw.export.tops import Config, top_components
from fineq_hw.lib.hierarchy import VerilogComponent


def write_verilog(
    directory: Path | str,
    names: Iterable[str] | None = None,
    more: Mapping[str, tuple[type[VerilogComponent], Config]] | None = None,
) -> dict[str, list[Path]]:
    """Write the Verilog of named tops and a manifest with the SHA-256 of each file.

    Args:
        directory: made if absent. Files of earlier runs that are no longer needed stay.
        names: of `top_components` and of `more`; all if None.
        more: tops of no named configuration, by the names that they shall have.

    Returns:
        The files of each top, the top's own first.

    Raises:
        FineqError: an unknown name.
        OSError: the directory cannot be written.
        ToolError: Yosys is missing or fails.
    """
    known = top_components() | dict(more or {})
    chosen = list(known) if names is None else list(names)
    for name in chosen:
        if name not in known:
            raise FineqError(f"unknown configuration {name!r}: choose from {', '.join(known)}")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    modules, manifest = convert({name: known[name][0](known[name][1]) for name in chosen})
    checksums = {}
    for name, text in sorted(modules.items()):
        if name in known:
            component, config = known[name]
            text = text.replace(f"// FineQ: {name}\n", f"// FineQ: {name}, {component.__name__} of {config}\n", 1)
        write_text(directory / f"{name}.v", text)
        checksums[f"{name}.v"] = hashlib.sha256(text.encode()).hexdigest()
    files = {top: [f"{name}.v" for name in parts] for top, parts in manifest.tops.items()}
    document = {"tops": files, "sha256": checksums, "modules": manifest.as_dict()}
    write_text(directory / MANIFEST, json.dumps(document, indent=1) + "\n")
    return {top: [directory / name for name in parts] for top, parts in files.items()}
