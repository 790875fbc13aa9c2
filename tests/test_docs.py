"""What the documents name is there: files of links, functions of docs/hot_path.md, options of commands."""

from __future__ import annotations

import re

import pytest
import typer
from _data import CHECKOUT

from pyff.cli.commands import app

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


def _commands(group, words=()):
    """Every command below a group: its words -> (options, examples)."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*words, name))
        else:
            options = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
            yield " ".join((*words, name)), (options, command.epilog or "")


COMMANDS = dict(_commands(typer.main.get_command(app)))
HELP = [re.sub(r"\[/?\w+\]", "", line) for _, epilog in COMMANDS.values() for line in epilog.splitlines()]
LINE = re.compile(r"^(?:\$ | +)?pyff (\w[\w-]*)(?: (\w[\w-]*))?(.*)")


@pytest.mark.parametrize("document", [*DOCUMENTS, "help"], ids=lambda path: getattr(path, "stem", path))
def test_commands_take_the_options_that_documents_give_them(document):
    lines = HELP if document == "help" else re.split(r"\n| ;(?= )", document.read_text().replace("\\\n", ""))
    unknown = []
    for line in lines:
        if found := LINE.match(line):
            name = next((n for n in (f"{found[1]} {found[2]}", found[1]) if n in COMMANDS), None)
            given = re.findall(r"(?<= )--?[A-Za-z][\w-]*", line)
            if given:
                unknown += [line] if name is None else [f"{name} {o}" for o in given if o not in COMMANDS[name][0]]
    assert unknown == []
