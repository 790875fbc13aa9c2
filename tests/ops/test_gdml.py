"""gdml_product, GdmlExpansion, GdmlCovariance, descriptors: the twin, finite differences, closed forms, hard cases."""

from __future__ import annotations

import copy

import pytest
import torch
from _gdml import random_positions, rotations

from pyff import ops
from pyff.ops import reference

MATERN = ops.GdmlKernel(2.0)
RBF = ops.GdmlKernel(0.7, "rbf")
SKEWED = torch.tensor([[6.0, 0, 0], [2.5, 5.5, 0], [-1.0, 2.0, 6.5]], dtype=torch.float64)


def problem(m: int = 7, n: int = 5, p: int = 3, seed: int = 1) -> dict:
    generator = torch.Generator().manual_seed(seed)
    train, g = ops.inverse_distances(random_positions(m, n, seed))
    return {
        "train": train,
        "g": g,
        "coef": torch.randn(train.shape, generator=generator, dtype=torch.float64),
        "perms": ops.descriptor_permutations(rotations(n, p)),
        "coef_energy": torch.randn(m, generator=generator, dtype=torch.float64),
    }


def expansion(t: dict, kernel=MATERN, energies: bool = True, **settings) -> ops.GdmlExpansion:
    coef_energy = t["coef_energy"] if energies else None
    return ops.GdmlExpansion(t["train"], t["coef"], t["perms"], kernel, coef_energy, **settings)


def assert_close(got, want, scale: float = 1e-12) -> None:
    """Within `scale` of the largest magnitude."""
    for a, b in zip(got, want):
        assert (a is None) == (b is None)
        if a is not None and b.numel():
            torch.testing.assert_close(a, b, rtol=0, atol=scale * max(float(b.abs().max()), 1e-300))


@pytest.fixture(params=[1, 2], ids=["one_thread", "two_threads"])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


# queries, points, atoms, permutations: remainders of rows, of blocks and of descriptor entries; more rows than a group
SIZES = [
    (1, 1, 2, 1),
    (1, 17, 3, 1),
    (2, 16, 3, 2),
    (1, 33, 5, 3),
    (5, 40, 5, 5),
    (3, 9, 6, 6),
    (9, 270, 9, 4),
    (5, 280, 12, 12),
    (1, 40, 7, 100),
    (7, 65, 4, 1),
    (0, 5, 4, 2),
]


@pytest.mark.parametrize("kernel", [MATERN, RBF])
@pytest.mark.parametrize("energies", [False, True])
@pytest.mark.parametrize(("b", "m", "n", "p"), SIZES)
def test_product_equals_twin(b, m, n, p, energies, kernel, threads):
    t = problem(m, n, p)
    query = ops.inverse_distances(random_positions(b, n, seed=5))[0]
    args = (query, t["train"], t["coef"], t["perms"], kernel, t["coef_energy"] if energies else None)
    assert_close(ops.gdml_product(*args), reference.gdml_product(*args))


@pytest.mark.parametrize(("b", "m", "n", "p"), SIZES)
@pytest.mark.parametrize("images", [None, "search", "round"])
def test_prediction_equals_twin(b, m, n, p, images, threads):
    t, pos = problem(m, n, p), random_positions(b, n, seed=5, spread=2.0)
    cell = None if images is None else SKEWED
    model = expansion(t, constant=-2.0)
    x, g = reference.inverse_distances(pos, cell, images or "search")
    f, energy = reference.gdml_product(x, t["train"], t["coef"], t["perms"], MATERN, t["coef_energy"])
    virial = torch.einsum("bd,bdi,bdj->bij", f / x**3, g, g)
    want = (energy - 2.0, reference.jacobian_transpose_product(g, f), virial)
    assert_close(model.predict(pos, cell, images=images or "search", virial=True), want)


@pytest.mark.parametrize("b", [1, 40])
def test_prediction_is_the_same_bits_every_time(b, threads):
    model, pos = expansion(problem(500, 9, 6)), random_positions(b, 9, seed=5)
    first, second = model.predict(pos), model.predict(pos)
    assert all(torch.equal(x, y) for x, y in zip(first[:2], second[:2]))


@pytest.mark.parametrize("b", [1, 2, 3, 40])
def test_prediction_does_not_depend_on_the_number_of_threads(b):
    model, pos = expansion(problem(500, 9, 6)), random_positions(b, 9, seed=5)
    before = torch.get_num_threads()
    results = []
    for count in (1, 2, 5):
        torch.set_num_threads(count)
        results.append(model.predict(pos, virial=True))
    torch.set_num_threads(before)
    for result in results[1:]:
        assert_close(result, results[0], 1e-13)


def test_prediction_on_a_training_point_is_finite_and_equals_the_twin():
    t = problem(1, 4, 1)
    got = ops.gdml_product(t["train"], t["train"], t["coef"], t["perms"], MATERN, t["coef_energy"])
    want = reference.gdml_product(t["train"], t["train"], t["coef"], t["perms"], MATERN, t["coef_energy"])
    assert_close(got, want)
    assert torch.allclose(got[0], -5 / (3 * MATERN.sigma**2) * t["coef"], rtol=1e-12)  # f = -g1(0) a
    torch.testing.assert_close(got[1], t["coef_energy"], rtol=1e-12, atol=0)  # E = c k(0)


def test_far_query_feels_nothing():
    t = problem(5, 4, 2)
    f, energy = ops.gdml_product(t["train"] + 1e5, t["train"], t["coef"], t["perms"], MATERN)
    assert float(f.abs().max()) < 1e-280
    assert float(energy.abs().max()) < 1e-280


def test_expansion_without_training_points_is_its_constant():
    t = problem(0, 4, 2)
    energy, forces, _ = expansion(t, constant=1.5).predict(random_positions(3, 4))
    assert torch.equal(energy, torch.full((3,), 1.5, dtype=torch.float64))
    assert torch.equal(forces, torch.zeros(3, 4, 3, dtype=torch.float64))


@pytest.mark.parametrize("cell", [None, SKEWED, 20 * torch.eye(3, dtype=torch.float64)])
@pytest.mark.parametrize("images", ["search", "round"])
def test_descriptors_equal_twin(cell, images):
    pos = random_positions(4, 7, spread=3.0)
    assert_close(ops.inverse_distances(pos, cell, images), reference.inverse_distances(pos, cell, images))


def test_searched_images_are_the_nearest_of_125():
    pos = random_positions(5, 6, spread=4.0)
    x = ops.inverse_distances(pos, SKEWED)[0]
    a, b = torch.tril_indices(6, 6, -1)
    steps = torch.arange(-6.0, 7.0, dtype=torch.float64)
    shifts = torch.cartesian_prod(steps, steps, steps) @ SKEWED
    distances = (pos[:, a, None] - pos[:, b, None] + shifts).norm(dim=-1).amin(-1)
    torch.testing.assert_close(1 / x, distances, rtol=1e-12, atol=0)
    assert bool((ops.inverse_distances(pos, SKEWED, "round")[0] < 0.999 * x).any())  # rounding misses some


def test_jacobian_products_equal_twins_and_are_transposes():
    pos = random_positions(3, 6)
    g = ops.inverse_distances(pos)[1]
    v = torch.randn(pos.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    u = torch.randn(g.shape[:2], generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    jv, jtu = ops.jacobian_product(g, v), ops.jacobian_transpose_product(g, u)
    assert_close([jv, jtu], [reference.jacobian_product(g, v), reference.jacobian_transpose_product(g, u)])
    torch.testing.assert_close((jv * u).sum(), (jtu * v).sum(), rtol=1e-12, atol=0)


def test_jacobian_product_is_the_directional_derivative():
    pos = random_positions(1, 6)
    v = torch.randn(pos.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    g = ops.inverse_distances(pos)[1]
    step = 1e-5
    slope = (ops.inverse_distances(pos + step * v)[0] - ops.inverse_distances(pos - step * v)[0]) / (2 * step)
    torch.testing.assert_close(ops.jacobian_product(g, v), slope, rtol=1e-8, atol=1e-9)


def test_strided_input_equals_contiguous_input():
    t, pos = problem(), random_positions(4, 5)
    wide = torch.stack([pos, pos], -1)[..., 0]
    assert not wide.is_contiguous()
    for got, want in zip(expansion(t).predict(wide), expansion(t).predict(pos)):
        assert got is want is None or torch.equal(got, want)
    turned = t | {"coef": t["coef"].T.contiguous().T, "train": t["train"].T.contiguous().T}
    assert torch.equal(expansion(turned).predict(pos)[1], expansion(t).predict(pos)[1])


def test_copied_expansion_uses_its_own_memory():
    model, pos = expansion(problem()), random_positions(2, 5)
    before = model.predict(pos)[1]
    other = copy.deepcopy(model)
    assert other._packed.args[-3:] != model._packed.args[-3:]
    model._packed._packed.zero_()
    assert torch.equal(other.predict(pos)[1], before)
    assert not torch.equal(model.predict(pos)[1], before)


def test_expansion_keeps_copies():
    t, pos = problem(), random_positions(2, 5)
    model = expansion(t)
    before = model.predict(pos)[1]
    for name in ("train", "coef", "coef_energy", "perms"):
        t[name].zero_()
    assert torch.equal(model.predict(pos)[1], before)


ERRORS = [
    (lambda t, m: m.predict(torch.zeros(2, 5, 3)), TypeError, "pos must be float64"),
    (lambda t, m: m.predict(random_positions(2, 4)), ValueError, r"pos must have shape \(any, 5, 3\)"),
    (lambda t, m: m.predict(random_positions(2, 5), SKEWED[:2]), ValueError, r"cell must have shape \(3, 3\)"),
    (lambda t, m: m.predict(random_positions(2, 5), SKEWED.repeat(3, 1, 1)), ValueError, r"cell must have shape \(2"),
    (lambda t, m: m.predict(random_positions(2, 5), 0 * SKEWED), ValueError, "received a singular cell"),
    (lambda t, m: m.predict(random_positions(2, 5), SKEWED, images="all"), ValueError, "search or round"),
    (lambda t, m: m.product(t["train"][:, :9]), ValueError, "query must have shape"),
    (lambda t, m: expansion(t | {"coef": t["coef"][1:]}), ValueError, "coef must have shape"),
    (lambda t, m: expansion(t | {"perms": t["perms"] + 1}), ValueError, "each entry 0..9 once per row"),
    (lambda t, m: expansion(t | {"perms": t["perms"][:0]}), ValueError, "at least one row"),
    (lambda t, m: ops.inverse_distances(random_positions(1, 3), 0 * SKEWED), ValueError, "received a singular cell"),
    (lambda t, m: ops.inverse_distances(random_positions(1, 3), SKEWED, "all"), ValueError, "search or round"),
    (lambda t, m: ops.jacobian_transpose_product(t["g"][:, :9], t["coef"][:, :9]), ValueError, "one entry per pair"),
    (lambda t, m: ops.GdmlKernel(0.0), ValueError, "sigma must be a positive number"),
    (lambda t, m: ops.GdmlKernel(1.0, "cubic"), ValueError, "matern52, rbf"),
]  # fmt: skip


@pytest.mark.parametrize("k", range(len(ERRORS)))
def test_wrong_input_is_named(k):
    t = problem()
    act, kind, words = ERRORS[k]
    with pytest.raises(kind, match=words):
        act(t, expansion(t))


def strained_energy(model, pos, cell, strain):
    deform = torch.eye(3, dtype=torch.float64) + strain
    return model.predict(pos @ deform, None if cell is None else cell @ deform)[0]


@pytest.mark.parametrize("kernel", [MATERN, RBF])
@pytest.mark.parametrize("energies", [False, True])
def test_forces_are_the_negative_gradient_of_the_energy(kernel, energies):
    model, pos = expansion(problem(), kernel, energies, constant=3.0), random_positions(2, 5, seed=9)
    forces = model.predict(pos)[1]
    step = 1e-4
    for atom, axis in ((0, 0), (4, 2)):
        shift = torch.zeros_like(pos)
        shift[:, atom, axis] = step
        slope = (model.predict(pos + shift)[0] - model.predict(pos - shift)[0]) / (2 * step)
        torch.testing.assert_close(-slope, forces[:, atom, axis], rtol=1e-6, atol=1e-6 * float(forces.abs().max()))


@pytest.mark.parametrize("cell", [None, SKEWED])
def test_virial_is_the_derivative_by_strain(cell):
    model, pos = expansion(problem()), random_positions(2, 5, seed=9)
    virial = model.predict(pos, cell, virial=True)[2]
    step = 1e-5
    for i, j in ((0, 0), (1, 2)):
        strain = torch.zeros(3, 3, dtype=torch.float64)
        strain[i, j] = step
        slope = strained_energy(model, pos, cell, strain) - strained_energy(model, pos, cell, -strain)
        torch.testing.assert_close(slope / (2 * step), virial[:, i, j], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(virial, virial.mT)


def test_predictions_are_those_of_each_cell():
    model, pos = expansion(problem()), random_positions(2, 5, seed=9)
    cells = torch.stack([SKEWED, 1.1 * SKEWED])
    together = model.predict(pos, cells, virial=True)
    for k in range(2):
        for got, want in zip(together, model.predict(pos[k : k + 1], cells[k], virial=True)):
            torch.testing.assert_close(got[k], want[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kernel", [MATERN, RBF])
@pytest.mark.parametrize("energies", [False, True])
def test_covariance_is_the_matrix(kernel, energies):
    t = problem()
    covariance = ops.GdmlCovariance(t["train"], t["g"], t["perms"], kernel, energies=energies)
    matrix = reference.gdml_matrix(t["train"], t["g"], t["train"], t["g"], t["perms"], kernel, energies)
    v = torch.randn(covariance.size, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    want = matrix @ v
    torch.testing.assert_close(covariance(v), want, rtol=0, atol=1e-12 * float(want.abs().max()))
