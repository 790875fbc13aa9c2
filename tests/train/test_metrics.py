from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from _pair_model import PairModel, morse_data

from pyff.train import Metrics, evaluate, predict
from pyff.units import ENERGY, Units

DATA = morse_data(11)


def test_predict_in_batches_equals_one_frame_at_a_time():
    model = PairModel().double()
    whole = predict(model, DATA, batch_size=4)
    single = [predict(model, DATA.subset([k])) for k in range(len(DATA))]
    np.testing.assert_allclose(whole.energy, np.concatenate([p.energy for p in single]), rtol=1e-13)
    np.testing.assert_allclose(whole.forces, np.concatenate([p.forces for p in single]), rtol=1e-11, atol=1e-13)
    np.testing.assert_array_equal(whole.energy_label, [float(s.labels["energy"]) for s in DATA])


def test_evaluate_equals_hand_computation():
    model = PairModel().double()
    m, p = evaluate(model, DATA), predict(model, DATA)
    error = np.concatenate([s.labels["forces"] for s in DATA]) - p.forces
    assert m.forces.mae == pytest.approx(np.abs(error).mean())
    assert m.forces.rmse == pytest.approx(np.sqrt((error**2).mean()))
    assert m.energy_per_atom.mae == pytest.approx(m.energy.mae / 4)
    assert m.stress is None and m.n_frames == 11 and m.forces.count == 11 * 4 * 3


def test_evaluate_keeps_mode_and_gradient_state():
    model = PairModel()
    model.train()
    evaluate(model, DATA)
    assert model.training and torch.is_grad_enabled() and all(p.grad is None for p in model.parameters())


def test_evaluate_missing_labels_are_left_out():
    systems = [s if k < 3 else s.with_labels(energy=s.labels["energy"]) for k, s in enumerate(DATA)]
    m = evaluate(PairModel(), replace(DATA, systems=tuple(systems)))
    assert m.forces.count == 3 * 12 and m.energy.count == 11
    none = evaluate(PairModel(), replace(DATA, systems=tuple(s.with_labels() for s in DATA)))
    assert none.energy is None and none.rows() == [] and none.as_dict() == {}


def test_metrics_table_speaks_the_units_of_the_data_and_ev():
    m = evaluate(PairModel(), replace(DATA, units=Units("kcal/mol", "Angstrom")))
    rows = {(name, unit): mae for name, mae, _, _, unit in m.rows()}
    assert rows["force components", "kcal/mol/Angstrom"] == pytest.approx(m.forces.mae / ENERGY["kcal/mol"])
    assert "kcal/mol/Angstrom" in m.table() and "eV/Angstrom" in m.table() and "11 frames" in m.table()
    assert replace(m, units=Units()).table().count("force components") == 1


def test_metrics_as_dict_is_in_ev():
    m = Metrics.of(predict(PairModel(), DATA), Units("kcal/mol", "Angstrom"))
    assert m.as_dict()["forces_mae"] == m.forces.mae
    assert set(m.as_dict()) == {
        f"{a}_{b}" for a in ("energy", "energy_per_atom", "forces") for b in ("mae", "rmse")
    }  # fmt: skip
