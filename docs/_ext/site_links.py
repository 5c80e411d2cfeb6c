"""Checks a built site: every link of its pages leads to a file and an anchor of it, and nothing comes from a network.

    python docs/_ext/site_links.py build/docs

Links to other sites are not followed. Prints what is wrong and exits with 1 if anything is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {"img": "src", "script": "src", "link": "href", "source": "src", "iframe": "src"}
"""What a browser fetches by itself, and by which attribute."""
_LOADED_RELATIONS = {"stylesheet", "icon", "preload", "modulepreload"}


class _Page(HTMLParser):
    """The anchors of a page, where its links lead, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value for name, value in attrs if value is not None}
        self.anchors |= {known[name] for name in ("id", "name") if name in known}
        if tag == "a" and "href" in known:
            self.links.append(known["href"])
        if tag in _LOADED and (found := known.get(_LOADED[tag])):
            if tag != "link" or _LOADED_RELATIONS & set(known.get("rel", "").split()):
                self.loaded.append(found)


def faults(site: Path) -> Iterator[str]:
    """A sentence for each link that leads nowhere, and for each thing that a page would fetch from a network."""
    pages = {file.resolve(): _Page(file.read_text(encoding="utf-8")) for file in sorted(site.rglob("*.html"))}
    for place, page in pages.items():
        name = place.relative_to(site.resolve())
        yield from (f"{name} loads {each}" for each in page.loaded if urlsplit(each).netloc)
        for link in dict.fromkeys([*page.links, *page.loaded]):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (place.parent / unquote(parts.path)).resolve() if parts.path else place
            if not target.is_file():
                yield f"{name} links to {link}, which is not there"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{name} links to {link}: the page has no such anchor"


def main() -> None:
    """Check the site that is named."""
    if len(sys.argv) != 2 or not (site := Path(sys.argv[1])).is_dir():
        sys.exit("error: give the directory of a built site")
    found = list(faults(site))
    for sentence in found:
        print(sentence, file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
