"""`pyff krr` and `pyff scan` from the command line to their files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

import pyff
from pyff.cli import run


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with 60 water-like molecules and their energies in kcal/mol."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(60):
        (r1, r2), angle = rng.uniform(0.85, 1.1, 2), rng.uniform(1.6, 2.0)
        pos = [[0, 0, 0], [r1, 0, 0], [r2 * np.cos(angle), r2 * np.sin(angle), 0]]
        energy = 500 * ((r1 - 0.96) ** 2 + (r2 - 0.96) ** 2) + 50 * (angle - 1.82) ** 2 - 230
        frames.append(Atoms("OH2", pos, info={"dft": energy}))
    write("water.xyz", frames, format="extxyz")
    write("start.xyz", frames[0], format="extxyz")
    return tmp_path


DATA = ["water.xyz", "--units", "kcal/mol,Angstrom", "--energy-key", "dft", "--seed", "1"]


def result(argv, capsys, code=0) -> dict:
    assert run([*argv, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_fit_makes_a_model_that_test_and_calculator_read(here, capsys):
    said = result(["krr", "fit", *DATA, "--train", "45", "--inner", "3"], capsys)
    assert said["n_train"] == 45 and said["n_test"] == 15 and said["errors_eV_A"]["energy_mae"] < 0.04
    assert (here / "krr.png").read_bytes()[:4] == b"\x89PNG"
    model = pyff.load("krr.safetensors")
    assert model.n_train == 45 and model.config.sigma == said["sigma"]
    tested = result(["test", "krr.safetensors", *DATA[:-2]], capsys)
    assert tested["errors_eV_A"]["energy_mae"] < 0.04
    assert run(["krr", "fit", *DATA]) == 1 and "exists already: add --overwrite" in capsys.readouterr().err
    assert run(["info", "krr.safetensors"]) == 0 and "coulomb_krr" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["md", "relax", "stability", "minima", "client"])
def test_nothing_moves_by_a_model_without_forces(command, capsys):
    assert run(["krr", "fit", *DATA, "--train", "20", "--inner", "2", "--sigma", "64", "--lam", "1e-7", "--quiet"]) == 0
    start = ["--start", "start.xyz", "--socket", "none"] if command == "client" else ["start.xyz"]
    assert run([command, "krr.safetensors", *start]) == 1
    assert "krr.safetensors gives energies and no forces" in capsys.readouterr().err


def test_cross_validation_reports_each_fold(capsys):
    said = result(["krr", "cv", *DATA, "--folds", "3", "--inner", "2", "--sigma", "4,16", "--lam", "1e-8"], capsys)
    assert len(said["folds"]) == 3 and said["unit"] == "kcal/mol" and said["mae"] < 1.0
    assert {f["sigma"] for f in said["folds"]} <= {4.0, 16.0}
    assert run(["krr", "cv", *DATA, "--folds", "3", "--sigma", "16", "--inner", "2"]) == 0
    assert "MAE (kcal/mol)" in (shown := capsys.readouterr().out) and "+-" in shown


def test_learning_curve_falls(here, capsys):
    argv = ["krr", "curve", *DATA, "--sizes", "10,40", "--test", "20", "--inner", "2", "--kernel", "gaussian"]
    said = result(argv, capsys)
    errors = [p["errors_eV_A"]["energy_mae"] for p in said["points"]]
    assert errors[1] < 0.5 * errors[0]
    assert json.loads((here / "krr-curve.json").read_text()) == said["points"]
    assert (here / "krr-curve.png").exists()
    assert run(argv) == 1 and "exists already: add --overwrite" in capsys.readouterr().err


def test_scans_find_the_minimum(here, capsys):
    result(["krr", "fit", *DATA, "--inner", "3"], capsys)
    said = result(
        ["scan", "krr.safetensors", "start.xyz", "--bond", "0,1", "--range", "0.87,1.08", "--points", "22"], capsys
    )
    x, energy = np.array(said["x"]), np.array(said["energy"])
    assert abs(x[energy.argmin()] - 0.96) < 0.04 and said["label"] == "bond O0-H1 (A)"
    table = np.loadtxt(here / "scan.csv", delimiter=",", skiprows=1)
    assert np.allclose(table[:, 1], energy) and (here / "scan.png").exists() and (here / "scan.xyz").exists()
    assert run(["scan", "krr.safetensors", "start.xyz"]) == 1 and "exists already" in capsys.readouterr().err
    again = ["scan", "krr.safetensors", "start.xyz", "--points", "5", "--overwrite"]
    assert run([*again, "--ewald"]) == 1 and "ewald needs a model with long-range terms" in capsys.readouterr().err
    said = result([*again, "--dtype", "float64"], capsys)
    assert said["label"] == "dilation" and said["x"] == pytest.approx([0.7, 0.9, 1.1, 1.3, 1.5])


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["krr", "fit", *DATA, "--train", "61"], "--train must lie in 5..60; received 61"),
        (["krr", "cv", *DATA, "--sigma", "0,2"], "--sigma must be positive numbers"),
        (["krr", "curve", *DATA, "--sizes", "50", "--test", "20"], "must fit into the 60 of the data"),
        (["krr", "fit", *DATA, "--out", "krr.pt"], "--out must end in .safetensors"),
        (["krr", "curve", *DATA, "--out", "missing/curve.json"], "--out must lie in a folder that exists"),
        (["scan", "m.safetensors", "start.xyz", "--out", "start.csv"], "would replace start.xyz, which is read"),
        (["scan", "m.safetensors", "start.xyz", "--bond", "0"], "--bond must be two atoms"),
        (["scan", "m.safetensors", "start.xyz", "--range", "2,1"], "--range must be two positive numbers"),
    ],
)
def test_errors_name_the_option(argv, words, capsys):
    assert run(argv) == 1
    assert words in capsys.readouterr().err
