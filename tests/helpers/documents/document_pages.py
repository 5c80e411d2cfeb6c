"""The pages that people write or commands publish; not those that `make docs` makes on its way."""

from pathlib import Path

ROOT = Path(__file__).parents[3]
MADE = (ROOT / "docs/api", ROOT / "docs/notebooks")
PAGES = [
    page
    for page in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
    if not any(map(page.is_relative_to, MADE))
]
