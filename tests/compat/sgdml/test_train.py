"""GDMLTrain as programs written for sgdml call it."""

from __future__ import annotations

import numpy as np
import pytest
from _gdml_toy import water

import pyff
from pyff.compat.sgdml.predict import GDMLPredict
from pyff.compat.sgdml.train import GDMLTrain
from pyff.interfaces.sgdml import dataset_arrays

SWAP = np.array([[0, 1, 2], [0, 2, 1]])


def dataset(m: int = 40) -> dict:
    data = water(m)
    arrays = dataset_arrays(data.Z, data.pos, data.forces, data.energy, name="water", theory="Morse", e_unit="kcal/mol",
                            r_unit="Ang")  # fmt: skip
    return {k: np.array(v) for k, v in arrays.items()}


@pytest.mark.parametrize("constraints", [False, True])
def test_program_of_the_documentation_runs(tmp_path, constraints):
    data, calls = dataset(), []
    gdml_train = GDMLTrain(max_memory=2, max_processes=1)
    task = gdml_train.create_task(data, 12, data, 10, sig=3, lam=1e-9, perms=SWAP, use_E_cstr=constraints,
                                  callback=lambda *a, **k: calls.append(k["disp_str"]))  # fmt: skip
    model = gdml_train.train(task, callback=lambda done, total, disp_str: calls.append(disp_str))
    np.savez_compressed(tmp_path / "model.npz", **model)
    assert {"Assembling kernel matrix", "Sampling training and validation subsets"} <= set(calls)
    assert ("alphas_E" in model) == constraints
    assert np.isnan(model["f_err"]["mae"]) and model["md5_test"] is None and model["lam"] == 1e-9

    stored = np.load(tmp_path / "model.npz", allow_pickle=True)
    energy, forces = GDMLPredict(stored).predict(data["R"][task["idxs_train"]].reshape(12, -1))
    np.testing.assert_allclose(forces.reshape(12, 3, 3), data["F"][task["idxs_train"]], atol=1e-3)
    label = data["E"][task["idxs_train"]]
    np.testing.assert_allclose(energy, label, atol=0.01 * np.ptp(label))
    assert pyff.load(tmp_path / "model.npz").n_train == 12


def test_seed_of_numpy_repeats_the_points():
    data, gdml_train = dataset(), GDMLTrain()
    drawn = []
    for _ in range(2):
        np.random.seed(7)
        drawn.append(gdml_train.create_task(data, 12, data, 10, sig=3, perms=SWAP)["idxs_train"])
    np.testing.assert_array_equal(*drawn)


def test_task_from_a_model_goes_on_from_its_coefficients():
    data, gdml_train = dataset(), GDMLTrain()
    task = gdml_train.create_task(data, 12, data, 10, sig=3.5, perms=SWAP)
    model = gdml_train.train(task)
    again = gdml_train.create_task_from_model(model, data)
    np.testing.assert_array_equal(again["alphas0_F"], model["alphas_F"])
    np.testing.assert_array_equal(again["R_train"], task["R_train"])
    assert again["sig"] == 3.5


def test_sample_is_stratified_and_leaves_out():
    drawn = GDMLTrain().draw_strat_sample(np.arange(50.0), 10, np.arange(40))
    assert sorted(drawn) == list(range(40, 50))


def test_gradients_are_noticed(caplog):
    data = dataset()
    data["E"] = -data["E"]
    gdml_train = GDMLTrain()
    gdml_train.train(gdml_train.create_task(data, 20, data, 10, sig=3, perms=SWAP))
    assert any("gradients instead of forces" in record.message for record in caplog.records)


def test_no_energies_are_an_error_unless_said():
    data = {k: v for k, v in dataset().items() if k != "E"}
    with pytest.raises(ValueError, match="have no energies"):
        GDMLTrain().create_task(data, 12, data, 10, sig=3, perms=SWAP)
    assert "E_train" not in GDMLTrain().create_task(data, 12, data, 10, sig=3, perms=SWAP, use_E=False)
