"""Writes the tutorials that are notebooks as pages: their text, their code, and the outputs that the files keep.

Nothing is executed. A page stands in docs/notebooks, one level below docs as the notebook does, so links of the
notebook lead where they should from both.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

PICTURE = "image/png"


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _fenced(text: str, language: str) -> str:
    """Text as a block of code, whatever is in it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _output(output: dict[str, Any], name: str, alt: str, pictures: dict[str, bytes]) -> str:
    """An output as Markdown; a picture is put among `pictures`."""
    if output["output_type"] == "stream":
        return _fenced(_joined(output["text"]), "text")
    data = output.get("data", {})
    if "text/markdown" in data:
        return _joined(data["text/markdown"]).strip()
    if PICTURE in data:
        file = f"{name}-{len(pictures) + 1}.png"
        pictures[file] = base64.b64decode(_joined(data[PICTURE]))
        return f"![{alt}]({file})"
    if "text/plain" in data:
        return _fenced(_joined(data["text/plain"]), "text")
    raise ValueError(f"{name}: an output of kind {output['output_type']}, {', '.join(data)}, that no page can show")


def page(notebook: dict[str, Any], name: str) -> tuple[str, dict[str, bytes]]:
    """A notebook as a page, and its pictures by file name.

    Args:
        notebook: as its file has it.
        name: of the file, without the ending.

    Raises:
        ValueError: an output is of a kind that a page cannot show, such as an error.
    """
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook["cells"]:
        source = _joined(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code":
            alt = cell["metadata"].get("alt", "What the code above draws")
            parts.append(_fenced(source, "ipython"))
            parts += [_output(each, name, alt, pictures) for each in cell["outputs"]]
    title, _, rest = "\n\n".join(parts).partition("\n")
    said = f"This page is a notebook that was executed: [{name}.ipynb](../tutorials/{name}.ipynb)."
    return f"{title}\n\n{said} [How to open it](../tutorials/notebooks.md).\n{rest}\n", pictures


def write(tutorials: Path, output: Path) -> None:
    """Write a page for each notebook of a directory; files that are as they should be are left alone."""
    output.mkdir(parents=True, exist_ok=True)
    contents: dict[str, bytes] = {}
    for file in sorted(tutorials.glob("*.ipynb")):
        text, pictures = page(json.loads(file.read_text(encoding="utf-8")), file.stem)
        contents |= {f"{file.stem}.md": text.encode(), **pictures}
    for stale in {each.name for each in output.iterdir()} - contents.keys():
        (output / stale).unlink()
    for name, content in contents.items():
        place = output / name
        if not place.exists() or place.read_bytes() != content:
            place.write_bytes(content)
