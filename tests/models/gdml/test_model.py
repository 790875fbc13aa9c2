"""GDML as a Potential: closed form, derivatives, symmetries, composition, files. Models have random coefficients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pyff
from pyff.batch import System
from pyff.data.collate import collate
from pyff.models.file import ModelFileError
from pyff.models.gdml import GDML, CompositionError, GDMLConfig
from pyff.ops import descriptor_permutations, inverse_distances, jacobian_product, reference
from pyff.testing import check_potential
from pyff.units import ENERGY, LENGTH

KCAL = ENERGY["kcal/mol"]
WATER = torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]], dtype=torch.float64)
CELL = ((6.0, 0.0, 0.0), (0.4, 5.5, 0.0), (-0.3, 0.2, 7.0))


def make_model(cell=None, energies: bool = False, seed: int = 0, **config) -> GDML:
    """Water whose hydrogens may change places, 5 training points, coefficients of size 1."""
    g = torch.Generator().manual_seed(seed)
    noise = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    settings = GDMLConfig(sigma=0.8, cell=cell, **config)
    rows = None if cell is None else torch.tensor(cell, dtype=torch.float64)
    x, grad = inverse_distances(WATER + 0.1 * noise(5, 3, 3), rows)
    return GDML(
        settings, [8, 1, 1], train=x, coef=jacobian_product(grad, 3 * noise(5, 3, 3)),
        perms=torch.tensor([[0, 1, 2], [0, 2, 1]]), coef_energy=noise(5) if energies else None, constant=-76.4, std=2.5,
    ).eval()  # fmt: skip


def water(seed: int = 1, cell=None) -> System:
    pos = WATER.numpy() + 0.1 * np.random.default_rng(seed).normal(size=(3, 3))
    return System([8, 1, 1], pos) if cell is None else System([8, 1, 1], pos, np.array(cell), True)


def closed_form(model: GDML, pos: torch.Tensor) -> torch.Tensor:
    """E of one geometry, straight from the kernel: the linear functional of the training forces and energies."""
    x, _ = reference.inverse_distances(pos[None])
    energy = pos.new_zeros(())
    for perm in descriptor_permutations(model.perms):
        for j in range(model.n_train):
            xj = model.points[j, perm].clone().requires_grad_()
            r2 = 5 * (x[0] - xj).square().sum()
            d = r2.sqrt() / model.config.sigma
            k = (1 + d + d**2 / 3) * torch.exp(-d)
            # cov(E, F_j) = -dk/dx_j . J_j: a sum over the coefficients a_j = J_j alpha_j
            (slope,) = torch.autograd.grad(k, xj, create_graph=True)
            energy = energy + (slope * model.coef[j, perm]).sum()
            if model.coef_energy is not None:
                energy = energy + model.coef_energy[j] * k
    return model.std * energy + model.constant


@pytest.mark.parametrize("energies", [False, True])
def test_energy_is_the_closed_form_and_forces_its_gradient(energies):
    model = make_model(energies=energies)
    pos = torch.from_numpy(water().pos).requires_grad_()
    expected = closed_form(model, pos)
    (gradient,) = torch.autograd.grad(expected, pos)
    energy, forces = model.predict(pos.detach()[None])
    torch.testing.assert_close(energy[0], expected.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(forces[0], -gradient, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("energies", [False, True])
@pytest.mark.parametrize("profile", ["matern52", "rbf"])
def test_potential_open(energies, profile):
    check_potential(make_model(energies=energies, profile=profile), [water(1), water(2), water(3)])


@pytest.mark.parametrize("cell", [CELL, ((5.0, 0.0, 0.0), (2.4, 4.4, 0.0), (2.3, 1.2, 4.2))], ids=["near", "skewed"])
def test_potential_periodic(cell):
    """Also other cells than the training cell, in one batch: strained ones, another choice of lattice vectors."""
    systems = [water(1, cell), water(2, cell), water(3, np.array(cell) * 1.05)]
    check_potential(make_model(cell=cell), systems)


def test_exchange_of_equivalent_atoms_changes_nothing():
    model, pos = make_model(), torch.from_numpy(water().pos)[None]
    energy, forces = model.predict(pos)
    swapped_energy, swapped_forces = model.predict(pos[:, [0, 2, 1]])
    torch.testing.assert_close(swapped_energy, energy, rtol=1e-13, atol=0)
    torch.testing.assert_close(swapped_forces, forces[:, [0, 2, 1]], rtol=1e-12, atol=1e-12)


def test_forces_are_curl_free():
    """The Jacobian of the forces is symmetric."""
    model, pos, h = make_model(energies=True), torch.from_numpy(water().pos), 1e-4
    moves = h * torch.eye(9, dtype=torch.float64).reshape(9, 3, 3)
    jacobian = (model.predict(pos + moves)[1] - model.predict(pos - moves)[1]).reshape(9, 9) / (2 * h)
    torch.testing.assert_close(jacobian, jacobian.T, rtol=0, atol=1e-6 * float(jacobian.abs().max()))


def test_units_are_those_of_the_model():
    """The same numbers read as kcal/mol and A, and as Hartree and Bohr."""
    plain = make_model(cell=CELL)
    atomic = make_model(cell=CELL, energy_unit="Hartree", length_unit="bohr")
    system = water(cell=CELL)
    bohr, hartree = LENGTH["Bohr"], ENERGY["Hartree"]
    scaled = System(system.Z, system.pos * bohr, system.cell * bohr, True)
    want = ("energy", "forces", "stress")
    a = plain(collate([system], plain.needs), want)
    b = atomic(collate([scaled], atomic.needs), want)
    energy, forces = plain.predict(torch.from_numpy(system.pos)[None])
    torch.testing.assert_close(a.energy, energy * KCAL)
    torch.testing.assert_close(a.forces, forces[0] * KCAL)
    torch.testing.assert_close(b.energy, energy * hartree)
    torch.testing.assert_close(b.forces, forces[0] * hartree / bohr)
    torch.testing.assert_close(b.stress, a.stress / KCAL * hartree / bohr**3)


@pytest.mark.parametrize(
    ("Z", "sentence"),
    [
        ([1, 8, 1], r"order O H H; this structure has them in another order, H O H. Sort its atoms"),
        ([8, 8, 1], r"the model is of H2O .* this structure is HO2. A kernel model predicts one composition only"),
        ([8, 1, 1, 1], r"this structure is H3O"),
    ],
)
def test_other_atoms_are_named(Z, sentence):
    model = make_model()
    pos = np.arange(3 * len(Z)).reshape(-1, 3) * 1.0
    with pytest.raises(CompositionError, match=sentence):
        model(collate([System(Z, pos)], model.needs))


def test_second_structure_of_a_batch_is_named():
    model = make_model()
    other = System([8, 1, 1, 8, 1, 1], np.arange(18).reshape(6, 3) * 1.0)
    with pytest.raises(CompositionError, match="structure 1 of the batch is H4O2"):
        model(collate([water(), other], model.needs))


def test_periodicity_must_be_that_of_training():
    with pytest.raises(ValueError, match="trained on open structures; received a periodic one"):
        make_model()(collate([water(cell=CELL)], make_model().needs))
    model = make_model(cell=CELL)
    with pytest.raises(ValueError, match="received one that is open or whose cell has no volume"):
        model(collate([water()], model.needs))
    with pytest.raises(ValueError, match="received stress"):
        make_model()(collate([water()], model.needs), ("energy", "stress"))


def test_saved_model_returns_bit_for_bit(tmp_path):
    for energies, cell in ((True, None), (False, CELL)):
        model = make_model(cell=cell, energies=energies, energy_unit="kJ/mol")
        model.info = {"data": {"name": "water"}}
        pyff.save(model, tmp_path / "m.safetensors")
        loaded = pyff.load(tmp_path / "m.safetensors")
        assert loaded.config == model.config
        assert loaded.info == model.info
        pos = torch.from_numpy(water().pos)[None]
        for a, b in zip(loaded.predict(pos), model.predict(pos)):
            assert torch.equal(a, b)


def test_file_with_other_tensors_is_refused(tmp_path):
    from safetensors.torch import load, save

    path = tmp_path / "m.safetensors"
    pyff.save(make_model(), path)
    metadata = {"pyff": pyff.models.file.read_header(path).model_dump_json()}
    tensors = load(path.read_bytes())
    damaged = {
        "train must have shape": tensors | {"points": tensors["points"][:, :2].contiguous()},
        "coef must be torch.float64": tensors | {"coef": tensors["coef"].float()},
        "tensors must be": {k: v for k, v in tensors.items() if k != "std"},
        "perms must hold permutations": tensors | {"perms": tensors["perms"] * 0},
        "weight points must be finite": tensors | {"points": tensors["points"] * torch.nan},
    }
    for sentence, content in damaged.items():
        path.write_bytes(save(content, metadata=metadata))
        with pytest.raises(ModelFileError, match=sentence):
            pyff.load(path)


def test_perms_must_exchange_like_atoms():
    with pytest.raises(ValueError, match="exchange atoms of the same element"):
        m = make_model()
        GDML(m.config, m.Z, train=m.points, coef=m.coef, perms=torch.tensor([[1, 0, 2]]))


def test_single_precision_is_refused():
    with pytest.raises(TypeError, match="must stay in float64"):
        make_model().float()
    with pytest.raises(TypeError, match="must stay in float64"):
        pyff.Calculator(make_model(), dtype="float32")


def test_copy_of_a_used_model_is_its_own():
    """What was prepared for the kernel is not shared, and is made anew when the coefficients move."""
    import copy

    model, pos = make_model(), torch.from_numpy(water().pos)[None]
    energy, _ = model.predict(pos)
    other = copy.deepcopy(model)
    other.constant += 1.0
    assert torch.equal(model.predict(pos)[0], energy)
    torch.testing.assert_close(other.predict(pos)[0], energy + 1.0, rtol=1e-14, atol=0)


def test_calculator_gives_what_the_model_gives():
    from ase import Atoms

    model, system = make_model(cell=CELL), water(cell=CELL)
    atoms = Atoms(system.Z, system.pos, cell=system.cell, pbc=True, calculator=pyff.Calculator(model))
    energy, forces = model.predict(torch.from_numpy(system.pos)[None])
    assert atoms.get_potential_energy() == pytest.approx(float(energy) * KCAL, rel=1e-13)
    np.testing.assert_allclose(atoms.get_forces(), forces[0].numpy() * KCAL, rtol=1e-12)
    assert atoms.get_stress().shape == (6,)
    assert atoms.calc.info["path"] == "closed form"
    assert "energies" not in atoms.calc.implemented_properties
    assert "stress" not in pyff.Calculator(make_model()).implemented_properties


def test_numbers_keep_double_precision():
    """A constant of 1e5 kcal/mol in single precision would be off by 4e-3."""
    model, constant = make_model(), -97084.51893986277
    copy = GDML(
        model.config, model.Z, train=model.points, coef=model.coef, perms=model.perms, constant=constant, std=0.1
    )
    assert float(copy.constant) == constant
    assert float(copy.std) == 0.1
