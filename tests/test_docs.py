"""What the documents name is there: files of links, and the functions of docs/hot_path.md."""

from __future__ import annotations

import re

import pytest
from _data import CHECKOUT

DOCUMENTS = [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md"), *CHECKOUT.glob("benchmarks/*.md")]
PLACE = re.compile(r"`([\w/.]+/[\w.]*)`(?:: ((?:`\w+`(?:, )?)+))?")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_links_lead_to_files(document):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_hot_path_names_what_exists():
    places = [(CHECKOUT / path, re.findall(r"\w+", names)) for path, names in
              PLACE.findall((CHECKOUT / "docs/hot_path.md").read_text()) if "<" not in path]  # fmt: skip
    assert sum(len(names) for _, names in places) > 50
    missing = [str(path) for path, _ in places if not path.exists()]
    for path, names in places:
        text = path.read_text() if path.is_file() else ""
        missing += [f"{path}: {name}" for name in names if not re.search(rf"\b{name}\b", text)]
    assert missing == []
