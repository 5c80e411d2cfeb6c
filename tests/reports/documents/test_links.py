"""Whatever a document or a source names of the project's pages is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.documents.document_pages import PAGES, ROOT

ROOMS = ("sw", "hw", "sim", "scripts", "tests", ".ci", ".github")
SOURCES = [
    *(ROOT / name for name in ("Makefile", "pyproject.toml", ".importlinter", ".pre-commit-config.yaml")),
    *(file for room in ROOMS for file in sorted((ROOT / room).rglob("*"))),
]

LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED = re.compile(r"\bdocs/[\w/-]+\.(?:md|json|csv|png)\b")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Names of the headings as hosted repositories make them: small letters, hyphens for blanks, no punctuation."""
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in HEADING.findall(text)}


def broken_links(page: Path) -> Iterator[str]:
    """Relative links of a page to what is not there."""
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        place, _, anchor = link.partition("#")
        if "://" in place or place.startswith("mailto:"):
            continue
        target = page.parent / place if place else page
        if not target.exists() or anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(page):
    assert list(broken_links(page)) == []


def test_a_broken_link_is_seen(tmp_path):
    (tmp_path / "other.md").write_text("# Here, `it` is\n")
    page = tmp_path / "page.md"
    page.write_text("[a](other.md#here-it-is) [b](none.md) [c](other.md#there) [d](https://e.org) [e](#f)\n")
    assert list(broken_links(page)) == ["none.md", "other.md#there", "#f"]


def test_every_page_that_a_text_names_is_there():
    absent = []
    for file in [*PAGES, *SOURCES]:
        if file.suffix in (".md", ".py", ".cpp", ".h", ".toml", ".j2", ".yml", "") and file.is_file():
            names = NAMED.findall(file.read_text(encoding="utf-8"))
            absent += [f"{file.relative_to(ROOT)}: {name}" for name in names if not (ROOT / name).is_file()]
    assert absent == []
