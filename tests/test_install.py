"""What the installed package contains and declares."""

from __future__ import annotations

import email.message
import tomllib
from importlib import metadata
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from _data import CHECKOUT
from _python import output_of

import pyff


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def distribution() -> metadata.Distribution:
    try:
        return metadata.distribution("pyff")
    except metadata.PackageNotFoundError:
        pytest.skip("needs an installed package; this is a source tree on PYTHONPATH")


@pytest.fixture(scope="module")
def installed(distribution) -> list[str]:
    files = distribution.files or []
    return [f.as_posix() for f in files if "__pycache__" not in f.parts]


@pytest.fixture(scope="module")
def declared(distribution) -> email.message.Message:
    return distribution.metadata


def test_installed_files_are_the_package_alone(installed):
    folders = {name.split("/")[0] for name in installed}
    assert {f for f in folders if f not in ("pyff", "..") and not f.endswith(".dist-info")} == set()
    assert [name for name in installed if name.startswith("..") and not name.endswith("bin/pyff")] == []
    assert [name for name in installed if name.endswith((".cpp", ".hpp", ".cu", ".h", ".o", ".a"))] == []


def test_installed_files_are_those_of_the_source_tree(installed):
    """Every module and every data file: a demo without its data is found by users only."""
    ours = {p.relative_to(CHECKOUT).as_posix() for p in (CHECKOUT / "pyff").rglob("*") if p.is_file()}
    native = ("__pycache__", ".so", ".dylib")
    assert {n for n in ours if not any(part in n for part in native)} <= set(installed)


def test_installed_native_module_is_one(installed):
    natives = [name for name in installed if Path(name).name.startswith("_core.")]
    assert len(natives) == 1 and natives[0].endswith(tuple(EXTENSION_SUFFIXES))


def test_session_tests_the_installed_package(distribution):
    assert Path(pyff.__file__).resolve() == Path(distribution.locate_file("pyff/__init__.py")).resolve()


def test_version_is_one(distribution, project):
    assert pyff.__version__ == distribution.version == project["project"]["version"]


def test_licence_is_declared_and_shipped(declared, installed):
    assert declared["License-Expression"] == "MIT"
    assert any(name.endswith("licenses/LICENSE") for name in installed)


def test_command_is_declared(distribution):
    scripts = {e.name: e.value for e in distribution.entry_points if e.group == "console_scripts"}
    assert scripts == {"pyff": "pyff.cli:main"}


def test_nothing_is_pinned_from_above(declared):
    """An upper bound makes environments unsolvable; what is known to work together is in constraints.txt."""
    requirements = declared.get_all("Requires-Dist")
    assert requirements
    assert [r for r in requirements if "extra ==" not in r and ("<" in r or "==" in r or "~=" in r)] == []


def test_build_needs_no_torch(project):
    assert {r.split(">")[0] for r in project["build-system"]["requires"]} == {"scikit-build-core", "pybind11"}


def test_native_module_is_linked_without_torch_and_openmp(tmp_path):
    """Loaded alone, by its path, it brings neither: what it needs is libc, libstdc++ and the threads."""
    code = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('_core', sys.argv[1])\n"
        "spec.loader.exec_module(importlib.util.module_from_spec(spec))\n"
        "print(open('/proc/self/maps').read())\n"
    )
    if not Path("/proc/self/maps").exists():
        pytest.skip("needs /proc")
    maps = output_of("-c", code, pyff._core.__file__, cwd=tmp_path)
    assert "_core" in maps
    assert [
        line for line in maps.splitlines() if any(lib in line for lib in ("libtorch", "libc10", "gomp", "omp."))
    ] == []
