"""Ewald sums and particle-mesh Ewald: literature, closed forms, direct sums, twins, derivatives."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pyff import ops
from pyff.ops import _fourier_sum, reference
from pyff.ops._particle_mesh import mesh_shape
from pyff.units import CODATA_2014

from _twins import derivatives, error  # isort: skip

K = CODATA_2014.coulomb
TILTED = [[6.0, 0.0, 0.0], [1.5, 5.5, 0.0], [-1.0, 1.2, 6.5]]


def double(x):
    return torch.as_tensor(np.asarray(x, float))


def random_ions(n=12, cell=TILTED, seed=0, neutral=True):
    """(pos, cell, batch, charges); half the atoms lie outside the cell."""
    rng = np.random.default_rng(seed)
    charges = rng.normal(size=n)
    charges -= charges.mean() if neutral else 0.0
    fractional = rng.random((n, 3)) + rng.integers(-1, 2, (n, 3))
    return double(fractional @ np.asarray(cell)), double(cell)[None], torch.zeros(n, dtype=torch.int64), double(charges)


def total(system, **options):
    return float(ops.ewald_energy(*system, **options).sum())


def forces(system, **options):
    pos, *rest = system
    pos = pos.clone().requires_grad_()
    return -torch.autograd.grad(ops.ewald_energy(pos, *rest, **options).sum(), pos)[0]


# numbers of the literature

FCC = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2
WURTZITE = np.array([[1, 0, 0], [-0.5, math.sqrt(3) / 2, 0], [0, 0, math.sqrt(8 / 3)]])
# cell, fractional positions, charges, nearest-neighbor distance in units of the lattice constant, Madelung constant
CRYSTALS = {
    "NaCl": (FCC, [[0, 0, 0], [0.5] * 3], [1, -1], 0.5, 1.747564594633182),
    "CsCl": (np.eye(3), [[0, 0, 0], [0.5] * 3], [1, -1], math.sqrt(3) / 2, 1.762674773070988),
    "zincblende": (FCC, [[0, 0, 0], [0.25] * 3], [1, -1], math.sqrt(3) / 4, 1.638055053388790),
    "wurtzite": (
        WURTZITE, [[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, 3 / 8], [2 / 3, 1 / 3, 7 / 8]],
        [1, 1, -1, -1], math.sqrt(3 / 8), 1.641321627370,
    ),
    "fluorite": (FCC, [[0, 0, 0], [0.25] * 3, [0.75] * 3], [2, -1, -1], math.sqrt(3) / 4, 5.038784881746),
}  # fmt: skip


@pytest.mark.parametrize("lattice_constant", [0.7, 5.64, 23.0])
@pytest.mark.parametrize("name", CRYSTALS)
def test_ewald_energy_has_the_madelung_constant(name, lattice_constant):
    cell, fractional, charges, distance, madelung = CRYSTALS[name]
    cell = lattice_constant * np.asarray(cell)
    system = (
        double(fractional @ cell),
        double(cell)[None],
        torch.zeros(len(charges), dtype=torch.int64),
        double(charges),
    )
    formulas = {"wurtzite": 2}.get(name, 1)
    cutoff = 4 * distance * lattice_constant
    energy = total(system, accuracy=1e-11, method="ewald", cutoff=cutoff) / formulas
    assert energy * distance * lattice_constant / -K == pytest.approx(madelung, abs=1e-8)


# a lattice of unit charges in a uniform background, -C k / r_s per charge with V = 4/3 pi r_s^3
WIGNER = {
    "simple cubic": (np.eye(3), 0.880059442112),
    "bcc": (np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2, 0.895929255682),
    "fcc": (FCC, 0.895873615195),
}


@pytest.mark.parametrize("name", WIGNER)
@pytest.mark.parametrize("charge", [1.0, -2.0])
def test_a_charged_cell_has_the_energy_of_a_lattice_in_a_background(name, charge):
    cell, constant = WIGNER[name]
    cell = 4.3 * np.asarray(cell)
    radius = (3 * abs(np.linalg.det(cell)) / (4 * math.pi)) ** (1 / 3)
    system = double([[0.1, 0.2, 0.3]]), double(cell)[None], torch.zeros(1, dtype=torch.int64), double([charge])
    assert total(system, accuracy=1e-11) * radius / K == pytest.approx(-constant * charge**2, abs=1e-9)


# consistency


@pytest.mark.parametrize("neutral", [True, False])
def test_ewald_energy_does_not_depend_on_the_split(neutral):
    system = random_ions(neutral=neutral)
    want, want_forces = total(system, cutoff=9.0, accuracy=1e-11), forces(system, cutoff=9.0, accuracy=1e-11)
    for cutoff in (4.0, 5.5, 7.0, None):
        assert total(system, cutoff=cutoff, accuracy=1e-11) == pytest.approx(want, rel=1e-9)
        assert error(forces(system, cutoff=cutoff, accuracy=1e-11), want_forces) < 1e-9


@pytest.mark.parametrize("accuracy", [1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("options", [{}, {"kind": "damped", "length": 2.0}])
def test_forces_are_as_accurate_as_asked_for(accuracy, options):
    system = random_ions(40, 2.0 * np.asarray(TILTED), seed=3)
    exact = forces(system, accuracy=1e-12, method="ewald", **options)
    for method in ("ewald", "pme", "auto"):
        got = forces(system, accuracy=accuracy, method=method, **options)
        assert float((got - exact).norm() / exact.norm()) < accuracy


@pytest.mark.parametrize("neutral", [True, False])
@pytest.mark.parametrize("length", [1.0, 4.0])
def test_damped_energy_equals_point_charges_less_direct_sums(length, neutral):
    """erf = 1 - erfc, the second by direct summation; its mean in the background is pi length^2 Q / V."""
    system = random_ions(neutral=neutral)
    pos, cell, batch, charges = system
    reach = 6.5 * length
    pairs = ops.neighbor_list(pos, cell, torch.ones(1, 3, dtype=torch.bool), reach, batch=batch)
    direct = reference.coulomb_energy(pos, cell, batch, pairs, charges, kind="erfc", length=length, cutoff=reach)
    background = 0.5 * K * math.pi * length**2 * charges * charges.sum() / torch.linalg.det(cell)
    want = ops.ewald_energy(*system, accuracy=1e-12) - direct + background
    got = ops.ewald_energy(*system, kind="damped", length=length, accuracy=1e-12)
    assert error(got, want) < 1e-9


@pytest.mark.parametrize("options", [
    {"cutoff": 5.0}, {"kind": "damped", "length": 3.0}, {"cutoff": 5.0, "method": "pme"},
])  # fmt: skip
def test_energy_of_a_supercell_is_extensive(options):
    pos, cell, _, charges = random_ions()
    shifts = double([[a, b, c] for a in range(2) for b in range(3) for c in range(1)])
    large = (pos[None] + (shifts @ cell[0])[:, None]).flatten(0, 1)
    batch = torch.zeros(len(large), dtype=torch.int64)
    super_cell = cell * double([2, 3, 1])[:, None]
    one = ops.ewald_energy(pos, cell, batch[:12], charges, accuracy=1e-8, **options)
    many = ops.ewald_energy(large, super_cell, batch, charges.repeat(6), accuracy=1e-8, **options)
    assert error(many.reshape(6, 12), one.expand(6, 12)) < 1e-7


def test_equivalent_cells_have_one_energy():
    pos, cell, batch, charges = random_ions()
    other = double([[1, 0, 0], [2, 1, 0], [-1, 1, 1]]) @ cell  # the same lattice, and left-handed below
    for lattice in (other, other[:, [1, 0, 2]]):
        for options in ({}, {"kind": "damped", "length": 2.0}):
            want = ops.ewald_energy(pos, cell, batch, charges, accuracy=1e-11, **options)
            assert error(ops.ewald_energy(pos, lattice, batch, charges, accuracy=1e-11, **options), want) < 1e-9


@pytest.mark.parametrize("kind, method", [("point", "ewald"), ("damped", "ewald"), ("damped", "pme")])
def test_a_batch_of_systems_equals_its_systems(kind, method):
    systems = [random_ions(7, seed=1), random_ions(5, np.diag([4.0, 9.0, 5.0]), seed=2, neutral=False), random_ions(1)]
    options = {"kind": kind, "method": method} | ({"cutoff": 5.0} if kind == "point" else {"length": 2.0})
    alone = torch.cat([ops.ewald_energy(*s, **options) for s in systems])
    counts = [7, 0, 5, 1]  # one system without atoms
    pos, charges = (torch.cat([s[k] for s in systems]) for k in (0, 3))
    cell = torch.cat([systems[0][1], systems[0][1], systems[1][1], systems[2][1]])
    batch = torch.repeat_interleave(torch.arange(4), torch.tensor(counts))
    assert error(ops.ewald_energy(pos, cell, batch, charges, **options), alone) < 1e-13


@pytest.mark.parametrize("options", [{"cutoff": 5.0}, {"kind": "damped", "length": 2.0}])
def test_ewald_energy_equals_its_twin(options):
    a, b = random_ions(7, seed=1), random_ions(5, np.diag([4.0, 9.0, 5.0]), seed=2, neutral=False)
    batch = torch.repeat_interleave(torch.arange(2), torch.tensor([7, 5]))
    inputs = [torch.cat([a[k], b[k]]) for k in (0, 1, 3)]
    call = lambda fn, **more: lambda p, c, q: fn(p, c, batch, q, accuracy=1e-2, **options, **more)  # noqa: E731
    got = derivatives(call(ops.ewald_energy, method="ewald"), inputs)
    for ours, twins in zip(got, derivatives(call(reference.ewald_energy), inputs)):
        assert all(error(x, y) < 1e-10 for x, y in zip(ours, twins))


# derivatives


@pytest.mark.parametrize("options", [
    {"cutoff": 4.0, "method": "ewald"}, {"cutoff": 4.0, "method": "pme"}, {"kind": "damped", "length": 2.0},
    {"kind": "damped", "length": 2.0, "method": "pme"}, {"kind": "damped", "length": 2.0, "method": "pme", "order": 4},
])  # fmt: skip
def test_ewald_energy_passes_gradcheck_and_gradgradcheck(options):
    """Positions, cell (so: stress) and charges, each atom's energy by itself."""
    pos, cell, batch, charges = random_ions(3, np.asarray(TILTED) * 0.6, neutral=False)
    inputs = [x.requires_grad_() for x in (pos, cell, charges)]
    fn = lambda p, c, q: ops.ewald_energy(p, c, batch, q, accuracy=1e-2, **options)  # noqa: E731
    assert torch.autograd.gradcheck(fn, inputs, eps=1e-5, atol=1e-6, fast_mode=True)
    # the curvature of a cubic spline jumps: finite differences of it are good to the step
    loose = options.get("order") == 4
    assert torch.autograd.gradgradcheck(fn, inputs, eps=1e-5, atol=1e-2 if loose else 1e-5, fast_mode=True)


@pytest.mark.parametrize("options", [{"cutoff": 5.0}, {"kind": "damped", "length": 2.0, "method": "pme"}])
def test_stress_is_the_derivative_by_strain(options):
    pos, cell, batch, charges = random_ions()

    def energy(strain):
        moved, strained = ops.strained(pos, cell, strain[None], batch)
        return ops.ewald_energy(moved, strained, batch, charges, accuracy=1e-9, **options).sum()

    strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad(energy(strain), strain)[0]
    assert float((gradient - gradient.T).abs().max()) < 1e-9 * float(gradient.abs().max())
    for a, b in ((0, 0), (1, 2), (2, 0)):
        step = torch.zeros(3, 3, dtype=torch.float64)
        step[a, b] = 1e-4
        with torch.no_grad():
            slope = (8 * (energy(step) - energy(-step)) - (energy(2 * step) - energy(-2 * step))) / 12e-4
        assert float(gradient[a, b]) == pytest.approx(float(slope), abs=1e-7 * float(gradient.abs().max()))


def test_total_force_vanishes():
    system = random_ions(20)
    for options in ({"cutoff": 6.0}, {"kind": "damped", "length": 2.0}):
        f = forces(system, **options)
        assert float(f.sum(0).abs().max()) < 1e-12 * float(f.abs().max())
    # a mesh breaks translation, by no more than its accuracy
    f = forces(system, kind="damped", length=2.0, method="pme", accuracy=1e-6)
    assert float(f.sum(0).norm() / f.norm()) < 1e-6


def test_recomputed_chunks_of_atoms_change_nothing(monkeypatch):
    pos, cell, batch, charges = random_ions(9)
    fn = lambda p, c, q: ops.ewald_energy(p, c, batch, q, kind="damped", length=1.5, method="ewald")  # noqa: E731
    whole = derivatives(fn, [pos, cell, charges])
    monkeypatch.setattr(_fourier_sum, "CHUNK_BYTES", 1)  # one atom at a time
    chunked = derivatives(fn, [pos, cell, charges])
    for a, b in zip(whole, chunked):
        assert all(error(y, x) < 1e-12 for x, y in zip(a, b))


# the mesh


@pytest.mark.parametrize("order", [4, 6])
@pytest.mark.parametrize("options", [{"cutoff": 6.0}, {"kind": "damped", "length": 3.0}])
def test_mesh_equals_the_sum_over_vectors(order, options):
    system = random_ions(60, 2.0 * np.asarray(TILTED), neutral=False)
    want, got = (forces(system, accuracy=1e-5, method=m, order=order, **options) for m in ("ewald", "pme"))
    assert float((got - want).norm() / want.norm()) < 1e-5
    energies = [ops.ewald_energy(*system, accuracy=1e-5, method=m, order=order, **options) for m in ("ewald", "pme")]
    assert error(energies[1], energies[0]) < 1e-5


@pytest.mark.parametrize("order", [4, 6])
def test_mesh_is_smooth_for_atoms_on_the_cell_boundary(order):
    cell = double(TILTED)
    fractional = double([[0, 0, 0], [1, 1, 1], [0.5, 0, 1], [0, 0.25, -1], [0.3, 0.4, 0.7], [1, 0.5, 0.5]])
    fractional[1, 0] = 0.5  # no two atoms at one place
    charges = double([1, -1, 2, -2, 0.5, -0.5])
    options = {"kind": "damped", "length": 2.0, "accuracy": 1e-5, "order": order}
    at = lambda f: (f @ cell, cell[None], torch.zeros(6, dtype=torch.int64), charges)  # noqa: E731
    there = forces(at(fractional), method="pme", **options)
    want = forces(at(fractional), method="ewald", **options)
    assert float((there - want).norm() / want.norm()) < 1e-5
    for side in (-1e-9, 1e-9):
        assert error(forces(at(fractional + side), method="pme", **options), there) < 1e-7
    elsewhere = forces(at(fractional + double([3, -2, 1])), method="pme", **options)
    assert error(elsewhere, there) < 1e-11


def test_mesh_has_fast_even_sizes_that_are_fine_enough():
    cell = double([[13.1, 0, 0], [1, 29.9, 0], [0, 0, 2.0]])
    assert mesh_shape(cell, 1.0, 6) == (16, 30, 12)
    assert mesh_shape(cell, 0.9, 4) == (16, 36, 8)


def test_auto_takes_the_sum_for_few_atoms_and_the_mesh_for_many(monkeypatch):
    from pyff.ops import ewald

    split = ops.ewald_split(1e-6, length=4.0)
    cell = lambda n: double(np.eye(3) * 3.1 * (n / 3) ** (1 / 3))  # noqa: E731  water
    assert ewald._cheaper(99, cell(99), split, 6) == "ewald"
    assert ewald._cheaper(15000, cell(15000), split, 6) == "pme"


# another program


@pytest.mark.parametrize("kind", ["point", "damped"])
def test_ewald_energy_equals_torch_pme(kind):
    torchpme = pytest.importorskip("torchpme", reason="torch-pme is not installed")
    pos, cell, batch, charges = random_ions(20, 1.5 * np.asarray(TILTED))
    length, cutoff = 2.0, 6.0
    smearing = length / math.sqrt(2) if kind == "damped" else cutoff / 6.5
    pairs = ops.neighbor_list(pos, cell, torch.ones(1, 3, dtype=torch.bool), cutoff, batch=batch)
    _vec, distance = ops.edge_geometry(
        pos, cell, pairs.shift, pairs.row_ptr, pairs.idx_i, pairs.idx_j, pairs.edge_rev, batch
    )
    potential = torchpme.CoulombPotential(smearing=smearing)
    calculator = torchpme.EwaldCalculator(potential, lr_wavelength=smearing / 2, full_neighbor_list=True)
    calculator = calculator.to(torch.float64)
    indices = torch.stack([pairs.idx_i, pairs.idx_j], 1)
    if kind == "damped":  # its reciprocal part alone: no pairs
        indices, distance = indices[:0], distance[:0]
    phi = calculator(charges[:, None], cell[0], pos, indices, distance)[:, 0]
    options = {"kind": kind, "length": length} if kind == "damped" else {"cutoff": cutoff}
    got = ops.ewald_energy(pos, cell, batch, charges, accuracy=1e-10, **options)
    # torch-pme's potential counts every pair once
    assert error(got, K * charges * phi) < 1e-8


# arguments


@pytest.mark.parametrize("change, error_type, message", [
    ({"kind": "gauss"}, ValueError, "kind must be 'point' or 'damped'"),
    ({"kind": "damped"}, ValueError, "length belongs to kind 'damped', which needs it"),
    ({"length": 2.0}, ValueError, "length belongs to kind 'damped'"),
    ({"kind": "damped", "length": -2.0}, ValueError, "length must be positive"),
    ({"cutoff": math.inf}, ValueError, "cutoff must be positive and finite"),
    ({"accuracy": 0.5}, ValueError, "accuracy must lie in"),
    ({"order": 5}, ValueError, "order must be one of"),
    ({"method": "p3m"}, ValueError, "method must be one of auto, ewald, pme"),
    ({"charges": torch.zeros(12)}, TypeError, "charges must be float64"),
    ({"charges": torch.zeros(11, dtype=torch.float64)}, ValueError, "charges must have shape"),
    ({"cell": torch.zeros(1, 3, 3, dtype=torch.float64)}, ValueError, "every cell must span a volume"),
])  # fmt: skip
def test_ewald_energy_names_a_wrong_argument(change, error_type, message):
    arguments = dict(zip(("pos", "cell", "batch", "charges"), random_ions())) | change
    with pytest.raises(error_type, match=message):
        ops.ewald_energy(**arguments)


def test_ewald_split_needs_a_cutoff_or_a_length():
    with pytest.raises(ValueError, match="either cutoff"):
        ops.ewald_split(1e-6)
    with pytest.raises(ValueError, match="either cutoff"):
        ops.ewald_split(1e-6, cutoff=5.0, length=4.0)
