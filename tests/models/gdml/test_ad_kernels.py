"""Kernels of one's own: profiles at distance zero, non-stationary kernels, permutations, native dispatch, solvers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from torch.func import grad, jvp, vmap

import pyff
from pyff import ops
from pyff.batch import System
from pyff.models.file import ModelFileError
from pyff.models.gdml import CompositionError, ad
from pyff.models.gdml.ad import DescriptorKernel, PairKernel, fit_force_field
from pyff.models.gdml.ad_operator import ForceOperator
from pyff.models.gdml.ad_potential import ADGDML
from pyff.models.gdml.radial import radial_profile
from pyff.ops.reference.gdml import profile
from pyff.solvers import IterativeSettings
from pyff.testing import check_potential

N = 4
PERMS = torch.tensor([[0, 1, 2, 3], [1, 0, 2, 3]])
MATERN = ops.GdmlKernel(0.7)


def geometries(count: int, seed: int = 0) -> torch.Tensor:
    gen = torch.Generator().manual_seed(seed)
    base = torch.tensor([[0.0, 0, 0], [1.1, 0, 0], [0.3, 1.2, 0], [0.2, 0.4, 1.3]], dtype=torch.float64)
    return base + 0.1 * torch.randn(count, N, 3, dtype=torch.float64, generator=gen)


def described(r):
    """The same as ad.inverse_distances, which the native kernels are not known to compute."""
    return ad.inverse_distances(r)


def matern(r, other):
    return radial_profile((described(r) - described(other)).square().sum(), MATERN)


def polynomial(r, other):
    """Not stationary: a function of a scalar product."""
    return (1.0 + described(r) @ described(other)) ** 3


def matern72(r2):
    """k, -k'/r and (k'' - k'/r)/r^2 of the Matern kernel that is three times differentiable."""
    d = torch.sqrt(7 * r2)
    e = torch.exp(-d)
    return (1 + d + 2 * d**2 / 5 + d**3 / 15) * e, 7 / 15 * (3 + 3 * d + d**2) * e, 49 / 15 * (1 + d) * e


@pytest.mark.parametrize("kernel", [MATERN, ops.GdmlKernel(0.9, "rbf")])
def test_profiles_have_their_derivatives_also_at_zero(kernel):
    r2 = torch.tensor([0.0, 1e-300, 1e-12, 0.3, 4.0], dtype=torch.float64)
    k = lambda x: radial_profile(x, kernel)  # noqa: E731
    value, g1, g2 = profile(r2, kernel)
    torch.testing.assert_close(k(r2), value)
    torch.testing.assert_close(-2 * vmap(grad(k))(r2), g1)
    ones = torch.ones_like(r2)
    torch.testing.assert_close(-2 * jvp(k, (r2,), (ones,))[1], g1)
    torch.testing.assert_close(4 * vmap(grad(grad(k)))(r2), g2)
    torch.testing.assert_close(4 * jvp(vmap(grad(k)), (r2,), (ones,))[1], g2)  # forward over reverse
    with pytest.raises(NotImplementedError, match="differentiated twice"):
        grad(grad(grad(k)))(r2[3])


def test_a_naive_root_would_be_wrong_on_the_diagonal():
    """Why radial_profile exists."""
    r2 = lambda t: t.square().sum()  # noqa: E731
    safe = lambda t: torch.where(r2(t) > 0, r2(t), 1e-30).sqrt()  # noqa: E731

    def naive(t):
        d = 5**0.5 * safe(t) / MATERN.sigma
        return (1 + d + d**2 / 3) * torch.exp(-d)

    zero = torch.zeros(2, dtype=torch.float64)
    want = -5 / (3 * MATERN.sigma**2) * torch.eye(2, dtype=torch.float64)
    hessian = torch.func.hessian
    torch.testing.assert_close(hessian(lambda t: radial_profile(r2(t), MATERN))(zero), want)
    assert not torch.allclose(hessian(naive)(zero), want)


@pytest.mark.parametrize("perms", [None, PERMS])
def test_a_written_out_matern_kernel_is_that_of_sgdml(perms):
    pos, query = geometries(4), geometries(3, seed=1)
    native, pair = DescriptorKernel(ad.inverse_distances, MATERN, perms), PairKernel(matern, perms)
    assert native.is_native and not DescriptorKernel(described, MATERN).is_native
    for other in (pos, query):  # with itself: distances of zero
        want = native.matrix(other, pos)
        torch.testing.assert_close(pair.matrix(other, pos), want, rtol=0, atol=1e-10 * float(want.abs().max()))


@pytest.mark.parametrize("perms", [None, PERMS])
@pytest.mark.parametrize("kernel", [MATERN, ops.GdmlKernel(0.9, "rbf")])
def test_native_and_differentiated_kernels_agree(kernel, perms):
    pos, query = geometries(5), geometries(3, seed=1)
    native, plain = (DescriptorKernel(d, kernel, perms) for d in (ad.inverse_distances, described))
    weights = torch.randn(5, N, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    want = plain.matrix(query, pos)
    torch.testing.assert_close(native.matrix(query, pos), want, rtol=0, atol=1e-10 * float(want.abs().max()))
    for a, b in zip(native.expansion(pos, weights)(query), plain.expansion(pos, weights)(query)):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10 * float(b.abs().max()))


KERNELS = {
    "own profile": DescriptorKernel(described, matern72, PERMS),
    "not stationary": PairKernel(polynomial, PERMS),
    "sum": PairKernel(lambda r, other: matern(r, other) + 0.1 * polynomial(r, other)),
}


@pytest.mark.parametrize("name", KERNELS)
def test_covariances_are_derivatives_of_the_kernel(name):
    """The matrix against finite differences of energies' covariances, products against the matrix."""
    kernel, pos, query = KERNELS[name], geometries(3), geometries(2, seed=1)
    query[1] = pos[0]
    matrix = kernel.matrix(query, pos)
    weights = torch.randn(3, N, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    evaluate, step = kernel.expansion(pos, weights), 1e-5
    _, forces = evaluate(query)
    scale = float(matrix.abs().max())
    torch.testing.assert_close(forces.reshape(-1), matrix @ weights.reshape(-1), rtol=1e-10, atol=1e-10 * scale)
    moves = step * torch.eye(3 * N, dtype=torch.float64).reshape(-1, N, 3)
    for r, force in zip(query, forces):
        slope = (evaluate(r + moves)[0] - evaluate(r - moves)[0]) / (2 * step)
        torch.testing.assert_close(-slope, force.reshape(-1), rtol=1e-6, atol=1e-7 * scale)
    if isinstance(kernel, PairKernel):
        ahead, back = torch.stack([kernel(query[0], pos[2] + s * weights[2]) for s in (step, -step)])
        only = torch.zeros_like(weights)
        only[2] = weights[2]
        assert float(kernel.expansion(pos, only)(query)[0][0]) == pytest.approx(
            -float(ahead - back) / (2 * step), rel=1e-6
        )


@pytest.mark.parametrize("name", KERNELS)
def test_matrices_are_symmetric_and_positive(name):
    pos = geometries(4)
    matrix = KERNELS[name].matrix(pos, pos)
    torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=1e-10 * float(matrix.abs().max()))
    assert float(torch.linalg.eigvalsh(matrix)[0]) > -1e-9 * float(matrix.abs().max())


def spring_labels(pos):
    def energy(r):
        a, b = torch.tril_indices(N, N, -1)
        return (((r[:, a] - r[:, b]).norm(dim=-1) - 1.4) ** 2).sum(1)

    leaf = pos.clone().requires_grad_()
    return energy(pos), -torch.autograd.grad(energy(leaf).sum(), leaf)[0]


@pytest.mark.parametrize("kernel", [KERNELS["own profile"], PairKernel(matern)])
def test_an_iterative_fit_is_the_closed_one(kernel):
    pos, query = geometries(8), geometries(3, seed=5)
    energies, forces = spring_labels(pos)
    closed = fit_force_field(kernel, pos, forces, energies, lam=1e-8)
    settings = IterativeSettings(columns=30, rtol=1e-10)
    free = fit_force_field(kernel, pos, forces, energies, lam=1e-8, iterative=settings)
    for a, b in zip(free.predict(query), closed.predict(query)):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    few = IterativeSettings(columns=1, rtol=1e-10, max_iterations=1)
    with pytest.raises(RuntimeError, match="allow more steps or columns"):
        fit_force_field(kernel, pos, forces, lam=1e-8, iterative=few)


def test_the_operator_is_the_matrix():
    pos, kernel = geometries(4), KERNELS["own profile"]
    K, operator = kernel.matrix(pos, pos), ForceOperator(KERNELS["own profile"], pos)
    indices = torch.tensor([0, 5, 13, 40, 47])
    torch.testing.assert_close(operator.columns(indices), K[:, indices])
    torch.testing.assert_close(operator.diagonal(), K.diagonal())
    v = torch.randn(len(K), dtype=K.dtype, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(operator(v), K @ v, rtol=1e-9, atol=1e-9)


@pytest.fixture(scope="module")
def field():
    pos = geometries(20)
    energies, forces = spring_labels(pos)
    return fit_force_field(DescriptorKernel(described, ops.GdmlKernel(2.0)), pos, forces, energies)


def test_a_force_field_is_a_potential(field):
    check_potential(ADGDML(field, [1, 1, 6, 8], "kcal/mol,Bohr"), [
        System([1, 1, 6, 8], 0.529177 * r.numpy()) for r in geometries(2, seed=3)])  # fmt: skip


def test_a_force_field_works_in_a_calculator_in_its_own_units(field):
    pos = geometries(1, seed=3)
    atoms = Atoms("H2CO", pos[0].numpy(), calculator=pyff.Calculator(ADGDML(field, [1, 1, 6, 8], "kcal/mol,Angstrom")))
    energy, forces = field.predict(pos)
    kcal = pyff.units.ENERGY["kcal/mol"]
    assert atoms.get_potential_energy() == pytest.approx(float(energy) * kcal)
    assert np.allclose(atoms.get_forces(), forces[0] * kcal)


def test_errors_of_potentials_are_sentences(field, tmp_path):
    model = ADGDML(field, [1, 1, 6, 8], "kcal/mol,Angstrom")
    with pytest.raises(ValueError, match="Z must name 4 atoms; received 3"):
        ADGDML(field, [1, 1, 6], "eV,Angstrom")
    with pytest.raises(ModelFileError, match="must be registered"):
        pyff.save(model, tmp_path / "m.safetensors")
    from pyff.data.collate import collate

    with pytest.raises(CompositionError, match="the model is of CH2O"):
        model(collate([System([1, 6, 1, 8], np.eye(4, 3))], model.needs))
