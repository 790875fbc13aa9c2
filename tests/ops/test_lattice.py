"""Reduced cells: the same lattice, short vectors, and the nearest image among 27."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyff.ops import inverse_distances
from pyff.ops._lattice import reduced

CELLS = {
    "cubic": np.eye(3) * 4,
    "hexagonal": np.array([[3, 0, 0], [-1.5, 1.5 * 3**0.5, 0], [0, 0, 5]]),
    "fcc": (np.ones((3, 3)) - np.eye(3)) * 2,
    "orthorhombic, long axis first": np.diag([9.0, 4, 5]),
}
SKEW = np.array([[1, 0, 0], [3, 1, 0], [-2, 4, 1]])


@pytest.mark.parametrize("name", [*CELLS])
def test_reduced_cells_come_back_as_they_are(name):
    cell = torch.tensor(CELLS[name])
    assert reduced(cell) is cell


@pytest.mark.parametrize("name", [*CELLS])
def test_skewed_cells_become_short_and_keep_their_lattice(name):
    skewed = torch.tensor(np.stack([SKEW @ CELLS[name], CELLS[name]]))
    short = reduced(skewed)
    np.testing.assert_array_equal(short[1], CELLS[name])
    steps = short[0].numpy() @ np.linalg.inv(SKEW @ CELLS[name])
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)
    assert abs(np.linalg.det(steps)) == pytest.approx(1)
    lengths = lambda rows: np.sort(np.linalg.norm(rows, axis=1))  # noqa: E731
    np.testing.assert_allclose(lengths(short[0].numpy()), lengths(CELLS[name]))


@pytest.mark.parametrize("name", [*CELLS])
def test_nearest_image_is_that_of_all_images_nearby(name):
    rng = np.random.default_rng(0)
    cell = SKEW @ CELLS[name]
    pos = rng.uniform(size=(1, 20, 3)) @ cell
    x, g = inverse_distances(torch.tensor(pos), torch.tensor(cell))
    steps = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3), -1).reshape(-1, 3) @ CELLS[name]
    a, b = np.tril_indices(20, -1)
    off = (pos[0, a] - pos[0, b]) @ np.linalg.inv(CELLS[name])
    images = ((off - np.round(off)) @ CELLS[name])[:, None] + steps
    nearest = np.linalg.norm(images, axis=-1).min(1)
    np.testing.assert_allclose(1 / x[0].numpy(), nearest, rtol=1e-12)
    np.testing.assert_allclose(g.norm(dim=-1)[0], nearest**-2, rtol=1e-12)
    # rounding in the skewed cell is not enough, nor would be 27 images of it
    rounded, _ = inverse_distances(torch.tensor(pos), torch.tensor(cell), images="round")
    assert (1 / rounded[0].numpy() > 1.01 * nearest).any()
