"""Executes the tutorials that are notebooks, and writes them with what their cells print.

    python scripts/notebooks.py --output docs/tutorials         # `make notebooks`
    python scripts/notebooks.py --output build/n explore        # one of them, beside the published one

Each runs in an empty directory of its own, so what it prints of files are relative names. A notebook with a cell that
fails, or that prints where on a machine something lies, is not written.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from traitlets.config import Config

from fineq.common.errors import FineqError
from fineq.common.files import write_text
from fineq.common.places import check_directory

TUTORIALS = Path(__file__).resolve().parents[1] / "docs" / "tutorials"

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
"""What a notebook says of its kernel: nothing that depends on the machine that ran it."""

SECONDS = 900
"""That a cell may take."""

PLACE = re.compile(r"(?<![\w.:/<~-])/(?:[\w.+-]+/)+[\w.+-]*")
"""An absolute path of two parts or more; what stands behind a letter is a unit (pJ/MAC) or an address."""


def notebooks(names: list[str] | None = None) -> list[Path]:
    """The notebooks of the tutorials: those that are named, or all of them.

    Raises:
        FineqError: there is none of that name.
    """
    found = {path.stem: path for path in sorted(TUTORIALS.glob("*.ipynb"))}
    for name in names or ():
        if name not in found:
            raise FineqError(f"there is no notebook {name!r}: choose from {', '.join(found)}")
    return [found[name] for name in names or found]


def run(path: Path) -> Any:
    """A notebook with the outputs that it has here.

    Returns:
        The notebook, as nbformat has them.

    Raises:
        FineqError: a cell fails, prints an absolute path or the name of this machine, or takes too long.
    """
    notebook: Any = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(prefix="fineq-notebook-") as place:
        own, work = Path(place) / "ipython", Path(place) / "work"
        work.mkdir()
        client = NotebookClient(
            notebook,
            timeout=SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": str(work)}},
            record_timing=False,
            coalesce_streams=True,
            config=connection(Path(place)),
        )
        try:
            client.execute(env=environment(own))
        except CellExecutionError as error:
            raise FineqError(f"{path.name}, {failing(notebook)}: {error.ename}: {error.evalue}") from error
        except (CellTimeoutError, DeadKernelError) as error:
            raise FineqError(f"{path.name} stops: {' '.join(str(error).split())}") from error
    notebook.metadata = nbformat.from_dict(METADATA)
    found = [*complaints(notebook), *places(notebook, platform.node())]
    if found:
        raise FineqError(f"{path.name}: {'; '.join(found)}")
    return notebook


def failing(notebook: Any) -> str:
    """Which cell of a notebook that was stopped has failed, as its first line."""
    for cell in notebook["cells"]:
        if any(each["output_type"] == "error" for each in cell.get("outputs", ())):
            return f"cell {cell['execution_count']}, `{cell['source'].splitlines()[0]}`"
    return "no cell"


def connection(place: Path) -> Config:
    """Kernel and client talk through sockets in a directory of their own, not through ports of the machine."""
    config = Config()
    config.ConnectionFileMixin.transport = "ipc"
    config.ConnectionFileMixin.connection_file = str(place / "kernel.json")
    return config


def environment(own: Path) -> dict[str, str]:
    """Variables of the kernel: `!fineq` is the command of this environment, and nothing is kept in the user's home."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    further = {
        "PATH": path,
        "IPYTHONDIR": str(own),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else the debugger, which nobody uses here, warns
        "TOKENIZERS_PARALLELISM": "false",  # else each `!command` after a use of a tokenizer is warned about
        "COLUMNS": "110",
    }
    return os.environ | further


def complaints(notebook: Any) -> Iterator[str]:
    """What is wrong with a notebook that is to be published, a sentence each."""
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    if [cell["execution_count"] for cell in code] != list(range(1, len(code) + 1)):
        yield "its cells have not been executed once each, in their order"
    if not any(cell["outputs"] for cell in code):
        yield "it has no outputs"
    for number, cell in enumerate(code, 1):
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                yield f"cell {number} fails with {output['ename']}"
            for text in texts(output):
                yield from (f"cell {number} prints an absolute path, {each}" for each in PLACE.findall(text))


def places(notebook: Any, machine: str) -> Iterator[str]:
    """A sentence for each cell that prints the name of this machine."""
    for number, cell in enumerate([each for each in notebook["cells"] if each["cell_type"] == "code"], 1):
        shown = [text for each in cell["outputs"] for text in texts(each)]
        if machine and any(re.search(rf"\b{re.escape(machine)}\b", text) for text in shown):
            yield f"cell {number} prints the name of this machine, {machine}"


def texts(output: Any) -> Iterator[str]:
    """What an output shows as text; pictures have none."""
    data = output.get("data", {})
    found = [output.get("text"), *(value for kind, value in data.items() if kind.startswith("text/"))]
    yield from ("".join(each) for each in found if each)


def main() -> None:
    """Execute the notebooks that are named, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="without the ending; none: all")
    parser.add_argument("--output", type=Path, required=True, help="directory for the executed notebooks")
    options = parser.parse_args()
    try:
        check_directory(options.output)
        for path in notebooks(options.names):
            begun = time.monotonic()
            notebook = run(path)
            write_text(options.output / path.name, nbformat.writes(notebook) + "\n")
            print(f"{time.monotonic() - begun:6.1f} s  wrote {options.output / path.name}", flush=True)
    except FineqError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
