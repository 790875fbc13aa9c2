"""What the commands on a structure share: charge and spin, long range, the model a record belongs to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from _sgdml import LATTICE, model_arrays, positions
from _toy import toy_model
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import read, write

import pyff
from pyff._npz import write_npz
from pyff.cli import run
from pyff.cli.console import Console
from pyff.cli.start import Start, described
from pyff.models.schnet import SchNet, SchNetConfig
from pyff.models.so3krates import SO3krates, SO3kratesConfig

NETWORK = dict(n_features=8, n_heads=2, degrees=(1,), n_layers=1, n_rbf=6, cutoff=3.0, zero_init_output=False)
PHYSICS = dict(charges=True, hirshfeld=True, electrostatics=True, dispersion=True, charge_embedding=True,
               spin_embedding=True)  # fmt: skip
ONE_POINT = ["--steps", "0", "--fmax", "1e9", "--overwrite"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with a network that has physics, two toys, an ion in a format without charges, and a salt."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    net = SO3krates(SO3kratesConfig(**NETWORK, **PHYSICS), elements=(1, 6, 8, 11, 17)).double()
    pyff.save(net, "net.safetensors")
    pyff.save(toy_model().double(), "a.safetensors")
    pyff.save(toy_model(steepness=1.2).double(), "b.safetensors")
    write("ion.pdb", molecule("HCOOH"))
    write("start.xyz", molecule("CH3CH2OH"), format="extxyz")
    write("salt.cif", bulk("NaCl", "rocksalt", a=5.64), format="cif")
    return tmp_path


def relaxed(argv, capsys) -> float:
    """Energy that `pyff relax` finds without a step."""
    assert run(["relax", "net.safetensors", *argv, *ONE_POINT, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["energy"]


def energy(path, info, **options) -> float:
    atoms = read(path)
    atoms.info = info
    return pyff.Calculator("net.safetensors", **options).get_property("energy", atoms)


def test_charge_and_spin_reach_the_model(capsys):
    neutral = relaxed(["ion.pdb"], capsys)
    ion = relaxed(["ion.pdb", "--charge", "-1", "--spin", "1"], capsys)
    assert neutral == pytest.approx(energy("ion.pdb", {}), abs=1e-9)
    assert ion == pytest.approx(energy("ion.pdb", {"charge": -1, "spin": 1}), abs=1e-9)
    assert abs(ion - neutral) > 1e-3


@pytest.mark.parametrize(
    "argv",
    [
        ["md", "net.safetensors", "ion.pdb", "--time", "0.001"],
        ["relax", "net.safetensors", "ion.pdb", *ONE_POINT],
        ["stability", "net.safetensors", "ion.pdb", "--time", "0.001", "--seeds", "1", "--temperatures", "300"],
        ["minima", "net.safetensors", "ion.pdb", "--escapes", "0", "--fmax", "100"],
        ["attention", "net.safetensors", "ion.pdb"],
    ],
)
def test_every_command_says_charge_and_spin_at_the_start(argv, capsys):
    run([*argv, "--charge", "-1", "--spin", "1"])
    assert "CH2O2, 5 atoms, charge -1, 1 unpaired electron" in capsys.readouterr().out.splitlines()[0]


def test_charge_that_a_model_does_not_read_is_warned_of(capsys):
    plain = SO3krates(SO3kratesConfig(**NETWORK, charge_embedding=True), elements=(1, 6, 8))
    pyff.save(plain, "plain.safetensors")
    pyff.save(SchNet(SchNetConfig(n_features=8, n_interactions=1, n_rbf=5), (1, 6, 8)), "schnet.safetensors")
    warned = {}
    for name in ("net", "plain", "schnet"):
        argv = ["relax", f"{name}.safetensors", "ion.pdb", *ONE_POINT, "--quiet"]
        assert run(argv) == 0 and "warning" not in capsys.readouterr().err
        assert run([*argv, "--charge", "1", "--spin", "1"]) == 0
        warned[name] = capsys.readouterr().err
    assert warned["net"] == ""
    assert "plain.safetensors does not depend on the number of unpaired electrons" in warned["plain"]
    assert "does not depend on the total charge and number of unpaired electrons" in warned["schnet"]


def test_description_of_a_neutral_structure_is_silent_about_charge():
    assert described(molecule("CH4")) == "CH4, 5 atoms"
    assert described(Atoms("O2", info={"spin": 2, "charge": 1})) == "O2, 2 atoms, charge +1, 2 unpaired electrons"


def test_charge_of_a_file_is_kept_unless_another_is_given(here):
    write("ion.xyz", Atoms("H", info={"charge": 1}), format="extxyz")
    assert Start(here / "ion.xyz").atoms().info["charge"] == 1
    assert Start(here / "ion.xyz", charge=0.0).atoms().info["charge"] == 0
    for wrong in ({"charge": float("nan")}, {"spin": -1.0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be a"):
            Start(here / "ion.xyz", **wrong).atoms()


def test_long_range_options_reach_the_model(capsys):
    given = ["salt.cif", "--long-range-cutoff", "7"]
    cut, ewald = relaxed(given, capsys), relaxed([*given, "--ewald"], capsys)
    assert cut == pytest.approx(energy("salt.cif", {}, long_range_cutoff=7.0), abs=1e-9)
    assert ewald == pytest.approx(energy("salt.cif", {}, long_range_cutoff=7.0, ewald=True), abs=1e-9)
    assert abs(cut - ewald) > 1e-6
    assert run(["relax", "net.safetensors", "salt.cif", "--ewald", *ONE_POINT]) == 1  # its dispersion has no end
    assert "--long-range-cutoff 12" in capsys.readouterr().err
    assert run(["relax", "a.safetensors", "start.xyz", "--ewald", *ONE_POINT]) == 1
    assert "ewald needs a model with long-range terms" in capsys.readouterr().err


def test_unknown_elements_are_refused_before_anything_starts(here, capsys):
    write("gold.xyz", Atoms("Au2", [(0, 0, 0), (2.5, 0, 0)]), format="extxyz")
    before = sorted(here.iterdir())
    for command in ("md", "relax", "stability", "minima"):
        assert run([command, "a.safetensors", "gold.xyz"]) == 1
        shown = capsys.readouterr()
        assert "a.safetensors cannot compute gold.xyz" in shown.err and "received Au" in shown.err
        assert shown.out == "" and "stopped after" not in shown.err
    assert sorted(here.iterdir()) == before


def test_md_is_continued_with_its_own_model_only(here, capsys):
    argv = ["start.xyz", "--quiet", "--time", "0.002", "--out", "md.xyz"]
    assert run(["md", "a.safetensors", *argv, "--charge", "1"]) == 0
    more = [*argv, "--time", "0.004", "--resume"]
    content = (here / "md.xyz").read_bytes()
    assert run(["md", "b.safetensors", *more, "--charge", "1"]) == 1
    assert "was made with the model a.safetensors" in capsys.readouterr().err
    assert run(["md", "a.safetensors", *more]) == 1
    assert "--charge must stay 1 to continue md.xyz; received 0" in capsys.readouterr().err
    assert (here / "md.xyz").read_bytes() == content
    (here / "a.safetensors").rename("renamed.safetensors")  # the contents count
    assert run(["md", "renamed.safetensors", *more, "--charge", "1"]) == 0
    assert read("md.xyz", -1, format="extxyz").info["step"] == 8


def test_md_is_continued_with_its_own_long_range_only(capsys):
    argv = ["md", "net.safetensors", "start.xyz", "--quiet", "--long-range-cutoff", "9"]
    assert run([*argv, "--time", "0.001"]) == 0
    assert run([*argv, "--time", "0.002", "--resume"]) == 0
    assert run([*argv[:4], "--time", "0.003", "--resume"]) == 1
    assert "--long-range-cutoff must stay as it was to continue md.xyz: 9.0; received none" in capsys.readouterr().err


def test_minima_search_is_continued_with_its_own_model_only(here, capsys):
    argv = ["start.xyz", "--fmax", "0.1", "--escapes", "0", "--keep", "all", "--quiet"]
    assert run(["minima", "a.safetensors", *argv]) == 0
    assert run(["minima", "b.safetensors", *argv, "--resume"]) == 1
    assert "minima.jsonl was made with the model a.safetensors" in capsys.readouterr().err
    assert run(["minima", "a.safetensors", *argv, "--resume"]) == 0


def test_structures_that_a_kernel_model_does_not_know(capsys):
    """Other orders are refused before anything starts, other cells warned of."""
    write_npz("m.npz", model_arrays(LATTICE))
    cell = LATTICE.T
    write("water.xyz", Atoms("OH2", positions(1)[0] + 2.2, cell=cell, pbc=True))
    write("order.xyz", Atoms("HOH", positions(1)[0] + 2.2, cell=cell, pbc=True))
    write("wide.xyz", Atoms("OH2", positions(1)[0] + 2.2, cell=1.02 * cell, pbc=True))
    for command in ("md", "relax", "scan"):
        assert run([command, "m.npz", "order.xyz"]) == 1
        assert "order.xyz has them in another order, H O H. Sort its atoms" in capsys.readouterr().err
    start = Start(Path("wide.xyz"))
    start.calculator(Console(quiet=False), Path("m.npz"), start.atoms())
    assert "the cell of wide.xyz is not that of the training data" in " ".join(capsys.readouterr().err.split())
    run(["relax", "m.npz", "water.xyz", "--cell", "--steps", "1"])
    said = " ".join(capsys.readouterr().err.split())
    assert "trained in one cell" in said and "not that of the training data" not in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("2\n\nH 0 0 0\nH 0 nan 1\n", "positions must be finite; received NaN or infinity for atom 1"),
    ],
)
def test_structures_that_are_none_are_refused_in_words(text, words, capsys):
    Path("bad.xyz").write_text(text)
    for command in ("md", "relax", "minima"):
        assert run([command, "a.safetensors", "bad.xyz"]) == 1
        assert f"pyff: bad.xyz: {words}" in capsys.readouterr().err
