"""Force fields by automatic differentiation: against the hand-derived kernel, Hessians and finite differences."""

from __future__ import annotations

import pytest
import torch

from pyff import ops
from pyff.models.gdml.ad import DescriptorKernel, PairKernel, fit_force_field

N = 4
PERMS = torch.tensor([[0, 1, 2, 3], [1, 0, 2, 3]])


def geometries(count: int, seed: int = 0) -> torch.Tensor:
    gen = torch.Generator().manual_seed(seed)
    base = torch.tensor([[0.0, 0, 0], [1.1, 0, 0], [0.3, 1.2, 0], [0.2, 0.4, 1.3]], dtype=torch.float64)
    return base + 0.1 * torch.randn(count, N, 3, dtype=torch.float64, generator=gen)


def inverse_distances(pos: torch.Tensor) -> torch.Tensor:
    a, b = torch.tril_indices(N, N, -1)
    return (pos[a] - pos[b]).square().sum(-1).rsqrt()


def gaussian(r: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return torch.exp(-(inverse_distances(r) - inverse_distances(other)).square().sum() / 2)


@pytest.mark.parametrize("profile", ["matern52", "rbf"])
@pytest.mark.parametrize("perms", [None, PERMS])
def test_inverse_distances_give_the_hand_derived_kernel(profile, perms):
    kernel = ops.GdmlKernel(0.7, profile)
    ad = DescriptorKernel(inverse_distances, kernel, perms)
    pos, query = geometries(5), geometries(3, seed=1)
    x, g = ops.inverse_distances(pos)
    xq, gq = ops.inverse_distances(query)
    on_descriptors = ops.descriptor_permutations(torch.arange(N)[None] if perms is None else perms)
    expected = ops.gdml_matrix(xq, gq, x, g, on_descriptors, kernel)
    torch.testing.assert_close(ad.matrix(query, pos), expected, rtol=0, atol=1e-10 * float(expected.abs().max()))

    weights = torch.randn(5, N, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    energy, forces = ad.expansion(pos, weights)(query)
    f, e = ops.gdml_product(xq, x, -ops.jacobian_product(g, weights), on_descriptors, kernel)
    torch.testing.assert_close(energy, e, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(forces, ops.jacobian_transpose_product(gq, f), rtol=1e-10, atol=1e-12)


def test_pair_kernel_equals_the_same_kernel_on_descriptors():
    pos, query = geometries(4), geometries(3, seed=1)
    by_descriptor = DescriptorKernel(inverse_distances, ops.GdmlKernel(1.0, "rbf"))
    weights = torch.randn(4, N, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    pair = PairKernel(gaussian)
    torch.testing.assert_close(pair.matrix(query, pos), by_descriptor.matrix(query, pos), rtol=1e-10, atol=1e-12)
    for ours, expected in zip(pair.expansion(pos, weights)(query), by_descriptor.expansion(pos, weights)(query)):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)


def test_expansion_is_the_matrix_times_the_weights():
    kernel = DescriptorKernel(lambda r: torch.cat([inverse_distances(r), torch.linalg.det(r[1:] - r[0])[None]]),
                              ops.GdmlKernel(0.9))  # fmt: skip
    pos, query = geometries(5), geometries(2, seed=3)
    weights = torch.randn(5, N, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    forces = kernel.expansion(pos, weights)(query)[1]
    expected = kernel.matrix(query, pos) @ weights.reshape(-1)
    torch.testing.assert_close(forces.reshape(-1), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "kernel", [DescriptorKernel(inverse_distances, ops.GdmlKernel(1.3), PERMS), PairKernel(gaussian)]
)
def test_fitted_forces_are_minus_the_gradient_and_exact_on_training_points(kernel):
    pos = geometries(6)

    def energy(r):
        a, b = torch.tril_indices(N, N, -1)
        return (((r[:, a] - r[:, b]).norm(dim=-1) - 1.4) ** 2).sum(1)

    leaf = pos.clone().requires_grad_()
    forces = -torch.autograd.grad(energy(leaf).sum(), leaf)[0]
    model = fit_force_field(kernel, pos, forces, energy(pos))
    if isinstance(kernel, PairKernel):
        torch.testing.assert_close(model.predict(pos)[1], forces, rtol=1e-6, atol=1e-6)
    new, step = geometries(1, seed=9), 1e-5
    shifts = step * torch.eye(3 * N, dtype=torch.float64).reshape(-1, N, 3)
    slope = (model.predict(new + shifts)[0] - model.predict(new - shifts)[0]) / (2 * step)
    torch.testing.assert_close(-slope, model.predict(new)[1].reshape(-1), rtol=1e-6, atol=1e-6)


def test_forces_without_spread_are_an_error():
    with pytest.raises(ValueError, match="forces must not all be the same"):
        fit_force_field(PairKernel(gaussian), geometries(2), torch.zeros(2, N, 3))
