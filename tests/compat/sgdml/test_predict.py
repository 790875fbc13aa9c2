"""sgdml's names on pyff: numbers of sgdml 1.0.3, shapes, signs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _gdml_toy import water
from _sgdml import LATTICE, model_arrays, positions, wave
from ase import Atoms
from ase.io import read as ase_read
from ase.io import write
from ase.units import Hartree

from pyff._npz import write_npz
from pyff.compat.sgdml.intf.ase_calc import SGDMLCalculator
from pyff.compat.sgdml.predict import GDMLPredict
from pyff.compat.sgdml.torchtools import GDMLTorchPredict
from pyff.compat.sgdml.utils.desc import Desc
from pyff.compat.sgdml.utils.io import (
    dataset_md5,
    generate_xyz_str,
    lattice_vec_to_par,
    model_file_name,
    read_xyz,
    task_file_name,
    write_geometry,
    z_str_to_z,
    z_to_z_str,
)
from pyff.compat.sgdml.utils.perm import find_perms, inv_perm

# sgdml 1.0.3 on the same arrays: energies of two geometries, all forces on the second
ENERGY = [-68.48068836166149, -68.42325864312335]
FORCES = [
    -0.05796576164121915, 0.4629620917279976, -0.10041470814311237, 0.551588379320479, -0.18073621526170647,
    0.3761908494942685, -0.4936226176792599, -0.28222587646629116, -0.2757761413511562,
]  # fmt: skip


@pytest.fixture
def arrays():
    return model_arrays(LATTICE, energies=True, sig=2.5)


@pytest.fixture
def R():
    return (positions(2) + 2.2 * np.eye(3)).reshape(2, 9)


def test_predictions_shapes_and_variants(arrays, R):
    predict = GDMLPredict(arrays, max_processes=1, num_workers=0, batch_size=3, max_memory=1)
    E, F = predict.predict(R)
    np.testing.assert_allclose(E, ENERGY, rtol=1e-12)
    np.testing.assert_allclose(F[1], FORCES, rtol=1e-10)
    (only,) = predict.predict(R, return_E=False)
    np.testing.assert_array_equal(only, F)
    single = predict.predict(R[0])
    assert (single[0].shape, single[1].shape) == ((1,), (1, 9))
    assert predict.prepare_parallel(n_bulk=2) > 0
    assert predict.prepare_parallel(return_is_from_cache=True)[1] is False
    assert (predict.n_atoms, predict.n_train, predict.std, predict.c) == (3, 4, 2.5, -76.4)


@pytest.mark.parametrize("allow_pickle", [False, True])  # the documentation of sgdml has both
def test_model_as_numpy_loads_it(arrays, R, tmp_path, allow_pickle):
    write_npz(tmp_path / "m.npz", arrays)
    with np.load(tmp_path / "m.npz", allow_pickle=allow_pickle) as model:
        np.testing.assert_allclose(GDMLPredict(model).predict(R)[0], ENERGY, rtol=1e-12)


def test_new_coefficients_are_used(arrays, R):
    """set_alphas with J of some geometries is the model whose R_d_desc_alpha is J alpha."""
    desc, geometries = Desc(3), (positions(6)[2:] + 2.2 * np.eye(3)).reshape(4, 9)
    x, g = desc.from_R(geometries, (LATTICE, np.linalg.inv(LATTICE)))
    alphas, alphas_E = wave(36, k=3.0), wave(4, k=4.0)
    changed = GDMLPredict(arrays)
    with pytest.raises(ValueError, match="set_R_d_desc must be called before"):
        changed.set_alphas(alphas)
    changed.set_R_d_desc(g)
    changed.set_alphas(alphas, alphas_E)
    coef = desc.d_desc_dot_vec(g, alphas.reshape(4, 9))
    direct = GDMLPredict(arrays | {"R_d_desc_alpha": coef, "alphas_E": alphas_E})
    for a, b in zip(changed.predict(R), direct.predict(R)):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    with pytest.raises(ValueError, match="set_R_desc and set_R_d_desc"):
        changed.predict()
    changed.set_R_desc(x)
    for a, b in zip(changed.predict(), changed.predict(geometries)):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_torch_module(arrays, R, tmp_path):
    write_npz(tmp_path / "m.npz", arrays)
    with np.load(tmp_path / "m.npz") as model:
        module = GDMLTorchPredict(model)
    energy, forces = module(torch.tensor(R.reshape(2, 3, 3)))
    np.testing.assert_allclose(energy, ENERGY, rtol=1e-12)
    np.testing.assert_allclose(forces[1].ravel(), FORCES, rtol=1e-10)
    (only,) = module(torch.tensor(R.reshape(2, 3, 3)), return_E=False)
    assert torch.equal(only, forces)
    bare = {k: v for k, v in arrays.items() if k != "lattice"}
    given = GDMLTorchPredict(bare, (LATTICE, np.linalg.inv(LATTICE)))
    assert torch.equal(given(torch.tensor(R.reshape(2, 3, 3)))[1], forces)


def test_wrong_number_of_coordinates_raises(arrays, R):
    with pytest.raises(ValueError, match=r"R must have shape \[B, 9\]; received \[2, 8\]"):
        GDMLPredict(arrays).predict(R[:, :8])


def test_permutations_of_identical_atoms():
    data = water(40)
    perms = find_perms(data.pos, data.Z)
    np.testing.assert_array_equal(perms, [[0, 1, 2], [0, 2, 1]])
    np.testing.assert_array_equal(inv_perm(np.array([2, 0, 1])), [1, 2, 0])


def test_geometries_and_names_of_files(arrays, tmp_path):
    r, z = positions(1)[0], np.array([8, 1, 1])
    write_geometry(tmp_path / "a.xyz", r, z, "a comment")
    np.testing.assert_allclose(read_xyz(tmp_path / "a.xyz")[0][0], r.ravel(), rtol=1e-15)
    (tmp_path / "b.xyz").write_text(generate_xyz_str(r, z, e=-1.5, f=2 * r, lattice=LATTICE))
    frame = ase_read(tmp_path / "b.xyz")
    np.testing.assert_allclose(frame.cell.T, LATTICE)
    np.testing.assert_allclose(frame.arrays["forces"] if "forces" in frame.arrays else frame.get_forces(), 2 * r)
    lengths, angles = lattice_vec_to_par(np.array([[2.0, 3.0, 0], [0, 3.0, 0], [0, 0, 4.0]]))
    assert (lengths, angles) == (pytest.approx([2, 18**0.5, 4]), pytest.approx([90, 90, 45]))
    arrays = arrays | {"sig": np.array(30), "dataset_theory": np.array("PBE+TS, 6-31G")}
    assert model_file_name(arrays) == "model-train4-sym2-sig0030.npz"
    assert task_file_name(arrays | {"sig": 7.5}) == "task-train4-sym2-sig07.5.npz"
    assert model_file_name(arrays, is_extended=True) == "water-PBE.TS.6-31G-train4-sym2.npz"


def test_what_is_no_model_raises():
    with pytest.raises(ValueError, match="model must be of type 'm'; received 'd'"):
        GDMLPredict({"type": np.array("d")})


def test_descriptor_operations_are_a_jacobian_and_its_transpose():
    desc, R = Desc(4), wave(2, 12, k=2.0) * 3
    x, g = desc.from_R(R)
    assert (x.shape, g.shape) == ((2, 6), (2, 6, 3))
    one = desc.from_R(R[0])
    np.testing.assert_array_equal(one[0], x[0])  # one geometry: without the first axis
    full = desc.d_desc_from_comp(g)
    step = 1e-6 * np.eye(12)
    slope = (desc.from_R(R[0] + step)[0] - desc.from_R(R[0] - step)[0]) / 2e-6
    np.testing.assert_allclose(full[0], slope.T, atol=1e-8)
    np.testing.assert_array_equal(desc.d_desc_to_comp(full), g)
    v, u = wave(2, 12, k=5.0), wave(2, 6, k=7.0)
    np.testing.assert_allclose(desc.d_desc_dot_vec(g, v), np.einsum("mki,mi->mk", full, v), atol=1e-14)
    np.testing.assert_allclose(desc.vec_dot_d_desc(g, u), np.einsum("mki,mk->mi", full, u), atol=1e-14)
    perm = np.array([2, 0, 3, 1])
    moved = desc.from_R(R[0].reshape(4, 3)[perm].ravel())[0]
    np.testing.assert_allclose(x[0][Desc.perm(perm)], moved)


def test_ase_calculator(arrays, tmp_path):
    write_npz(tmp_path / "m.npz", {k: v for k, v in arrays.items() if k != "lattice"})
    atoms = Atoms(
        "OH2", positions(1)[0], calculator=SGDMLCalculator(tmp_path / "m.npz", E_to_eV=Hartree, F_to_eV_Ang=Hartree)
    )
    model = GDMLPredict({k: v for k, v in arrays.items() if k != "lattice"})
    E, F = model.predict(positions(1).reshape(1, -1))
    assert atoms.get_potential_energy() == pytest.approx(E[0] * Hartree, rel=1e-12)
    np.testing.assert_allclose(atoms.get_forces(), F.reshape(3, 3) * Hartree, rtol=1e-11)
    atoms.numbers = [1, 8, 1]
    with pytest.raises(ValueError, match="in this order"):
        atoms.get_potential_energy()


def test_example_of_sgdml_s_readme_runs(arrays, tmp_path):
    plain = {k: v for k, v in arrays.items() if k != "lattice"}
    frames = [Atoms("OH2", p) for p in positions(2)]
    write(tmp_path / "water.xyz", frames, format="xyz")
    r, z = read_xyz(tmp_path / "water.xyz")
    e, f = GDMLPredict(plain).predict(r)
    assert (e.shape, f.shape) == ((2,), (2, 9))
    np.testing.assert_allclose(r, positions(2).reshape(2, 9), atol=1e-7)
    assert z_to_z_str(z) == ["O", "H", "H"]
    np.testing.assert_array_equal(z_str_to_z(["O", "H", "H"]), z)


def test_fingerprint_is_bytes():
    data = {"z": np.zeros(1), "R": np.zeros(3), "F": np.zeros(3)}
    assert isinstance(dataset_md5(data), bytes)
    assert len(dataset_md5(data)) == 32
