"""Physics terms in a model: published energies, forces, stress, smoothness, hard cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from pydantic import BaseModel

from pyff import ops
from pyff.batch import Geometry, Needs, System
from pyff.data.collate import collate
from pyff.models.base import AtomOutputs, EnergyModel
from pyff.models.terms import ZBL, Dispersion, Electrostatics, free_atoms
from pyff.testing import check_potential

CUTOFF, LONG = 3.0, 6.5
WATER = System(Z=[8, 1, 1], pos=[[0, 0, 0.1173], [0, 0.7572, -0.4692], [0, -0.7572, -0.4692]])
# trained by SO3LR, before softplus: exponents, weights, power, inverse length (single precision)
SO3LR_ZBL = {
    "exponents": [0.6754130125045776, 0.4656674265861511, -0.5491811633110046, -1.3174495697021484],
    "weights": [-1.511547565460205, -0.27539169788360596, -1.2422773838043213, -3.708636999130249],
    "power": -1.233385682106018,
    "inverse_length": 2.133786916732788,
}


def geometry(batch) -> Geometry:
    graph = (batch.shift, batch.row_ptr, batch.idx_i, batch.idx_j, batch.edge_rev, batch.batch)
    return Geometry(batch.pos, batch.cell, *ops.edge_geometry(batch.pos, batch.cell, *graph))


def energy(term, systems, *atoms, long_range_cutoff=math.inf):
    """Energy of each atom of the systems."""
    batch = collate(systems, Needs(4.5, long_range_cutoff))
    return term(batch, geometry(batch), *(torch.as_tensor(x, dtype=torch.float64) for x in atoms))


def test_terms_of_water_equal_those_of_so3lr():
    """The charges and ratios are rounded to six digits, and so are the energies that they give."""
    charge, ratio = [-0.674006, 0.337003, 0.337003], [0.941623, 0.609045, 0.609045]
    assert float(energy(Electrostatics(), [WATER], charge).sum()) == pytest.approx(-1.3704583, abs=4e-6)
    assert float(energy(Dispersion(), [WATER], ratio).sum()) == pytest.approx(-0.0030785, abs=2e-7)


def test_zbl_of_water_equals_that_of_so3lr():
    term = ZBL(ops.Cutoff("polynomial3", 4.5))
    with torch.no_grad():
        for name, value in SO3LR_ZBL.items():
            getattr(term, name).copy_(torch.tensor(value))
    assert energy(term, [WATER]).sum().item() == pytest.approx(1.3255705, abs=6e-8)
    a, c, power, inverse = (x.detach().numpy() for x in term.coefficients())
    np.testing.assert_allclose(a, [1.0868, 0.9529, 0.4558, 0.2373], atol=1e-4)
    np.testing.assert_allclose(c, [0.1913, 0.5421, 0.2434, 0.0232], atol=1e-4)
    assert (round(float(power), 4), round(float(inverse), 4)) == (0.2557, 2.2457)


def test_zbl_starts_at_the_universal_screening_function():
    a, c, power, inverse = (x.detach().double() for x in ZBL(ops.Cutoff("cosine", 4.5)).coefficients())
    wanted = torch.tensor([0.18180, 0.50990, 0.28020, 0.02817], dtype=torch.float64)
    torch.testing.assert_close(c, wanted / wanted.sum(), rtol=1e-6, atol=0)
    torch.testing.assert_close(a, torch.tensor([3.2, 0.9423, 0.4028, 0.2016], dtype=torch.float64), rtol=1e-6, atol=0)
    assert float(power) == pytest.approx(0.23, rel=1e-6)
    assert float(inverse) == pytest.approx(1 / (0.8854 * 0.5291772105638411), rel=1e-6)


def test_free_atom_table_holds_the_published_numbers():
    """A few literals; from Z = 91 on the table of other programs differs."""
    published = {1: (4.5, 6.5), 6: (12.0, 46.6), 8: (5.4, 15.6), 17: (15.0, 94.6), 79: (36.5, 298.0),
                 90: (217.0, 4047.54), 91: (154.4, 2367.42), 92: (127.8, 1877.1), 102: (105.4, 1578.18)}  # fmt: skip
    assert len(free_atoms.POLARIZABILITY) == len(free_atoms.C6) == free_atoms.LAST_Z == 102
    for z, (alpha, c6) in published.items():
        assert (free_atoms.POLARIZABILITY[z - 1], free_atoms.C6[z - 1]) == (alpha, c6)
    assert all(x > 0 for x in (*free_atoms.POLARIZABILITY, *free_atoms.C6))


def test_dispersion_keeps_its_table_in_double_precision():
    term = Dispersion().float()
    assert term._free_atoms.dtype == torch.float64 and float(term._free_atoms[39, 1]) == 1968.58
    assert not list(term.state_dict())


def test_dispersion_refuses_elements_without_data():
    with pytest.raises(ValueError, match=r"Z must be at most 102, .*; received 103"):
        energy(Dispersion(), [System(Z=[103, 1], pos=[[0, 0, 0], [0, 0, 2.0]])], [1.0, 1.0])


def test_terms_say_what_is_missing():
    batch = collate([WATER], Needs(4.5))
    with pytest.raises(ValueError, match="Electrostatics: batch must hold long-range pairs; received none"):
        Electrostatics()(batch, geometry(batch), torch.zeros(3))
    with pytest.raises(ValueError, match=r"charges must have shape \(3,\), one per atom; received \(2,\)"):
        energy(Electrostatics(), [WATER], [0.0, 0.0])
    with pytest.raises(ValueError, match=r"long_range_cutoff must be positive, or None for all pairs; received -1"):
        Dispersion(-1.0)


def test_terms_of_nothing_one_atom_and_far_apart_atoms_are_zero():
    systems = [System(Z=[], pos=np.zeros((0, 3))), System(Z=[6], pos=[[1.0, 2, 3]]),
               System(Z=[6, 6], pos=[[0.0, 0, 0], [0, 0, 50.0]])]  # fmt: skip
    ones = np.ones(3)
    for term, atoms in ((ZBL(ops.Cutoff("cosine", 4.5)), []), (Electrostatics(4.0, LONG), [ones]),
                        (Dispersion(LONG), [ones])):  # fmt: skip
        got = energy(term, systems, *atoms, long_range_cutoff=LONG)
        assert got.dtype == torch.float64 and got.shape == (3,) and not got.any()


class TermConfig(BaseModel):
    cutoff: float = CUTOFF
    long_range_cutoff: float = LONG


class TermModel(EnergyModel):
    """One term, with charges and ratios that depend on the surroundings, as a network's do."""

    architecture = "toy_term"

    def __init__(self, term: torch.nn.Module, elements=(1, 6, 8)) -> None:
        super().__init__(TermConfig(), elements)
        self.term = term
        self.base = torch.nn.Parameter(torch.linspace(-0.4, 0.5, 119, dtype=torch.float64))

    @property
    def needs(self) -> Needs:
        return Needs(self.config.cutoff, self.config.long_range_cutoff)

    def atom_outputs(self, batch, geometry) -> AtomOutputs:
        fade = (1 - (geometry.distance / CUTOFF) ** 2) ** 3
        count = fade.new_zeros(batch.n_atoms).index_add(0, batch.idx_i, fade)
        charge = self.base[batch.Z] + 0.2 * torch.tanh(count)
        if isinstance(self.term, ZBL):
            return AtomOutputs(self.term(batch, geometry))
        value = 1 + 0.3 * charge if isinstance(self.term, Dispersion) else charge
        return AtomOutputs(self.term(batch, geometry, value))


TERMS = {
    "zbl": lambda: ZBL(ops.Cutoff("mollifier", CUTOFF), end=2.5),
    "zbl_open": lambda: ZBL(ops.Cutoff("mollifier", CUTOFF), end=None),
    "damped": lambda: Electrostatics(2.0, LONG),
    "softened": lambda: Electrostatics(4.0, LONG, kind="softened"),
    "dispersion": lambda: Dispersion(LONG),
}


@pytest.mark.parametrize("name", TERMS)
def test_model_with_a_term_is_a_potential(name):
    """Forces and stress are finite differences, also in boxes smaller than the long-range cutoff; all symmetries."""
    check_potential(TermModel(TERMS[name]().double()).eval())


@pytest.mark.parametrize("name", TERMS)
def test_training_on_forces_reaches_the_parameters_of_a_term(name):
    """The gradient of a loss on forces with respect to the model's parameters, against finite differences."""
    rng = np.random.default_rng(4)
    system = System(Z=[8, 1, 6], pos=[[0, 0, 0], [0, 0.1, 1.0], [1.3, 0.2, 0]], cell=4.2 * np.eye(3), pbc=True)
    model = TermModel(TERMS[name]().double())
    weight = torch.tensor(rng.normal(size=(3, 3)))
    batch = collate([system], model.needs)
    value = lambda: (model(batch).forces * weight).sum()  # noqa: E731
    parameters = list(model.parameters())
    grads = torch.autograd.grad(value(), parameters, allow_unused=True)
    checked = 0
    for p, g in zip(parameters, grads):
        flat = p.data.view(-1)
        for k in {0, 1, 6, 8} & set(range(len(flat))):
            kept, h = float(flat[k]), 1e-5
            ends = []
            for s in (1, -1):
                flat[k] = kept + s * h
                ends.append(float(value().detach()))
            flat[k] = kept
            slope = (ends[0] - ends[1]) / (2 * h)
            got = 0.0 if g is None else float(g.view(-1)[k])
            assert got == pytest.approx(slope, rel=2e-6, abs=2e-8)
            checked += got != 0
    assert checked >= 2
