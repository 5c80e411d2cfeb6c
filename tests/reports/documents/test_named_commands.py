"""Every command line that a document or a report shows is one: its sub-command, its options, its make target exist."""

import json
import re
import shlex
from collections.abc import Iterator

import pytest
import typer
from helpers.documents.document_pages import PAGES, ROOT

from fineq.cli import commands, load

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"^([A-Z_]+) *\??=", MAKEFILE, re.MULTILINE)) | set(
    re.findall(r"\$\(if \$\(([A-Z_]+)\)", MAKEFILE)
)

CODE = re.compile(r"^```.*?^```|^(?: {4}[^\n]*\n)+|`[^`]+`", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```.*?$|```$", re.MULTILINE)


def command_lines(text: str) -> Iterator[str]:
    """Command lines in the code of a page, from `fineq` or `make` on."""
    for code in CODE.findall(text):
        block = code.startswith(("```", "    "))
        text = BLOCK.sub("", code) if block else " ".join(code.strip("`").split())
        for line in text.replace("\\\n", " ").splitlines():
            if found := re.match(r"(?:[A-Z_]+=(?:<[^>]*>|\S*) |\S*/)*((?:fineq|make) [a-z-].*)", line.strip()):
                yield found[1]


def fault(line: str) -> str:
    """What is wrong with a command line; empty: nothing."""
    words = [word for word in shlex.split(line, comments=True) if word != "..."]
    if words[0] == "make":
        named = [word.partition("=")[0] for word in words[1:]]
        unknown = [name for name in named if name not in TARGETS | VARIABLES]
        return f"no target or variable {unknown[0]}" if unknown else ""
    if words[1] in ("--help", "--version"):
        return ""
    if words[1] not in commands():
        return f"no sub-command {words[1]}"
    command = load(commands()[words[1]])
    context = typer.Context(command)
    try:
        _, rest, _ = command.make_parser(context).parse_args(words[2:])
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer's class of these is private
            raise
        return error.format_message()
    return f"no argument {rest[0]}" if rest else ""


def faults(text: str) -> list[str]:
    return [f"{line}: {wrong}" for line in command_lines(text) if (wrong := fault(line))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_command_lines_of_pages_can_be_run(page):
    assert faults(page.read_text(encoding="utf-8")) == []


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)


def test_command_lines_of_json_reports_can_be_run():
    for file in sorted((ROOT / "docs/results").glob("*.json")):
        for text in strings(json.loads(file.read_text(encoding="utf-8"))):
            assert faults(text) + faults(f"`{text}`" if "`" not in text else "") == []


def test_what_cannot_be_run_is_named():
    text = (
        "`fineq nothing`, `A=<b c> fineq synth --size 5x7 --colour`, `make nothing`,\n"
        "`make synth SYNTH=3`, `fineq sim --jobs 2 5`\n\n    .venv/bin/fineq sim \\\n        --no-such\n"
    )
    assert [each.partition(": ")[2] for each in faults(text + "```sh\nfineq quantize --nothing 3  # text\n```\n")] == [
        *("no sub-command nothing", "No such option: --colour", "no target or variable nothing"),
        *("no target or variable SYNTH", "no argument 5", "No such option: --no-such", "No such option: --nothing"),
    ]
