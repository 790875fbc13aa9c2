"""pyff gdml group: the permutations of a crystal, for pyff gdml create --perms."""

from __future__ import annotations

import json

import numpy as np
import pytest
from _gdml_toy import arrays_of_data, shaken
from ase.build import bulk

from pyff._npz import read_npz
from pyff.cli import run
from pyff.interfaces.sgdml import read_sgdml, write_sgdml
from pyff.models.gdml.symmetry import supercell_group


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Copper, 8 atoms."""
    monkeypatch.chdir(tmp_path)
    write_sgdml("copper.npz", arrays_of_data(shaken(bulk("Cu", "fcc").repeat(2))))
    return tmp_path


def test_group_of_a_crystal_is_used_by_create(folder, capsys):
    assert run(["gdml", "group", "copper.npz", "--json"]) == 0
    expected = supercell_group(bulk("Cu", "fcc").repeat(2))
    found = json.loads(capsys.readouterr().out)
    assert found == {"permutations": len(expected), "translations": 8, "file": "copper-group.npz"}
    perms = read_npz(folder / "copper-group.npz")["perms"]
    assert {*map(tuple, perms.tolist())} == {*map(tuple, expected.perms.tolist())}
    assert run(["gdml", "create", "copper.npz", "5", "5", "--perms", "copper-group.npz", "-s", "10"]) == 0
    (task,) = folder.glob("sgdml_cv_*/task-*.npz")
    assert len(read_sgdml(task, "t")["perms"]) == len(expected)


def test_group_of_an_ideal_structure_with_an_adsorbate(folder, capsys):
    """Frames in which atoms leave their sites do not tell the group; the ideal structure does."""
    arrays = read_sgdml(folder / "copper.npz", "d")
    shaken = np.random.default_rng(0).normal(scale=1.5, size=arrays["R"].shape)
    write_sgdml("hot.npz", arrays | {"R": arrays["R"] + shaken})
    assert run(["gdml", "group", "hot.npz", "--adsorbate", "7"]) == 1
    assert "The ideal structure: --ideal" in capsys.readouterr().err
    ideal = bulk("Cu", "fcc").repeat(2)
    ideal.write("ideal.xyz")
    assert run(["gdml", "group", "hot.npz", "--adsorbate", "7", "--ideal", "ideal.xyz", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["permutations"] == len(supercell_group(ideal, adsorbate=[7]))
    ideal.numbers[0] = 28
    ideal.write("other.xyz")
    assert run(["gdml", "group", "hot.npz", "--ideal", "other.xyz", "--out", "y.npz"]) == 1
    assert "must have the atoms of the data set" in capsys.readouterr().err


def test_errors_name_the_fix(folder, capsys):
    assert run(["gdml", "group", "copper.npz"]) == 0
    assert run(["gdml", "group", "copper.npz"]) == 1
    assert "exists already: add --overwrite" in capsys.readouterr().err
    arrays = read_sgdml(folder / "copper.npz", "d")
    write_sgdml("open.npz", {name: value for name, value in arrays.items() if name != "lattice"})
    assert run(["gdml", "group", "open.npz"]) == 1
    assert "must be of a crystal" in capsys.readouterr().err
    assert run(["gdml", "group", "copper.npz", "-a", "9", "--out", "x.npz"]) == 1
    assert "9" in capsys.readouterr().err
