"""Imports go down the diagram of the architecture; imports inside functions count, those for type checkers do not."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from _data import CHECKOUT

PACKAGE = CHECKOUT / "pyff"

# layer -> the layers it may import besides itself; a new module under pyff/ needs a line here
_BASE = {"_atomic", "_core", "_progress", "_figure", "_interrupt", "_memory", "_threads", "batch", "errors", "units"}
_BASE |= {"_device", "_npz", "_pickle_machine"}
_TENSORS = _BASE | {"neighbors", "ops"}
_NETWORKS = _TENSORS | {"nn", "solvers", "models"}
# a Potential, no concrete model
_POTENTIALS = _TENSORS | {"data", "models.base", "models.registry", "models.file", "models.identity"}
_WORKFLOWS = {"train", "md", "sampling", "analysis", "testing"}
ALLOWED: dict[str, set[str]] = {
    "_atomic": set(),
    "_core": set(),
    "_npz": {"_atomic", "_pickle_machine", "errors"},
    "_pickle_machine": {"errors"},
    "_device": set(),
    "_progress": set(),
    "_figure": {"_atomic"},
    "_memory": set(),
    "_interrupt": set(),
    "_threads": set(),
    "errors": set(),
    "units": {"errors"},
    "batch": {"errors", "units"},
    "neighbors": _BASE,
    "ops": _BASE | {"neighbors"},
    "nn": _TENSORS,
    "data": _TENSORS,
    "solvers": _TENSORS,
    "models": _NETWORKS,
    "train": _NETWORKS | {"data"},
    "md": _POTENTIALS,
    "sampling": _POTENTIALS | {"md"},
    "analysis": _POTENTIALS | {"md"},
    "testing": _POTENTIALS,
    "demo": _BASE,
    "calculators": _NETWORKS | _WORKFLOWS | {"data"},
    "interfaces": _NETWORKS | _WORKFLOWS | {"data", "calculators"},
    "compat": _NETWORKS | _WORKFLOWS | {"data", "calculators", "interfaces"},
    "cli": _NETWORKS | _WORKFLOWS | {"data", "demo", "calculators", "interfaces", "compat", "pyff"},
    "__main__": {"cli"},
    "__init__": {"_core"},  # the front door: the others by name, when asked for
}


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if _is_type_checking(child):
            for other in child.orelse:
                yield other
                yield from _run_time_nodes(other)
        else:
            yield child
            yield from _run_time_nodes(child)


def imported_modules(text: str, package: str) -> set[str]:
    """Dotted names below pyff that a module's text imports; 'pyff' for the front door itself.

    package: the dotted package the module is in, for relative imports.
    """
    found: set[str] = set()
    for node in _run_time_nodes(ast.parse(text)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            source = ".".join([*parts, *filter(None, [node.module])])
            found.update(f"{source}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "import_module":
            found.update(a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str))
    return {name.removeprefix("pyff.") for name in found if name == "pyff" or name.startswith("pyff.")}


def _allowed(layer: str, target: str) -> bool:
    if target.startswith("__"):  # pyff.__version__
        return True
    if target.split(".")[0] == layer:
        return True
    return any(target == name or target.startswith(f"{name}.") for name in ALLOWED[layer])


def upward_imports(text: str, layer: str, package: str) -> list[str]:
    return sorted(target for target in imported_modules(text, package) if not _allowed(layer, target))


def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_layer_of_the_diagram_is_there():
    assert {_layer(path) for path in _modules()} | {"_core"} == set(ALLOWED)


@pytest.mark.parametrize("path", _modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module_imports_downwards(path: Path):
    layer = _layer(path)
    assert layer in ALLOWED, f"pyff/{layer} has no place in the diagram: add it to ALLOWED"
    package = ".".join(["pyff", *path.relative_to(PACKAGE).parent.parts])
    assert upward_imports(path.read_text(encoding="utf-8"), layer, package) == []


def test_diagram_has_no_cycle():
    def walk(layer: str, above: tuple[str, ...]) -> None:
        assert layer not in above, f"cycle: {' -> '.join([*above, layer])}"
        for name in {n.split(".")[0] for n in ALLOWED.get(layer, ())} - {layer}:
            walk(name, (*above, layer))

    for layer in ALLOWED:
        walk(layer, ())


@pytest.mark.parametrize(
    ("text", "layer", "expected"),
    [
        ("from pyff.train import Trainer", "models", ["train.Trainer"]),
        ("def f():\n    import pyff.cli", "ops", ["cli"]),
        ("from pyff import models", "data", ["models"]),
        ("from .. import models", "data", ["models"]),
        ("from ..models.base import EnergyModel", "data", ["models.base.EnergyModel"]),
        ("import importlib\nimportlib.import_module('pyff.train')", "nn", ["train"]),
        ("from pyff.models.schnet import SchNet", "md", ["models.schnet.SchNet"]),
        ("import pyff", "ops", ["pyff"]),
        ("from pyff.models.base import EnergyModel", "md", []),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pyff.train import Trainer", "models", []),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    import pyff.train", "models", ["train"]),
        ("from pyff import ops\nimport torch", "models", []),
        ("from . import npz\nfrom .npz import read", "data", []),
    ],
)
def test_walk_finds_upward_imports(text, layer, expected):
    assert upward_imports(text, layer, f"pyff.{layer}") == expected
