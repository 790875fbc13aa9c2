"""CoulombKRR as a model: closed form, invariances, batches, files, calculator, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms

import pyff
from pyff.batch import System
from pyff.data import from_arrays
from pyff.data.collate import collate
from pyff.errors import UnseenElementError
from pyff.models import CoulombKRR, CoulombKRRConfig
from pyff.models.coulomb_matrix import coulomb_matrices
from pyff.models.file import ModelFileError
from pyff.train.krr import KRRProblem

CONFIGS = {
    "sorted": {"representation": "sorted", "kernel": "laplacian"},
    "gaussian": {"representation": "sorted", "kernel": "gaussian"},
    "random": {"representation": "random", "realizations": 3},
    "eigenvalues": {"representation": "eigenvalues", "kernel": "gaussian"},
}


def molecules(n=20, size=8, seed=0):
    """Random molecules with energies of a pair potential, padded with zeros."""
    rng = np.random.default_rng(seed)
    Z, pos = np.zeros((n, size), int), np.zeros((n, size, 3))
    for k in range(n):
        atoms = rng.integers(4, size + 1)
        Z[k, :atoms] = rng.choice([1, 6, 8], atoms)
        pos[k, :atoms] = rng.uniform(-3, 3, (atoms, 3))
    C = coulomb_matrices(torch.from_numpy(Z), torch.from_numpy(pos)).numpy()
    energy = -np.exp(-0.1 * C).sum((1, 2)) - 13.6 * (Z > 0).sum(1)
    return from_arrays(Z, pos, energy, units="eV,Angstrom", bad="skip")


def model(name="sorted", data=None, **options):
    data = data or molecules()
    config = CoulombKRRConfig(sigma=1.0, size=8, **{**CONFIGS[name], **options})
    return KRRProblem(data, config).fit(np.arange(len(data)), 20.0 if name == "eigenvalues" else 200.0, 1e-10)


def energies(m, systems):
    return m(collate(systems, m.needs), want=(m.config.quantity,))


@pytest.mark.parametrize("name", ["sorted", "gaussian", "eigenvalues"])
def test_the_fit_reproduces_its_training_energies(name):
    data = molecules()
    got = energies(model(name, data), data.systems).energy
    assert np.allclose(got, [s.labels["energy"] for s in data], atol=1e-5)


def test_energies_are_those_of_the_equation():
    m, data = model(), molecules(3, seed=5)
    Z = torch.zeros(3, 8, dtype=torch.int64)
    pos = torch.zeros(3, 8, 3, dtype=torch.float64)
    for k, s in enumerate(data):
        Z[k, : len(s)], pos[k, : len(s)] = torch.from_numpy(s.Z), torch.from_numpy(s.pos)
    x = m.config.describe(Z, pos)[:, 0]
    k = torch.exp(-(x[:, None] - m.points).abs().sum(-1) / m.config.sigma)
    own = torch.tensor([sum(float(m.reference[m.elements.index(z)]) for z in s.Z) for s in data], dtype=torch.float64)
    torch.testing.assert_close(energies(m, data.systems).energy, k @ m.coef + own + m.constant, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("name", CONFIGS)
def test_energies_do_not_depend_on_motion_order_and_company(name):
    m, data, rng = model(name), molecules(4, seed=7), np.random.default_rng(0)
    want = energies(m, data.systems).energy
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    for k, s in enumerate(data):
        order = rng.permutation(len(s))
        moved = System(s.Z[order], s.pos[order] @ turn + [1.0, 2.0, 3.0])
        torch.testing.assert_close(energies(m, [moved]).energy, want[k : k + 1], rtol=1e-10, atol=1e-8)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_saved_model_is_the_same_bit_for_bit(name, tmp_path):
    m, data = model(name), molecules(4, seed=7)
    m.info = {"n_train": 20}
    pyff.save(m, tmp_path / "m.safetensors")
    back = pyff.load(tmp_path / "m.safetensors")
    assert isinstance(back, CoulombKRR) and back.config == m.config and back.info == m.info
    assert torch.equal(energies(back, data.systems).energy, energies(m, data.systems).energy)


def test_the_calculator_gives_energies_and_says_that_there_are_no_forces():
    calculator = pyff.Calculator(model())
    atoms = Atoms("CH4", [[0, 0, 0], [1, 0, 0], [0, 1.1, 0], [0, 0, 1.2], [-1, -1, 0]], calculator=calculator)
    assert np.isfinite(atoms.get_potential_energy())
    with pytest.raises(NotImplementedError):
        atoms.get_forces()


def test_other_targets_than_energies_are_learned():
    data = molecules()
    gaps = from_arrays(
        *_padded(data), target=np.linspace(1, 2, len(data)), units="eV,Angstrom",
    )  # fmt: skip
    m = model(data=gaps, quantity="target", baseline="mean")
    out = energies(m, gaps.systems)
    assert out.energy is None and np.allclose(out.target, np.linspace(1, 2, len(data)), atol=1e-6)
    assert m.reference.abs().max() == 0


def _padded(data):
    Z, pos = np.zeros((len(data), 8), int), np.zeros((len(data), 8, 3))
    for k, s in enumerate(data):
        Z[k, : len(s)], pos[k, : len(s)] = s.Z, s.pos
    return Z, pos


def test_errors_name_what_does_not_fit(tmp_path):
    m = model()
    with pytest.raises(ValueError, match="up to 8 atoms; received one of 9"):
        energies(m, [System(np.full(9, 6), np.random.default_rng(0).normal(size=(9, 3)))])
    with pytest.raises(ValueError, match="received a periodic structure"):
        energies(m, [System([6], np.zeros((1, 3)), np.eye(3) * 5, np.ones(3, bool))])
    with pytest.raises(UnseenElementError, match="received Cl"):
        energies(m, [System([17], np.zeros((1, 3)))])
    with pytest.raises(ValueError, match="want must name quantities that this model offers"):
        m(collate([System([6], np.zeros((1, 3)))], m.needs))
    with pytest.raises(TypeError, match="must stay in float64"):
        m.float()
    with pytest.raises(ValueError, match=r"coef must have shape \[20\]; received \[19\]"):
        CoulombKRR(m.config, m.Z, points=m.points, coef=m.coef[1:], reference=m.reference)


def test_a_file_with_other_tensors_is_refused(tmp_path):
    m = model()
    with pytest.raises(ValueError, match="tensors must be"):
        CoulombKRR.from_tensors(m.config, {"points": m.points})
    pyff.save(m, tmp_path / "m.safetensors")
    raw = (tmp_path / "m.safetensors").read_bytes()
    (tmp_path / "bad.safetensors").write_bytes(raw.replace(b'\\"size\\":8', b'\\"size\\":9'))
    with pytest.raises(ModelFileError, match="points must have shape"):
        pyff.load(tmp_path / "bad.safetensors")
