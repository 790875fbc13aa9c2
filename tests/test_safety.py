"""Nothing in pyff executes what a file contains: an AST scan for the calls that could."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from _data import CHECKOUT

PACKAGE = CHECKOUT / "pyff"

_CODE_IN_FILES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
_BUILTINS = {"eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec", "builtins.compile"}
_CALLS = {"os.system", "os.popen", "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "pd.read_pickle"}
_CALLS |= {"yaml.unsafe_load_all", "yaml.full_load_all", "pandas.read_pickle", "torch.hub.load", "torch.jit.load"}

_GUESSING = {"ase.io.read", "ase.io.iread"}


def _is_constant(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _aliases(tree: ast.AST) -> dict[str, str]:
    """Local name -> what it was imported as: `from yaml import load as l` gives l -> yaml.load."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update({a.asname: a.name for a in node.names if a.asname})
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.update({a.asname or a.name: f"{node.module}.{a.name}" for a in node.names})
    return names


def _full_name(node: ast.expr, aliases: dict[str, str]) -> str:
    first, dot, rest = ast.unparse(node).partition(".")
    return aliases.get(first, first) + dot + rest


def _call_faults(node: ast.Call, aliases: dict[str, str]) -> list[str]:
    name = _full_name(node.func, aliases)
    keywords = {k.arg: k.value for k in node.keywords}
    faults = [name] if name in _BUILTINS | _CALLS else []
    if name == "torch.load" and not _is_constant(keywords.get("weights_only"), True):
        faults.append("torch.load without weights_only=True")
    if name in _GUESSING and "format" not in keywords:
        faults.append(f"{name} without format: ASE would try formats that unpickle")
    if "weights_only" in keywords and not _is_constant(keywords["weights_only"], True):
        faults.append("weights_only must be the constant True")
    if "allow_pickle" in keywords and not _is_constant(keywords["allow_pickle"], False):
        faults.append("allow_pickle must be the constant False")
    if "shell" in keywords and not _is_constant(keywords["shell"], False):
        faults.append("shell must be the constant False")
    return faults


def _import_faults(tree: ast.Module) -> list[str]:
    imports = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    modules = {a.name for n in imports if isinstance(n, ast.Import) for a in n.names}
    modules |= {n.module or "" for n in imports if isinstance(n, ast.ImportFrom)}
    return sorted(f"import {m}" for m in modules if m.split(".")[0] in _CODE_IN_FILES)


def faults_of(text: str) -> list[str]:
    """What in a module's text could execute the contents of a file or a string."""
    tree = ast.parse(text)
    aliases = _aliases(tree)
    calls = [f for n in ast.walk(tree) if isinstance(n, ast.Call) for f in _call_faults(n, aliases)]
    return _import_faults(tree) + calls


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module_executes_no_contents(path: Path):
    assert faults_of(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "def f():\n    import dill",
        "import torch\ntorch.load(p)",
        "import torch as t\nt.load(p, weights_only=False)",
        "from torch import load\nload(p)",
        "read(p, weights_only=flag)",
        "import numpy as np\nnp.load(p, allow_pickle=True)",
        "import yaml\nyaml.load(f, Loader=yaml.SafeLoader)",
        "from yaml import unsafe_load as safe\nsafe(f)",
        "eval(text)",
        "import builtins as b\nb.exec(text)",
        "from ase.io import read\nread(p)",
        "import ase.io as io\nio.iread(p, index=0)",
        "import os\nos.system(c)",
        "import subprocess\nsubprocess.run(c, shell=True)",
    ],
)
def test_scan_finds(text):
    assert faults_of(text)


@pytest.mark.parametrize(
    "text",
    [
        "import torch\ntorch.load(p, weights_only=True)",
        "import numpy as np\nnp.load(p, allow_pickle=False)",
        "import yaml\nyaml.safe_load(f)",
        "model.eval()",
        "from ase.io import read\nread(p, format='extxyz')",
        "from pyff.data import read\nread(p)",
        "import re\nre.compile(p)",
        "import pickletools\npickletools.genops(b)",
        "from safetensors.torch import load",
    ],
)
def test_scan_accepts(text):
    assert faults_of(text) == []
