"""SO3krates with physics terms: that the parts add up to a potential, with random weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from _graphs import random_molecule
from ase.build import bulk

import pyff
from pyff import ops
from pyff.batch import System
from pyff.data.collate import collate
from pyff.models import ARCHITECTURES
from pyff.models.so3krates import SO3krates, SO3kratesConfig
from pyff.testing import check_forces, check_images, check_motion, check_potential, check_stress, example_systems

SMALL = {"n_features": 16, "n_heads": 2, "degrees": (1, 2), "n_layers": 2, "n_rbf": 8, "cutoff": 3.0,
         "attention_normalization": 5.0, "readout_features": 8, "long_range_cutoff": 4.0,
         "dispersion_width": 1.0}  # fmt: skip


def model(dtype=torch.float64, **changes) -> SO3krates:
    torch.manual_seed(0)
    m = SO3krates(
        SO3kratesConfig.preset("so3lr", **{**SMALL, **changes}), (1, 6, 8), {1: -13.6, 6: -1030.0, 8: -2040.0}
    )
    with torch.no_grad():
        for name, p in m.named_parameters():
            if not name.startswith("terms"):
                p.add_(0.1 * torch.randn(p.shape))
    return m.to(dtype).eval()


def predict(m, system: System, *want: str):
    with torch.no_grad():
        return m(collate([system], m.needs), want or ("energy", "forces"))


def test_so3lr_is_a_potential():
    systems = example_systems(model(), np.random.default_rng(0))
    ion = System(systems[0].Z[:6], systems[0].pos[:6], charge=1.0, spin=1.0)
    check_potential(model(), [ion, *systems[1:]])


@pytest.mark.parametrize("cutoff", [None, 4.0])
def test_so3lr_energy_is_smooth_at_every_cutoff_and_switch(cutoff):
    """A dimer crosses 0.45 Rc, Rc - width, Rc, the network's cutoff and the end of the repulsion."""
    m = model(long_range_cutoff=cutoff)
    marks = [1.5, 3.0, 0.45 * 4.0, 4.0 - 1.0, 4.0]
    for mark in marks:
        sides = [predict(m, System([6, 8], [[0, 0, 0], [mark + h, 0, 0]])) for h in (-1e-6, 1e-6)]
        slope = 2e-6 * float(sides[0].forces.abs().max())
        assert abs(float(sides[0].energy - sides[1].energy)) < 1e-9 + 1.01 * slope, mark
        assert (sides[0].forces - sides[1].forces).abs().max() < 2e-4, mark


def test_so3lr_terms_vanish_where_they_should():
    m = model()
    far = predict(m, System([6, 8], [[0, 0, 0], [4.0, 0, 0]]), "energy", "energy_terms", "charges")
    alone = [predict(m, System([z], [[0, 0, 0]]), "energy", "energy_terms") for z in (6, 8)]
    for name in ("zbl", "electrostatics", "dispersion"):
        assert float(far.energy_terms[name]) == 0.0 and float(alone[0].energy_terms[name]) == 0.0
    assert float(far.energy) == pytest.approx(sum(float(a.energy) for a in alone), abs=1e-12)


def test_so3lr_without_a_cutoff_sums_over_all_pairs():
    m = model(long_range_cutoff=None)
    assert m.needs.long_range_cutoff == math.inf
    system = System([6, 8], [[0, 0, 0], [20.0, 0, 0]])
    out = predict(m, system, "energy_terms", "charges")
    coulomb = 14.399645351950548 * float(out.charges[0] * out.charges[1]) / 20.0
    assert float(out.energy_terms["electrostatics"]) == pytest.approx(coulomb, rel=1e-9)


def test_so3lr_cutoff_can_be_changed_in_the_file_and_afterwards(tmp_path):
    m = model(torch.float32)
    pyff.save(m, tmp_path / "m.safetensors")
    system = System(*random_molecule(6)[:2])
    for cutoff in (3.0, math.inf):
        changed, built = pyff.load(tmp_path / "m.safetensors", long_range_cutoff=cutoff), model(torch.float32)
        built.set_long_range(cutoff)
        assert changed.needs == built.needs and changed.needs.long_range_cutoff == cutoff
        assert torch.equal(predict(changed, system).energy, predict(built, system).energy)
        assert not torch.equal(predict(m, system).energy, predict(built, system).energy)
    assert pyff.load(tmp_path / "m.safetensors").config.long_range_cutoff == 4.0
    with pytest.raises(ValueError, match="dispersion_width must be smaller"):
        m.set_long_range(0.5)
    with pytest.raises(ValueError, match=r"^long_range_cutoff: Input should be greater than 0; received -1\.0$"):
        m.set_long_range(-1.0)
    m.requires_grad_(False)
    m.set_long_range(9.0)
    assert not any(p.requires_grad for p in m.parameters())
    with pytest.raises(ValueError, match="long_range_cutoff needs a model with long-range terms; PairModel has none"):
        from _pair_model import PairModel

        pyff.Calculator(PairModel(), long_range_cutoff=5.0)


def test_so3lr_with_ewald_sums_is_a_potential_of_crystals():
    m, rng = model(ewald=True), np.random.default_rng(0)
    (crystal,) = (s for s in example_systems(m, rng) if s.pbc.all())
    check_motion(m, crystal, rng)
    check_images(m, crystal, rng)
    check_forces(m, crystal, rng)
    check_stress(m, crystal)


def test_so3lr_with_ewald_sums_its_own_charges_over_the_lattice(tmp_path):
    pyff.save(model(), tmp_path / "m.safetensors")
    m = pyff.load(tmp_path / "m.safetensors", ewald=True)
    assert m.config.ewald and m.needs.long_range_cutoff == 4.0  # dispersion still lists pairs
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    atoms.symbols, atoms.calc = "C4O4", pyff.Calculator(m)
    atoms.rattle(0.1, seed=0)
    q = torch.from_numpy(atoms.get_charges())
    pos, cell = torch.from_numpy(atoms.positions), torch.from_numpy(atoms.cell.array)[None]
    expected = ops.ewald_energy(pos, cell, torch.zeros(8, dtype=torch.int64), q, kind="damped", length=4.0).sum()
    got = atoms.calc.results["energy_terms"]["electrostatics"]
    assert got == pytest.approx(float(expected), abs=1e-9) and abs(got) > 1e-4
    with pytest.raises(ValueError, match="periodic"):
        predict(m, System([6, 8], [[0, 0, 0], [2.0, 0, 0]]))


def test_so3lr_calculator_leaves_a_model_passed_in_as_it_was():
    m = model(torch.float32)
    calc = pyff.Calculator(m, long_range_cutoff=3.5)
    assert m.config.long_range_cutoff == 4.0 and calc.model.config.long_range_cutoff == 3.5


def test_so3lr_learns_through_all_its_terms():
    m = model().train()
    batch = collate([System(*random_molecule(6)[:2], charge=1.0, spin=1.0)], m.needs)
    out = m(batch, ("energy", "forces", "dipole", "hirshfeld"))
    loss = out.forces.square().mean() + out.dipole.square().mean() + (out.hirshfeld - 0.7).square().mean()
    loss.backward()
    silent = {name for name, p in m.named_parameters() if p.grad is None or not bool(p.grad.abs().max() > 0)}
    # constants of the energy, and what only acts on Euclidean variables of zero
    assert silent == {"element_shift", "readout.b2", "layers.0.spherical_w1"}


def test_so3lr_gradients_of_the_total_energy_reach_charges_and_volumes():
    """Force = -dE/dx holds only if charges and Hirshfeld ratios are differentiated too."""
    m = model(electrostatics_sigma=1.0)
    Z, pos = random_molecule(6)[:2]
    forces, h = predict(m, System(Z, pos)).forces, 1e-5
    for atom, axis in ((0, 0), (4, 2)):
        energies = []
        for step in (-h, h):
            moved = pos.copy()
            moved[atom, axis] += step
            energies.append(float(predict(m, System(Z, moved), "energy").energy))
        assert float(forces[atom, axis]) == pytest.approx((energies[0] - energies[1]) / (2 * h), abs=2e-6)


def test_so3krates_is_one_architecture_with_and_without_physics():
    assert ARCHITECTURES["so3krates"] is SO3krates
    assert len(model().citations) == 2 and len(SO3krates(SO3kratesConfig(n_features=12, n_layers=1)).citations) == 1
