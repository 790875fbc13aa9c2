"""pyff gdml show, test, validate: quantities, points used, what is kept in files. Errors are known by design."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from _sgdml import LATTICE, model_arrays, positions

from pyff.cli import run
from pyff.interfaces.sgdml import dataset_arrays, dataset_md5, read_sgdml, write_sgdml
from pyff.models.gdml.sgdml_file import model_of_arrays

M = 30


@pytest.fixture
def files(tmp_path):
    """A model and a data set that it predicts up to 0.5 in energies and 0.25 in the x components of forces."""
    arrays = model_arrays()
    energy, forces = (x.numpy() for x in model_of_arrays(arrays).predict(torch.from_numpy(positions(M))))
    # errors of frames that the model has seen are larger, so that a test on them would show
    off = np.where(np.arange(M) < 6, 100.0, 0.5)
    forces[:, :, 0] += 0.5 * off[:, None]
    data = dataset_arrays([8, 1, 1], positions(M), forces, energy + off, name="water", e_unit="kcal/mol", r_unit="Ang")
    arrays |= {"md5_train": data["md5"], "md5_valid": data["md5"]}
    write_sgdml(tmp_path / "data.npz", data)
    write_sgdml(tmp_path / "model.npz", arrays)
    return tmp_path


def gdml(capsys, *args) -> dict:
    assert run(["gdml", *map(str, args), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def failed(capsys, *args) -> str:
    assert run(["gdml", *map(str, args)]) == 1
    return capsys.readouterr().err


def test_test_uses_points_the_model_has_not_seen_and_keeps_the_errors(files, capsys):
    before = read_sgdml(files / "model.npz")
    errors = gdml(capsys, "test", files / "model.npz", files / "data.npz")["errors"]["model.npz"]
    assert errors["n"] == M - 6
    assert errors["energy"] == pytest.approx({"mae": 0.5, "rmse": 0.5})
    assert errors["forces"] == pytest.approx({"mae": 0.25 / 3, "rmse": 0.25 / np.sqrt(3)})
    assert 0 < errors["angle"]["mae"] < 0.5
    after = read_sgdml(files / "model.npz")
    assert after["f_err"].item() == pytest.approx(errors["forces"])
    assert after["e_err"].item() == pytest.approx(errors["energy"])
    assert int(after["n_test"]) == M - 6
    assert after["md5_test"] == read_sgdml(files / "data.npz")["md5"]
    for name in set(before) - {"f_err", "e_err", "n_test", "md5_test"}:
        assert before[name].dtype == after[name].dtype
        np.testing.assert_array_equal(before[name], after[name])


def test_smaller_test_changes_the_file_only_when_told(files, capsys):
    args = ("test", files / "model.npz", files / "data.npz")
    gdml(capsys, *args, 20)
    kept = (files / "model.npz").read_bytes()
    assert gdml(capsys, *args, 10)["errors"]["model.npz"]["n"] == 10
    assert (files / "model.npz").read_bytes() == kept
    gdml(capsys, *args, 10, "-o")
    assert int(read_sgdml(files / "model.npz")["n_test"]) == 10


def test_other_data_set_is_tested_in_full(files, capsys):
    data = read_sgdml(files / "data.npz")
    part = {k: data[k][:8] if k in ("R", "F", "E") else data[k] for k in data if k != "md5"}
    write_sgdml(files / "other.npz", part)
    assert gdml(capsys, "test", files / "model.npz", files / "other.npz", 20)["errors"]["model.npz"]["n"] == 8


def test_validation_fills_every_model_of_a_folder_once(files, capsys):
    folder = files / "models"
    folder.mkdir()
    write_sgdml(folder / "a.npz", read_sgdml(files / "model.npz"))
    write_sgdml(folder / "b.npz", read_sgdml(files / "model.npz") | {"sig": np.array(4)})
    write_sgdml(folder / "data.npz", read_sgdml(files / "data.npz"))
    errors = gdml(capsys, "validate", folder, files / "data.npz")["errors"]
    assert set(errors) == {"a.npz", "b.npz"}
    # frames 4 and 5
    assert errors["a.npz"]["energy"]["mae"] == pytest.approx(100.0)
    assert read_sgdml(folder / "a.npz")["f_err"].item()["mae"] == pytest.approx(50 / 3)
    assert gdml(capsys, "validate", folder, files / "data.npz")["errors"] == {}
    assert set(gdml(capsys, "validate", folder, files / "data.npz", "-o")["errors"]) == {"a.npz", "b.npz"}


def test_validation_on_another_data_set_needs_force(files, capsys):
    data = read_sgdml(files / "data.npz")
    other = {k: v for k, v in data.items() if k != "md5"} | {"F": data["F"] + 1e-9}
    write_sgdml(files / "other.npz", other)
    kept = (files / "model.npz").read_bytes()
    message = failed(capsys, "validate", files / "model.npz", files / "other.npz")
    assert f"the fingerprint of other.npz, {dataset_md5(other)}, must be that of the validation set" in message
    assert "--force" in message
    assert (files / "model.npz").read_bytes() == kept
    assert run(["gdml", "validate", str(files / "model.npz"), str(files / "other.npz"), "--force"]) == 0
    assert "warning: the fingerprint" in capsys.readouterr().err


def test_stated_fingerprint_may_be_another_program_s(files, capsys):
    """mbGDML hashes in its own way: the file is taken by either fingerprint."""
    data = read_sgdml(files / "data.npz")
    write_sgdml(files / "data.npz", data | {"md5": np.array(b"f" * 32)})
    assert gdml(capsys, "test", files / "model.npz", files / "data.npz")["errors"]["model.npz"]["n"] == M - 6


def test_data_set_of_other_atoms_or_periodicity_is_refused(files, capsys):
    data = {k: v for k, v in read_sgdml(files / "data.npz").items() if k != "md5"}
    write_sgdml(files / "x.npz", data | {"z": np.array([1, 8, 1], np.uint8)})
    assert "the data set has them in another order, H O H" in failed(
        capsys, "test", files / "model.npz", files / "x.npz"
    )
    write_sgdml(files / "x.npz", data | {"lattice": LATTICE})
    assert "the data set has a lattice, the model none" in failed(capsys, "test", files / "model.npz", files / "x.npz")
    assert "must be a data set of sGDML; received a model" in failed(
        capsys, "test", files / "model.npz", files / "model.npz"
    )


def test_show_prints_what_files_hold(files, capsys):
    shown = gdml(capsys, "show", files / "data.npz")
    assert (shown["kind"], shown["points"], shown["theory"]) == ("d", "30", "unknown")
    assert "[kcal/mol/Ang]" in shown["forces"]
    assert run(["gdml", "show", str(files / "model.npz")]) == 0
    text = capsys.readouterr().out
    for piece in ("H2O: O H H", "length scale", "analytic", "pending: 2 points of", "global integration constant"):
        assert piece in text
    cg = {"solver_name": "cg", "solver_tol": 1e-4, "solver_resid": 0.5, "norm_y_train": 100.0, "solver_iters": 7}
    write_sgdml(files / "cg.npz", model_arrays(LATTICE, energies=True, sig=2.5) | cg)
    shown = gdml(capsys, "show", files / "cg.npz")
    assert shown["residual"] == "5.0e-01, to be 1.0e-02: NOT CONVERGED: pyff gdml resume"
    assert shown["energies"] == "pointwise energy constraints"
    assert shown["length scale"] == "2.5"
    assert shown["cell"].startswith("5.0000 4.5398")


def test_show_reads_tasks(files, capsys):
    m = model_arrays()
    task = {k: m[k] for k in ("z", "idxs_train", "md5_train", "idxs_valid", "md5_valid", "sig", "lam", "perms")}
    task |= {"type": "t", "R_train": positions(4), "F_train": positions(4), "use_E": True, "use_E_cstr": False}
    write_sgdml(files / "task.npz", task | {"dataset_name": "water", "dataset_theory": "formula"})
    shown = gdml(capsys, "show", files / "task.npz")
    assert (shown["kind"], shown["data"], shown["regularization"]) == ("t", "water, formula", "1e-10")
    assert shown["train on"] == "4 points of 0123456789abcdef0123456789abcdef"


def test_info_and_test_and_md_take_sgdml_files(files, capsys):
    from ase import Atoms
    from ase.io import read, write

    assert run(["info", str(files / "model.npz")]) == 0
    assert "length scale" in capsys.readouterr().out
    assert run(["test", str(files / "model.npz"), str(files / "data.npz"), "--json"]) == 0
    errors = json.loads(capsys.readouterr().out)["errors"]
    assert errors["energy"]["mae"] == pytest.approx((6 * 100 + 24 * 0.5) / M)
    assert errors["energy"]["unit"] == "kcal/mol"
    write(files / "start.xyz", Atoms("OH2", positions(1)[0]))
    out = files / "md.xyz"
    assert (
        run(["md", str(files / "model.npz"), str(files / "start.xyz"), "--time", "0.01", "--out", str(out), "-q"]) == 0
    )
    assert len(read(out, ":")) >= 1
    write(files / "wrong.xyz", Atoms("HOH", positions(1)[0]))
    assert run(["relax", str(files / "model.npz"), str(files / "wrong.xyz"), "--out", str(files / "r.xyz")]) == 1
    assert "in another order, H O H" in capsys.readouterr().err
