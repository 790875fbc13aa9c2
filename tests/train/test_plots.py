from __future__ import annotations

import numpy as np
import pytest
from _pair_model import PairModel, morse_data
from _python import output_of
from matplotlib.figure import Figure

from pyff.train import epoch_curve, parity, predict, save_figure, training_panels
from pyff.units import ENERGY, Units

KCAL = Units("kcal/mol", "Angstrom")
PREDICTIONS = predict(PairModel(), morse_data(5))
HISTORY = [
    {"epoch": k, "train_loss": 2.0 / k, "valid_loss": 1.0 / k, "valid_energy_mae": 0.1 / k, "valid_forces_mae": 0.2 / k}
    for k in (1, 2, 3)
]


def drawn(panel):
    axes = Figure().add_subplot()
    panel(axes)
    return axes


def test_parity_shows_label_against_prediction_in_the_units_of_the_data():
    axes = drawn(parity(PREDICTIONS, "forces", KCAL))
    x, y = axes.lines[0].get_data()
    np.testing.assert_allclose(x, PREDICTIONS.forces_label.ravel() / ENERGY["kcal/mol"])
    np.testing.assert_allclose(y, PREDICTIONS.forces.ravel() / ENERGY["kcal/mol"])
    assert "kcal/mol" in axes.get_xlabel() and "MAE" in axes.texts[0].get_text()


def test_parity_of_energies_removes_the_mean_of_the_labels():
    x, y = drawn(parity(PREDICTIONS, "energy")).lines[0].get_data()
    assert np.mean(x) == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(y - x, PREDICTIONS.energy - PREDICTIONS.energy_label)


def test_learning_curve_is_logarithmic_and_converted():
    axes = drawn(epoch_curve(HISTORY, "errors", KCAL))
    assert axes.get_yscale() == "log"
    x, y = axes.lines[1].get_data()
    np.testing.assert_allclose(x, [1, 2, 3])
    np.testing.assert_allclose(y, np.array([0.2, 0.1, 0.2 / 3]) / ENERGY["kcal/mol"])
    single = drawn(epoch_curve(HISTORY[:1], "errors"))
    assert single.lines[0].get_marker() == "o"  # a line of one point would not be seen
    assert all(tick == round(tick) for a in (axes, single) for tick in a.get_xticks())  # there is no half an epoch


def test_save_figure_writes_one_picture_of_all_panels(tmp_path):
    panels = training_panels(HISTORY, PREDICTIONS, KCAL)
    save_figure(tmp_path / "a.png", panels)
    assert len(panels) == 4 and (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_save_figure_keeps_the_old_picture_where_it_fails(tmp_path):
    path = tmp_path / "a.png"
    save_figure(path, [lambda axes: axes.plot([0, 1])])
    old = path.read_bytes()
    with pytest.raises(ValueError, match="Expected"):
        save_figure(path, [lambda axes: axes.set_title(r"$\frac$")])  # which is read when the picture is written
    assert path.read_bytes() == old and list(tmp_path.iterdir()) == [path]


def test_plots_do_not_touch_pyplot(tmp_path):
    code = """
import sys
from pyff.train import save_figure
save_figure("a.png", [lambda axes: axes.plot([0, 1], label="a"), lambda axes: axes.set_title("b")])
print("matplotlib.pyplot" in sys.modules)
"""
    assert output_of("-c", code, cwd=tmp_path).strip() == "False"


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind must be one of energy, forces"):
        parity(PREDICTIONS, "mae")
    with pytest.raises(ValueError, match="kind must be 'errors' or 'loss'"):
        epoch_curve(HISTORY, "mae")
