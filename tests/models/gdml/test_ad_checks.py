"""Descriptors and kernels of users that cannot work are named before anything is fitted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pyff import ops
from pyff.models.gdml.ad import DescriptorKernel, PairKernel, fit_force_field

RNG = np.random.default_rng(0)
POS = torch.tensor(np.eye(4, 3) * 1.3 + 0.1 * RNG.normal(size=(8, 4, 3)))
FORCES = torch.tensor(RNG.normal(size=(8, 4, 3)))


def squares(pos):
    return (pos[:, None] - pos).square().sum(-1)


@pytest.mark.parametrize(
    ("descriptor", "sentence"),
    [
        (lambda p: 1 / (1 + squares(p)), r"shape \[D\] for pos \[N, 3\]; received torch.float64 of shape \[4, 4\]"),
        (lambda p: (1 / (1 + squares(p.float()))).flatten(), "received torch.float32"),
        (lambda p: np.ones(3), "received ndarray"),
        (lambda p: squares(p).sqrt().flatten(), "finite derivatives"),
        (lambda p: torch.ones(4, dtype=torch.float64), "its derivatives are all zero"),
        (lambda p: torch.tensor(np.exp(-p.numpy()).ravel()), "must be made of torch operations"),
        (lambda p: torch.pdist(p), "must be made of torch operations"),
    ],
    ids=["matrix", "float32", "numpy", "root", "constant", "through-numpy", "pdist"],
)
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_descriptors(descriptor, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit_force_field(DescriptorKernel(descriptor, ops.GdmlKernel(2.0)), POS, FORCES)


@pytest.mark.parametrize(
    ("k", "sentence"),
    [
        (lambda r, s: 1.0, "received float"),
        (lambda r, s: torch.exp(-(r - s).square().sum(1)), r"without axes; received torch.float64 of shape \[4\]"),
        (lambda r, s: torch.exp(-(r - s).square().sum()) * (1 + r.sum()), r"k must be symmetric; k\(R, R'\)"),
        (lambda r, s: torch.exp(-(r - s).square().sum().sqrt()), "finite derivatives"),
    ],
    ids=["number", "vector", "asymmetric", "norm"],
)
def test_kernels(k, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit_force_field(PairKernel(k), POS, FORCES)


def test_a_field_is_short_in_print():
    field = fit_force_field(PairKernel(lambda r, s: torch.exp(-(r - s).square().sum())), POS, FORCES)
    assert repr(field) == "ForceField(8 training points of 4 atoms, PairKernel)"
