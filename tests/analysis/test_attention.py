from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from pyff.analysis import attention_by_distance, attention_by_elements, attention_panels, attention_per_atom

# water, O H H: every atom sees both others; two heads
IDX_I, IDX_J, Z = [0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1], [8, 1, 1]
ALPHA = np.array([[0.5, 1.0], [0.25, 1.0], [2.0, -1.0], [0.125, 0.0], [4.0, 1.0], [-0.5, 0.0]])
DISTANCE = [0.96, 0.96, 0.96, 1.52, 0.96, 1.52]


def test_attention_per_atom_of_hand_made_numbers():
    found = attention_per_atom(ALPHA, IDX_I, IDX_J, 3)
    np.testing.assert_array_equal(found.given, [[0.75, 2], [2.125, 1], [4.5, 1]])
    np.testing.assert_array_equal(found.received, [[6, 2], [1, 1], [0.375, 1]])
    signed = attention_per_atom(ALPHA, IDX_I, IDX_J, 3, signed=True)
    np.testing.assert_array_equal(signed.given, [[0.75, 2], [2.125, -1], [3.5, 1]])
    assert signed.received.sum() == pytest.approx(signed.given.sum()) == pytest.approx(ALPHA.sum())


def test_attention_reads_tensors_and_one_head():
    found = attention_per_atom(torch.tensor(ALPHA[:, 0]), torch.tensor(IDX_I), torch.tensor(IDX_J), 4)
    np.testing.assert_array_equal(found.given[:, 0], [0.75, 2.125, 4.5, 0])  # the fourth atom has no neighbors


def test_attention_by_elements_averages_over_edges():
    found = attention_by_elements(ALPHA, IDX_I, IDX_J, Z)
    assert found.elements == (1, 8)
    np.testing.assert_array_equal(found.count, [[2, 2], [2, 0]])
    np.testing.assert_array_equal(found.mean[0, 1], [3.0, 1.0])  # H attends to O
    np.testing.assert_array_equal(found.mean[1, 0], [0.375, 1.0])  # O attends to H
    np.testing.assert_array_equal(found.mean[0, 0], [0.3125, 0.0])
    assert np.isnan(found.mean[1, 1]).all()


def test_attention_by_distance_bins_edges():
    found = attention_by_distance(ALPHA, DISTANCE, bins=[0, 0.96, 1.2, 1.6])
    np.testing.assert_array_equal(found.count, [0, 4, 2])
    np.testing.assert_allclose(found.mean[1:], [[6.75 / 4, 1.0], [0.3125, 0.0]])
    np.testing.assert_allclose(found.deviation[2], [0.1875, 0.0])
    assert np.isnan(found.mean[0]).all() and found.centers == pytest.approx([0.48, 1.08, 1.4])
    assert attention_by_distance(ALPHA, DISTANCE, bins=3).count.sum() == 6  # the largest distance counts
    assert attention_by_distance(ALPHA, DISTANCE, bins=[0, 1]).count.sum() == 4


def test_structure_without_edges_has_no_attention():
    none = np.zeros((0, 2))
    assert (attention_per_atom(none, np.zeros(0, int), np.zeros(0, int), 2).given == 0).all()
    assert attention_by_distance(none, [], bins=2).count.tolist() == [0, 0]


def test_wrong_shapes_and_indices_are_refused():
    with pytest.raises(ValueError, match=r"and idx_i, idx_j \[E\]; received \(6, 2\), idx_i \(5,\)"):
        attention_per_atom(ALPHA, IDX_I[:5], IDX_J, 3)
    with pytest.raises(ValueError, match=r"idx_i must be in 0..1; received 0..2"):
        attention_per_atom(ALPHA, IDX_I, IDX_J, 2)
    with pytest.raises(ValueError, match="alpha must be finite"):
        attention_per_atom(ALPHA * np.nan, IDX_I, IDX_J, 3)
    with pytest.raises(ValueError, match="bins must be"):
        attention_by_distance(ALPHA, DISTANCE, bins=[1, 0])


def test_panels_show_what_was_computed():
    atom, pair, distance = (Figure().add_subplot() for _ in range(3))
    for axes, panel in zip((atom, pair, distance), attention_panels(ALPHA, IDX_I, IDX_J, DISTANCE, Z)):
        panel(axes)
    assert sorted(bar.get_height() for bar in atom.patches) == pytest.approx([0.6875, 1.0, 4.0])
    assert {t.get_text() for t in pair.texts} == {"0.16", "2", "0.69"}
    assert "(A)" in distance.get_xlabel()
