"""The site: its pages without a warning, every link of what is built, no network."""

import os
import subprocess
import sys
from pathlib import Path

from site_links import faults

ROOT = Path(__file__).parents[2]


def test_pages_are_built_without_a_warning_and_their_links_lead_somewhere(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", tmp_path / "trees"]
    done = subprocess.run(
        [*command, ROOT / "docs", tmp_path / "site"],
        capture_output=True,
        text=True,
        env={**os.environ, "FINEQ_DOCS_API": "0"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(faults(tmp_path / "site")) == []
    assert "Glossary" in (tmp_path / "site/project/glossary.html").read_text(encoding="utf-8")
    assert (tmp_path / "site/searchindex.js").read_text(encoding="utf-8").startswith("Search.setIndex(")


def test_links_that_lead_nowhere_and_networks_are_noticed(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="b.html#here">1</a> <a href="b.html#there">2</a> <a href="c.html">3</a> <a href="https://e.org">4</a>'
        '<a href="#me" id="me">5</a> <img src="none.png"><script src="https://e.org/x.js"></script>'
        '<link rel="canonical" href="https://e.org">'
    )
    (tmp_path / "b.html").write_text('<p id="here">')
    assert list(faults(tmp_path)) == [
        "a.html loads https://e.org/x.js",
        "a.html links to b.html#there: the page has no such anchor",
        "a.html links to c.html, which is not there",
        "a.html links to none.png, which is not there",
    ]
