"""What `pyff fit` takes from which frames."""

from __future__ import annotations

import json

from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

import pyff
from pyff.cli import run
from pyff.cli.fit import read_data
from pyff.cli.run_config import RunConfig

SMALL = ["--features", "4", "--interactions", "1", "--epochs", "1", "--order", "time", "--test", "2", "--valid", "2"]


def frames(path, names=("H2O",) * 10, forces=lambda k: True, **info):
    """Rattled molecules in the order of names, labelled in eV and A; forces(k): whether frame k has them."""
    for k, name in enumerate(names):
        atoms = molecule(name)
        atoms.rattle(0.05, seed=k)
        labels = {"forces": 0.1 * atoms.positions} if forces(k) else {}
        atoms.calc = SinglePointCalculator(atoms, energy=-10.0 - 0.01 * k, **labels)
        atoms.info.update(energy_unit="eV", length_unit="Angstrom", **info)
        write(path, atoms, format="extxyz", append=True)
    return str(path)


def test_fit_and_test_read_charge_and_spin_by_their_keys(tmp_path, capsys):
    data, out = frames(tmp_path / "x.xyz", q=1, unpaired=3), tmp_path / "run"
    keys = ["--charge-key", "q", "--spin-key", "unpaired"]
    assert run(["fit", data, *SMALL, *keys, "--out", str(out), "--quiet"]) == 0
    system = read_data(RunConfig.from_yaml(out / "config.yaml").data)[0]
    assert (system.charge, system.spin) == (1, 3)
    model = str(out / "model.safetensors")
    assert run(["test", model, data, *keys, "--quiet"]) == 0
    assert run(["test", model, data, "--charge-key", "total", "--quiet"]) == 1
    assert "charge_key='total' is in no frame" in capsys.readouterr().err


def test_fit_weighs_only_labels_that_training_frames_have(tmp_path, capsys):
    data = frames(tmp_path / "x.xyz", forces=lambda k: k >= 8)  # the test frames
    assert run(["fit", data, *SMALL, "--out", str(tmp_path / "run"), "--json"]) == 0
    assert "forces_mae" in json.loads(capsys.readouterr().out)["test"]


def test_fit_refuses_test_frames_with_elements_it_was_not_trained_on(tmp_path, capsys):
    data, out = frames(tmp_path / "x.xyz", (*["H2O"] * 8, "CH3OH", "NH3")), tmp_path / "run"
    assert run(["fit", data, *SMALL, "--out", str(out)]) == 1
    message = capsys.readouterr().err
    assert "2 have C, N: x.xyz[8], x.xyz[9]. Train on such frames too" in message
    assert not (out / "split.npz").exists()


def test_fit_declares_the_elements_of_the_training_frames(tmp_path):
    data, out = frames(tmp_path / "x.xyz", (*["CH3OH"] * 6, "NH3", "NH3", "H2O", "H2O")), tmp_path / "run"
    # with four training, two validation and two test frames, those with nitrogen are left out
    assert run(["fit", data, *SMALL, "--train", "4", "--out", str(out), "--quiet"]) == 0
    assert pyff.load(out / "model.safetensors").elements == (1, 6, 8)


def test_fit_names_the_setting_that_long_range_sums_of_periodic_frames_need(tmp_path, capsys):
    atoms = molecule("H2O", vacuum=2.0, pbc=True)
    for k in range(6):
        atoms.rattle(0.02, seed=k)
        atoms.calc = SinglePointCalculator(atoms, energy=-10.0 - 0.01 * k, forces=0.1 * atoms.positions)
        write(tmp_path / "x.xyz", atoms, format="extxyz", append=True)
    argv = ["fit", str(tmp_path / "x.xyz"), "--units", "eV,Angstrom", "--model", "so3lr", "--epochs", "1", "--quiet"]
    argv += ["--valid", "1", "--test", "1", "--set", "model.n_layers=1", "--features", "8", "--set", "model.n_rbf=4"]
    assert run([*argv, "--out", str(tmp_path / "a")]) == 1
    message = capsys.readouterr().err
    assert "6 of 6 frames are periodic, the first is x.xyz[0]. Add --set model.long_range_cutoff=12" in message
    # the advice works; a shorter cutoff of the same setting is faster
    assert run([*argv, "--out", str(tmp_path / "b"), "--set", "model.long_range_cutoff=5"]) == 0
    assert pyff.load(tmp_path / "b" / "model.safetensors").config.long_range_cutoff == 5


def test_fit_starts_from_the_weights_of_the_preset(tmp_path):
    data, out = frames(tmp_path / "x.xyz"), tmp_path / "run"
    rare = [*SMALL, "--model", "schnet2017", "--set", "model.n_rbf=21", "--lr", "1e-5"]
    assert run(["fit", data, *rare, "--out", str(out), "--quiet"]) == 0
    model = pyff.load(out / "model.safetensors")
    # one step of 1e-5 away from zero
    assert model.config.filter_last_activation == "ssp" and model.readout.w2.abs().max().item() < 1e-3
