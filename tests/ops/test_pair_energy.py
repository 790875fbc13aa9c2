"""zbl_energy, coulomb_energy, dispersion_energy: twins, derivatives, limits, smoothness, hard cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from _graphs import graph_batch, random_crystal, random_molecule

from pyff import ops
from pyff.batch import PairList, System
from pyff.data.long_range import long_range_pairs
from pyff.ops import reference
from pyff.units import CODATA_2014

from _twins import assert_equals_twin, strided  # isort: skip

K = CODATA_2014.coulomb
CUTOFF = 6.0  # of the lists below, more than half of every box
GIVEN = {
    "mixed": [random_molecule(5), random_crystal(6, 4.0), random_molecule(1)],
    "one_atom": [random_molecule(1)],
    "isolated": [([8, 1, 1], np.diag([30.0, 60.0, 90.0]), np.zeros((3, 3)), False)],
    "nothing": [([], np.zeros((0, 3)), np.zeros((3, 3)), False)],
}
BATCHES = {name: graph_batch(given, CUTOFF) for name, given in GIVEN.items()}
ZBL = [torch.tensor(x, dtype=torch.float64) for x in ([3.2, 0.94, 0.4, 0.2], [0.18, 0.51, 0.28, 0.03], 0.23, 2.13)]
COULOMB = {
    "point": {"kind": "point"},
    "point_cut": {"kind": "point", "cutoff": 5.5},
    "damped": {"kind": "damped", "length": 4.0},
    "damped_cut": {"kind": "damped", "length": 4.0, "cutoff": 5.5},
    "damped_short_cut": {"kind": "damped", "length": 0.8, "cutoff": 5.5},
    "softened": {"kind": "softened", "length": 5.0},
    "softened_cut": {"kind": "softened", "length": 5.0, "cutoff": 5.5},
    "erfc_cut": {"kind": "erfc", "length": 1.5, "cutoff": 5.5},
}
DISPERSION = {"dispersion": {}, "dispersion_cut": {"cutoff": 5.5, "width": 2.5, "scale": 1.1}}
REPULSION = {
    "zbl": {"cutoff": ops.Cutoff("cosine", 5.0)},
    "zbl_longer": {"cutoff": ops.Cutoff("mollifier", 5.0), "end": 3.5},
    "zbl_open": {"cutoff": ops.Cutoff("mollifier", 5.5), "end": None},
}
LAWS = [*COULOMB, *DISPERSION, *REPULSION]


def atom_tensors(name: str, n: int) -> list[torch.Tensor]:
    """Differentiable inputs of a law beyond pos and cell."""
    g = torch.Generator().manual_seed(3)
    if name in COULOMB:
        return [torch.randn(n, generator=g, dtype=torch.float64)]
    if name in DISPERSION:
        return [low + low * torch.rand(n, generator=g, dtype=torch.float64) for low in (5.0, 20.0)]
    return ZBL


def energy(module, name: str, b, pairs=None):
    """Law `name` of pyff.ops or its reference as a function of its differentiable tensors."""
    pairs = b if pairs is None else pairs
    if name in COULOMB:
        return lambda pos, cell, q: module.coulomb_energy(pos, cell, b.batch, pairs, q, **COULOMB[name])
    if name in DISPERSION:
        return lambda pos, cell, *x: module.dispersion_energy(pos, cell, b.batch, pairs, *x, **DISPERSION[name])
    return lambda pos, cell, *x: module.zbl_energy(pos, cell, b.batch, pairs, b.Z, *x, **REPULSION[name])


def inputs(name: str, b) -> list[torch.Tensor]:
    return [b.pos, b.cell, *atom_tensors(name, b.n_atoms)]


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", LAWS)
def test_pair_energy_equals_twin(name, batch):
    b = BATCHES[batch]
    assert_equals_twin(energy(ops, name, b), energy(reference, name, b), inputs(name, b))


@pytest.mark.parametrize("name", LAWS)
def test_pair_energy_passes_gradcheck_and_gradgradcheck(name):
    b = graph_batch([random_molecule(2, 5, 0.6), random_crystal(1, 4.3, 2)], CUTOFF)
    x = [t.clone().requires_grad_() for t in inputs(name, b)]
    assert torch.autograd.gradcheck(energy(ops, name, b), x, atol=1e-5)
    assert torch.autograd.gradgradcheck(energy(ops, name, b), x, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("name", ["damped_cut", "dispersion_cut", "zbl"])
def test_pair_energy_registered_op_passes_opcheck(name):
    b = graph_batch([random_molecule(3), random_crystal(2, 3.5)], CUTOFF)
    args = registered_arguments(name, b)
    torch.library.opcheck(torch.ops.pyff.pair_energy.default, args)


def registered_arguments(name: str, b):
    """What the public function hands to the op."""
    from pyff.ops import pair_energy

    seen = []
    original, pair_energy._op = pair_energy._op, lambda *args: seen.append(args)
    try:
        energy(ops, name, b)(*(x.clone().requires_grad_() for x in inputs(name, b)))
    finally:
        pair_energy._op = original
    return tuple(
        x.detach().requires_grad_(x.requires_grad) if isinstance(x, torch.Tensor) else x for x in seen[0]
    )  # fmt: skip


@pytest.mark.parametrize("name", ["damped_cut", "dispersion_cut", "zbl"])
def test_pair_energy_compiled_equals_eager(name):
    b = BATCHES["mixed"]
    x = [t.clone().requires_grad_() for t in inputs(name, b)]
    call = energy(ops, name, b)
    compiled = torch.compile(call, backend="aot_eager", fullgraph=True)
    assert torch.equal(call(*x), compiled(*x))
    for a, c in zip(torch.autograd.grad(call(*x).sum(), x), torch.autograd.grad(compiled(*x).sum(), x)):
        torch.testing.assert_close(a, c, rtol=1e-14, atol=1e-14)


def dimer(distance: float, Z=(1, 1)):
    """Two atoms, their positions as a leaf, and all pairs."""
    pos = torch.tensor([[0.0, 0, 0], [distance * 0.6, distance * 0.8, 0]], dtype=torch.float64, requires_grad=True)
    pairs = long_range_pairs([System(np.array(Z), pos.detach().numpy())], math.inf)
    return pos, torch.zeros(1, 3, 3, dtype=torch.float64), torch.zeros(2, dtype=torch.int64), pairs


def total_and_pull(call, distance: float) -> tuple[float, float]:
    """Energy of a dimer and its derivative along the distance."""
    pos, *rest = dimer(distance)
    total = call(pos, *rest).sum()
    grad = torch.autograd.grad(total, pos)[0]
    return total.item(), float(grad[1] @ torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64))


Q = torch.tensor([0.7, -0.4], dtype=torch.float64)


def coulomb(**options):
    return lambda *args: ops.coulomb_energy(*args, Q, **options)


def dispersion(alpha, c6, **options):
    both = lambda x: torch.full((2,), x, dtype=torch.float64)  # noqa: E731
    return lambda *args: ops.dispersion_energy(*args, both(alpha), both(c6), **options)


def repulsion(**options):
    return lambda *args: ops.zbl_energy(*args, torch.tensor([1, 1]), *ZBL, **options)


@pytest.mark.parametrize("distance", [0.3, 1.0, 3.9, 4.1, 30.0])
def test_coulomb_energies_of_two_charges_by_hand(distance):
    k, x = K * 0.7 * -0.4, distance / 4
    point = total_and_pull(coulomb(kind="point"), distance)
    assert point == pytest.approx((k / distance, -k / distance**2), rel=1e-14)
    damped = total_and_pull(coulomb(kind="damped", length=4.0), distance)
    assert damped[0] == pytest.approx(k * math.erf(x) / distance, rel=1e-14)
    screened = total_and_pull(coulomb(kind="erfc", length=4.0), distance)
    assert screened[0] == pytest.approx(k * math.erfc(x) / distance, rel=1e-13)
    assert damped[0] + screened[0] == pytest.approx(point[0], rel=1e-14)
    assert damped[1] + screened[1] == pytest.approx(point[1], rel=1e-13)


def test_damped_coulomb_energy_becomes_coulombs_law_far_away():
    for distance in (25.0, 100.0, 1000.0):
        got = total_and_pull(coulomb(kind="damped", length=4.0), distance)
        assert got == pytest.approx(total_and_pull(coulomb(kind="point"), distance), rel=1e-14)


def test_damped_coulomb_energy_is_finite_where_atoms_meet():
    """2 k q q / (sqrt(pi) sigma) at r = 0, with no force."""
    value, pull = total_and_pull(coulomb(kind="damped", length=4.0), 0.0)
    assert value == pytest.approx(K * 0.7 * -0.4 * 2 / (math.sqrt(math.pi) * 4.0), rel=1e-14) and pull == 0.0
    value, pull = total_and_pull(coulomb(kind="damped", length=4.0), 1e-7)
    assert pull == pytest.approx(-K * 0.7 * -0.4 * 4e-7 / (3 * math.sqrt(math.pi) * 4.0**3), rel=1e-12)


def test_softened_coulomb_energy_by_hand():
    """Soft below length / 4, Coulomb's law beyond 3 length / 4; with a cutoff the formulas of SpookyNet."""
    k, R = K * 0.7 * -0.4, 9.0
    call, cut = coulomb(kind="softened", length=4.0), coulomb(kind="softened", length=4.0, cutoff=R)
    assert total_and_pull(call, 0.8)[0] == pytest.approx(k / math.sqrt(1.64), rel=1e-14)
    assert total_and_pull(call, 5.0)[0] == pytest.approx(k / 5, rel=1e-14)
    assert total_and_pull(cut, 5.0)[0] == pytest.approx(k * (1 / 5 + 5 / R**2 - 2 / R), rel=1e-13)
    root = math.sqrt(R**2 + 1)
    soft = 1 / math.sqrt(1.64) + 0.8 * R / root**3 - (2 * R**2 + 1) / root**3
    assert total_and_pull(cut, 0.8)[0] == pytest.approx(k * soft, rel=1e-13)


def test_dispersion_energy_far_away_is_minus_c6_over_r6():
    """C8 and C10 corrections fall off as r^-2; p^6 as r^-6."""
    alpha, c6 = 5.4, 15.6
    for distance in (100.0, 1000.0):
        rho = distance / CODATA_2014.bohr
        got = total_and_pull(dispersion(alpha, c6), distance)
        wanted = -CODATA_2014.hartree * c6 / rho**6
        assert got == pytest.approx((wanted, -6 * wanted / distance), rel=30 / rho**2)
        assert abs(got[0] / wanted - 1) > 1 / rho**2, "C8 must be there"


def test_dispersion_energy_of_two_like_atoms_by_hand():
    alpha, c6, rho = 7.4, 24.2, 6.0
    R = 0.007297352566206496 ** (-4 / 21) * alpha ** (1 / 7)
    s = -0.00433008 + 0.24428889 * R + 0.04125273 * R**2 - 0.00078893 * R**3
    gamma, p = 1 / (2 * s**2), 1.2 * 2 * 2.54 * alpha ** (1 / 7)
    terms = ((6, c6), (8, 5 * c6 / gamma), (10, 245 / 8 * c6 / gamma**2))
    wanted = -27.211386024367243 * sum(c / (rho**n + p**n) for n, c in terms)
    assert total_and_pull(dispersion(alpha, c6), rho * 0.5291772105638411)[0] == pytest.approx(wanted, rel=1e-14)


def test_zbl_energy_of_close_nuclei_is_coulombs_law():
    """k Z Z / r times the sum of the weights, to first order in the screening."""
    call = repulsion(cutoff=ops.Cutoff("cosine", 5.0), end=None)
    for distance in (1e-3, 1e-5):
        value, _ = total_and_pull(call, distance)
        assert value * distance / K == pytest.approx(float(ZBL[1].sum()), rel=20 * distance)


def test_zbl_energy_of_two_atoms_by_hand():
    r, (a, c, power, inverse) = 0.9, (x.tolist() for x in ZBL)
    screening = sum(w * math.exp(-x * r * inverse * 2 * 1**power) for x, w in zip(a, c))
    s = lambda x: math.exp(-1 / x)  # noqa: E731
    x = r / 1.5
    wanted = K / r * screening * 0.5 * (1 + math.cos(math.pi * r / 5)) * s(1 - x) / (s(1 - x) + s(x))
    assert total_and_pull(repulsion(cutoff=ops.Cutoff("cosine", 5.0)), r)[0] == pytest.approx(wanted, rel=1e-14)


SEAMS = {
    "damped_switch": (coulomb(kind="damped", length=4.0, cutoff=10.0), 4.5),
    "damped_cutoff": (coulomb(kind="damped", length=4.0, cutoff=10.0), 10.0),
    "damped_expansions": (coulomb(kind="damped", length=4.0), 4.0),
    "erfc_expansions": (coulomb(kind="erfc", length=4.0), 4.0),
    "point_cutoff": (coulomb(kind="point", cutoff=10.0), 10.0),
    "softened_begins": (coulomb(kind="softened", length=4.0), 1.0),
    "softened_ends": (coulomb(kind="softened", length=4.0), 3.0),
    "softened_cutoff": (coulomb(kind="softened", length=4.0, cutoff=10.0), 10.0),
    "dispersion_switch": (dispersion(12.0, 46.6, cutoff=8.0), 6.0),
    "dispersion_cutoff": (dispersion(12.0, 46.6, cutoff=8.0), 8.0),
    "zbl_end": (repulsion(cutoff=ops.Cutoff("cosine", 5.0)), 1.5),
    "zbl_cutoff": (repulsion(cutoff=ops.Cutoff("mollifier", 5.0), end=None), 5.0),
}


@pytest.mark.parametrize("seam", SEAMS)
def test_pair_energy_is_smooth_at(seam):
    """Value and slope on both sides of a seam differ by no more than the distance between them explains."""
    call, where = SEAMS[seam]
    previous = None
    for step in (1e-3, 1e-5, 1e-7):
        (a, da), (b, db) = (total_and_pull(call, where + s * step) for s in (-1, 1))
        middle = 0.5 * (da + db)
        assert abs(b - a - 2 * step * middle) < 4 * step**2 + 1e-14, "value jumps"
        jump = abs(db - da)
        assert jump < 20 * step + 1e-13, "slope jumps"
        previous = jump if previous is None else min(previous, jump)
    assert previous < 1e-6


@pytest.mark.parametrize(
    "name", ["point_cut", "damped_cut", "softened_cut", "erfc_cut", "dispersion_cut", "zbl_longer"]
)
def test_pair_energy_beyond_its_cutoff_is_exactly_zero(name):
    given = [([6, 8], np.array([[0.0, 0, 0], [5.5, 0, 0]]), np.zeros((3, 3)), False)]
    b = graph_batch(given, CUTOFF)
    assert b.n_edges == 2
    x = [t.clone().requires_grad_() for t in inputs(name, b)]
    value = energy(ops, name, b)(*x)
    assert not value.any()
    for grad in torch.autograd.grad(value.sum(), x, materialize_grads=True):
        assert not grad.any()


@pytest.mark.parametrize("name", LAWS)
def test_pair_energy_of_a_supercell_is_a_multiple_of_the_cells(name):
    Z, pos, cell, _ = random_crystal(4, 3.4, 7)
    shifts = np.stack(np.meshgrid(*[np.arange(n) for n in (2, 1, 3)], indexing="ij"), -1).reshape(-1, 3)
    big = (np.tile(Z, 6), (shifts[:, None] @ cell + pos).reshape(-1, 3), cell * np.array([[2], [1], [3]]), True)
    small, large = (graph_batch([x], CUTOFF) for x in ((Z, pos, cell, True), big))
    x = atom_tensors(name, 4)
    tiled = x if name in REPULSION else [t.repeat(6) for t in x]
    one = energy(ops, name, small)(small.pos, small.cell, *x)
    six = energy(ops, name, large)(large.pos, large.cell, *tiled)
    torch.testing.assert_close(six, one.repeat(6), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", LAWS)
def test_pair_energy_does_not_depend_on_threads(name):
    rng = np.random.default_rng(0)
    b = graph_batch([(rng.choice([1, 6, 8], 90), rng.random((90, 3)) * 9, np.eye(3) * 9, True)], 5.5)
    x = [t.clone().requires_grad_() for t in inputs(name, b)]

    def everything():
        value = energy(ops, name, b)(*x)
        first = torch.autograd.grad(value.square().sum(), x, create_graph=True)
        return [value, *first, *torch.autograd.grad(sum(g.square().sum() for g in first), x)]

    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(everything())
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        for a, c in zip(results[0], other):
            torch.testing.assert_close(a, c, rtol=1e-13, atol=1e-13)  # torch's own sums use the threads
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][0], results[2][0])


@pytest.mark.parametrize("name", LAWS)
def test_pair_energy_net_force_is_zero(name):
    b = BATCHES["mixed"]
    x = inputs(name, b)
    pos = x[0].clone().requires_grad_()
    force = torch.autograd.grad(energy(ops, name, b)(pos, *x[1:]).sum(), pos)[0]
    assert force.abs().max() > 1e-3
    assert torch.zeros(3, 3).double().index_add(0, b.batch, force).abs().max() < 1e-12 * force.abs().max()


@pytest.mark.parametrize("name", LAWS)
def test_pair_energy_of_a_huge_row_equals_twin(name):
    """A list of two atoms with 700 images each: several tiles a row."""
    Z, pos, cell, _ = random_crystal(2, 1.3, 3)
    b = graph_batch([(Z, pos, cell, True)], CUTOFF)
    assert b.n_edges > 700
    assert_equals_twin(energy(ops, name, b), energy(reference, name, b), inputs(name, b))


@pytest.mark.parametrize("name", LAWS)
def test_pair_energy_accepts_non_contiguous_tensors(name):
    b = BATCHES["mixed"]
    pairs = PairList(*map(strided, (b.row_ptr, b.idx_j, b.shift)))
    x = inputs(name, b)
    loose = [strided(t) if t.dim() else t for t in x]
    assert torch.equal(energy(ops, name, b)(*x), energy(ops, name, b, pairs)(*loose))


@pytest.mark.parametrize("kind", ["damped", "dispersion", "zbl"])
def test_pair_energy_names_what_is_wrong(kind):
    b = BATCHES["mixed"]
    name = {"damped": "damped_cut", "dispersion": "dispersion_cut", "zbl": "zbl"}[kind]
    pos, cell, *x = inputs(name, b)
    call = energy(ops, name, b)
    with pytest.raises(TypeError, match="pos must be float64"):
        call(pos.float(), cell, *x)
    with pytest.raises(ValueError, match=r"cell must have shape \(any, 3, 3\)"):
        call(pos, cell[0], *x)
    with pytest.raises(TypeError, match="pairs must be a PairList or a graph's edges; received str"):
        energy(ops, name, b, "pairs")(pos, cell, *x)
    short = PairList(b.row_ptr, b.idx_j[:-1], b.shift[:-1])
    with pytest.raises(ValueError, match="row_ptr must start at 0 and end at the number of pairs"):
        energy(ops, name, b, short)(pos, cell, *x)
    with pytest.raises(TypeError, match="must be float64"):
        call(pos, cell, x[0].float(), *x[1:])


def test_pair_energy_refuses_impossible_options():
    b = BATCHES["mixed"]
    q, args = atom_tensors("damped", b.n_atoms)[0], (b.pos, b.cell, b.batch, b)
    with pytest.raises(ValueError, match="kind must be one of point, damped, erfc, softened; received 'yukawa'"):
        ops.coulomb_energy(*args, q, kind="yukawa")
    for wrong in ({"length": 0.0}, {"cutoff": -1.0}, {"cutoff": math.inf}):
        with pytest.raises(ValueError, match="must be a positive number; received"):
            ops.coulomb_energy(*args, q, **wrong)
    with pytest.raises(ValueError, match=r"width must be at most the cutoff, 5\.0 A; received 6\.0"):
        ops.dispersion_energy(*args, q, q, cutoff=5.0, width=6.0)
    with pytest.raises(ValueError, match=r"charges must have shape \(12\)"):
        ops.coulomb_energy(*args, q[:-1])
    with pytest.raises(ValueError, match=r"weights must have shape \(4\)"):
        ops.zbl_energy(*args, b.Z, ZBL[0], ZBL[0][:3], *ZBL[2:], cutoff=ops.Cutoff("cosine", 5.0))
