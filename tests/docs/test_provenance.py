"""Every published result has a command that makes it, in itself or on a page that names it."""

from pathlib import Path

from helpers.documents.document_pages import PAGES, ROOT

from fineq.cli import commands

RESULTS = ROOT / "docs/results"


def names_a_command(text: str) -> bool:
    return any(f"fineq {name}" in text for name in commands()) or "`make " in text


def without_command(results: Path, pages: list[Path]) -> list[str]:
    """Results, by the stem of their files, whose command nobody names."""
    telling = [text for page in pages if names_a_command(text := page.read_text(encoding="utf-8"))]
    stems: dict[str, bool] = {}
    for file in sorted(results.iterdir()):
        own = names_a_command(file.read_text(encoding="utf-8")) if file.suffix in (".md", ".json", ".yaml") else False
        cited = any(file.name in text for text in telling)
        stems[file.stem] = stems.get(file.stem, False) or own or cited
    return [stem for stem, known in stems.items() if not known]


def test_every_result_has_its_command():
    assert without_command(RESULTS, [page for page in PAGES if page != RESULTS / "index.md"]) == []


def test_a_result_without_a_command_is_noticed(tmp_path):
    (tmp_path / "a.csv").write_text("1")
    (tmp_path / "b.csv").write_text("1")
    page = tmp_path / "page.md"
    page.write_text("`fineq eval` makes [it](a.csv)")
    assert without_command(tmp_path, [page]) == ["b"]
