"""Messages that the page of troubleshooting quotes are messages that the code can say."""

import re
from pathlib import Path

from helpers.documents.message_texts import message_texts

ROOT = Path(__file__).parents[2]
QUOTED = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


def unknown(page: str, texts: list[str]) -> list[str]:
    """Quotes of a page that are no part of any text; `...` stands for a value in both."""
    return [quote for quote in QUOTED.findall(page) if not any(quote in text for text in texts)]


def test_every_message_that_is_quoted_can_be_said():
    page = (ROOT / "docs/project/troubleshooting.md").read_text(encoding="utf-8")
    texts = [*message_texts(), (ROOT / "scripts/system_packages.sh").read_text(encoding="utf-8")]
    assert len(QUOTED.findall(page)) >= 20
    assert unknown(page, texts) == []


def test_a_message_that_nobody_says_is_noticed():
    page = "| message | what to do |\n|---|---|\n| `a ... b` | that |\n| `nobody says this` | this |\n"
    assert unknown(page, ["it is a ... b: do that"]) == ["nobody says this"]
