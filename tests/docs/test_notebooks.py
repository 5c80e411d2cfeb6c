"""The tutorials that are notebooks: kept with their outputs, and what they print when they are executed again."""

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from notebook_pages import page, write

ROOT = Path(__file__).parents[2]
specification = importlib.util.spec_from_file_location("notebooks", ROOT / "scripts" / "notebooks.py")
notebooks = importlib.util.module_from_spec(specification)
specification.loader.exec_module(notebooks)

KEPT = notebooks.notebooks()
VARIES = "varies"
"""Tag of cells that may print something else on another machine; the kinds of their outputs stay."""


def code(*outputs, count=1, source="", tags=()):
    """A code cell as a file has it."""
    return {
        "cell_type": "code",
        "source": source,
        "execution_count": count,
        "outputs": list(outputs),
        "metadata": {"tags": list(tags)},
    }


def stream(text):
    return {"output_type": "stream", "name": "stdout", "text": text}


def shape(cell):
    """What kinds of outputs a cell has."""
    return [
        (each["output_type"], each.get("name", ""), sorted(each.get("data", {})), len(list(notebooks.texts(each))))
        for each in cell["outputs"]
    ]


def said(cell):
    """What a cell prints, words without numbers: they may differ in the last digit, and tables in their blanks."""
    # The forms of one output stand in the order of their names in a file, and in another one before it is written.
    text = "\n".join(text for each in cell["outputs"] for text in sorted(notebooks.texts(each)))
    return " ".join(re.sub(r"[-+]?\d[\d.,]*", "#", text).split())


def cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_there_is_one_for_each_kind_of_reader():
    assert [path.stem for path in KEPT] == ["explore", "quantize", "verilog"]


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_kept_with_outputs_without_errors_and_places(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert list(notebooks.complaints(notebook)) == []
    assert dict(notebook["metadata"]) == notebooks.METADATA
    assert not any("execution" in cell["metadata"] for cell in cells(notebook))
    assert path.read_text(encoding="utf-8") == nbformat.writes(notebook) + "\n"


def test_what_is_wrong_with_a_notebook_is_noticed():
    error = {"output_type": "error", "ename": "KeyError", "evalue": "x", "traceback": []}
    shown = {"output_type": "display_data", "data": {"text/markdown": ["see /usr/lib/x, ", "10 pJ/MAC a/b/c"]}}
    found = list(notebooks.complaints({"cells": [code(error), code(shown, count=3)]}))
    assert found == [
        "its cells have not been executed once each, in their order",
        "cell 1 fails with KeyError",
        "cell 2 prints an absolute path, /usr/lib/x",
    ]
    assert list(notebooks.complaints({"cells": [code(count=1)]})) == ["it has no outputs"]
    fine = "µm²/PE x cycles/vector, https://e.org/a/b, rtl/smoke/x.v, ../results/a, 1 / 2, </a/b>"
    assert list(notebooks.complaints({"cells": [code(stream(fine))]})) == []
    named = {"cells": [code(stream("made on host-7.")), code(stream("ghost-70"))]}
    assert list(notebooks.places(named, "host-7")) == ["cell 1 prints the name of this machine, host-7"]


def test_executing_writes_whole_notebooks_alone(tmp_path, monkeypatch, capsys):
    def keep(name, *sources):
        made = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(each, id=f"c{n}") for n, each in enumerate(sources)]
        )
        nbformat.write(made, tmp_path / f"{name}.ipynb")

    keep("a", 'from pathlib import Path\nPath("x").write_text("1")\nprint(*Path().iterdir())', "print(2)\nprint(3)\n4")
    keep("b", "print(1)", "1 / 0")
    keep("c", "print('/usr/lib/x')")
    monkeypatch.setattr(notebooks, "TUTORIALS", tmp_path)
    endings = {
        "b": "error: b.ipynb, cell 2, `1 / 0`: ZeroDivisionError: division by zero",
        "c": "error: c.ipynb: cell 1 prints an absolute path, /usr/lib/x",
        "d": "error: there is no notebook 'd': choose from a, b, c",
    }
    for name, ending in endings.items():
        monkeypatch.setattr(sys, "argv", ["notebooks", "--output", str(tmp_path / "out"), name])
        with pytest.raises(SystemExit) as caught:
            notebooks.main()
        assert str(caught.value).startswith(ending) and "\n" not in str(caught.value)
        assert not list(tmp_path.glob("out/*"))
    monkeypatch.setattr(sys, "argv", ["notebooks", "--output", str(tmp_path / "out"), "a"])
    notebooks.main()
    assert "wrote" in capsys.readouterr().out
    first, second = cells(json.loads((tmp_path / "out/a.ipynb").read_text()))
    assert [each["text"] for each in first["outputs"]] == [["x\n"]]
    assert [each.get("text") for each in second["outputs"]] == [["2\n", "3\n"], None]
    assert second["outputs"][1]["data"] == {"text/plain": ["4"]}


def test_pages_show_text_code_and_outputs(tmp_path):
    picture = {"output_type": "display_data", "data": {"image/png": "AAEC", "text/plain": "<Figure>"}}
    drawing = code(stream("a ``` b\n"), picture, count=1, source="draw()")
    drawing["metadata"]["alt"] = "a line"
    words = {"cell_type": "markdown", "source": ["# Title\n", "\n", "Words."], "metadata": {}}
    text, pictures = page({"cells": [words, drawing]}, "n")
    assert text.startswith("# Title\n\nThis page is a notebook that was executed: [n.ipynb](../tutorials/n.ipynb).")
    for part in ("\nWords.\n", "```ipython\ndraw()\n```", "````text\na ``` b\n````", "![a line](n-1.png)"):
        assert part in text
    assert pictures == {"n-1.png": b"\0\1\2"}
    with pytest.raises(ValueError, match="n: an output of kind error"):
        page({"cells": [code({"output_type": "error"})]}, "n")

    (tmp_path / "in").mkdir()
    (tmp_path / "in/n.ipynb").write_text(json.dumps({"cells": [words, drawing]}))
    write(tmp_path / "in", tmp_path / "out")
    (tmp_path / "out/stale.md").write_text("")
    write(tmp_path / "in", tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"n.md", "n-1.png"}


@pytest.mark.regress
@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_executed_again_it_says_the_same(path, monkeypatch):
    if path.stem == "verilog" and shutil.which("iverilog") is None:
        pytest.skip("no iverilog on the PATH")
    monkeypatch.delenv("FINEQ_MODELS", raising=False)
    kept, fresh = cells(nbformat.read(path, as_version=4)), cells(notebooks.run(path))
    assert [cell["source"] for cell in fresh] == [cell["source"] for cell in kept]
    assert [shape(cell) for cell in fresh] == [shape(cell) for cell in kept]
    compared = [n for n, cell in enumerate(kept) if VARIES not in cell["metadata"].get("tags", ())]
    assert [said(fresh[n]) for n in compared] == [said(kept[n]) for n in compared]
    assert len(compared) > len(kept) / 2
