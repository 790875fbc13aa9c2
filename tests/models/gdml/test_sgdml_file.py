"""Models in sGDML's files: numbers of sgdml 1.0.3, older layouts, units, refusals."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from _data import shared_data
from _sgdml import LATTICE, model_arrays, positions
from ase import Atoms

import pyff
from pyff._npz import read_npz, write_npz
from pyff.models.gdml.sgdml_file import arrays_of_model, load_sgdml, model_of_arrays
from pyff.models.schema import ModelFileError
from pyff.ops import descriptor_permutations, inverse_distances, jacobian_transpose_product, reference
from pyff.units import ENERGY

# energies of two geometries, forces on the last atom of the second: sgdml 1.0.3, GDMLPredict on the same arrays
SGDML = {
    "plain": (
        [-76.79270204607532, -76.68151769115822],
        [-0.21072126789030915, -0.5624985618169445, -1.280237160393483],
    ),
    "periodic": (
        [-78.98675971530145, -78.92052551724572],
        [-0.33516320469629224, -0.20819898538005674, -0.3690185251999203],
    ),
    "energies": (
        [-64.81167219132456, -64.66355009961077],
        [-0.28252328360405315, -0.9102361220656605, -1.7726672908544687],
    ),
    "both": (
        [-68.48068836166149, -68.42325864312335],
        [-0.4936226176792599, -0.28222587646629116, -0.2757761413511562],
    ),
}
# of the published benzene model: three geometries; forces on atom 7 of the last
BENZENE = (
    [-145499.25410756186, -145501.7445407854, -145499.7011998044],
    [1.0157015798456746, 9.555994480716897, -1.8835817446696645],
)
BENZENE_FILE = "model_sgdml_benzene/sGDML_models/benzene.DFT.PBE-TS.npz"


def case_arrays(case: str) -> dict[str, np.ndarray]:
    lattice = LATTICE if case in ("periodic", "both") else None
    return model_arrays(lattice, case in ("energies", "both"), 2.5 if case in ("energies", "both") else 3)


@pytest.mark.parametrize("case", SGDML)
def test_predictions_are_those_of_sgdml(case):
    model = model_of_arrays(case_arrays(case))
    pos = positions(2) + (2.2 * np.eye(3) if model.is_periodic else 0.0)
    energy, forces = model.predict(torch.from_numpy(pos))
    expected_energy, expected_forces = SGDML[case]
    np.testing.assert_allclose(energy.numpy(), expected_energy, rtol=1e-12)
    np.testing.assert_allclose(forces[1, 2].numpy(), expected_forces, rtol=1e-10)


def test_published_benzene_model_predicts_as_sgdml_does():
    """The coefficients, up to 3e11, cancel: sgdml's own forces are 5e-6 kcal/mol/A from long double's, as pyff's."""
    model = pyff.load(shared_data(BENZENE_FILE))
    angle = np.arange(6) * np.pi / 3
    ring = lambda r: np.stack([r * np.cos(angle), r * np.sin(angle), 0 * angle], 1)  # noqa: E731
    flat = np.concatenate([ring(1.397), ring(2.484)])
    pos = np.array([flat + 0.02 * np.sin(1.0 + np.arange(36.0).reshape(12, 3) * (k + 1)) for k in range(3)])
    energy, forces = model.predict(torch.from_numpy(pos))
    np.testing.assert_allclose(energy.numpy(), BENZENE[0], rtol=3e-11)
    np.testing.assert_allclose(forces[2, 7].numpy(), BENZENE[1], rtol=0, atol=2e-5)
    assert model.info["forces_error"] == {"mae": 0.05532213400432022, "rmse": 0.08494654051878352}


def closed_form(arrays: dict, pos: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """E and F by the plain twin, from the arrays of the layout of July 2018."""
    x, g = reference.inverse_distances(torch.from_numpy(pos))
    perms = descriptor_permutations(torch.from_numpy(arrays["perms"].astype(np.int64) - 1))
    kernel = pyff.ops.GdmlKernel(float(arrays["sig"]))
    train, coef = torch.from_numpy(arrays["Rt_desc"].T.copy()), torch.from_numpy(arrays["Rt_d_desc_alpha"][:, :, 0])
    f, energy = reference.gdml_product(x, train, coef.contiguous(), perms, kernel)
    return energy + float(arrays["c"]), reference.jacobian_transpose_product(g, f)


@pytest.mark.parametrize("name", ["ethanol", "malonaldehyde", "toluene"])
def test_models_of_2018_are_the_closed_form(name):
    path = shared_data(f"model_sgdml_2018/{name}.npz")
    pos = read_npz(shared_data(f"md17_sgdml_teacher/{name}_sgdml_teacher.npz"))["R"][:20].astype(float)
    expected_energy, expected_forces = closed_form(read_npz(path), pos)
    energy, forces = pyff.load(path).predict(torch.from_numpy(pos))
    # with coefficients up to 4e12, both sides are some 1e-6 and 1e-5 away from sums in long double
    torch.testing.assert_close(energy, expected_energy, rtol=0, atol=1e-5)
    torch.testing.assert_close(forces, expected_forces, rtol=0, atol=3e-5)


def test_ethanol_model_of_2018_has_its_published_errors():
    """Force MAE 0.35 +- 0.01 kcal/mol/A on another trajectory than its own; its own test gave 0.335."""
    data = read_npz(shared_data("md17_ethanol_mlff/ethanol.npz"))
    model = pyff.load(shared_data("model_sgdml_2018/ethanol.npz"))
    every = slice(None, None, 4)
    energy, forces = model.predict(torch.from_numpy(data["R"][every]))
    assert np.abs(forces.numpy() - data["F"][every]).mean() == pytest.approx(0.35, abs=0.01)
    assert np.abs(energy.numpy() - data["E"][every].ravel()).mean() == pytest.approx(0.08, abs=0.01)


def old_layouts() -> dict[str, dict]:
    now = model_arrays()
    plain = {k: now[k] for k in ("z", "sig", "perms", "tril_perms_lin")}
    on_pairs = descriptor_permutations(torch.from_numpy(now["perms"])).numpy()
    kept = {k: v for k, v in now.items() if k not in ("std", "alphas_F", "lam", "r_unit", "e_unit", "solver_name")}
    c, coef = now["c"], now["R_d_desc_alpha"] * now["std"]
    first = plain | {"Rt_desc": now["R_desc"], "Rt_d_desc_alpha": coef[:, :, None], "perms": now["perms"] + 1, "c": c}
    return {
        "0.2.0": kept | {"type": np.array(b"m"), "R_d_desc_alpha": coef, "use_cprsn": np.array(False)},
        "July 2018": first | {"dataset": np.array("water"), "f_mae": np.array(0.3)},
        "January 2018": {"trainPts_D": now["R_desc"], "r_d_desc_alpha": coef[:, :, None], "train_perms": on_pairs,
                         "z": now["z"], "sig": now["sig"], "c": c},
    }  # fmt: skip


@pytest.mark.parametrize("layout", old_layouts())
def test_older_layouts_predict_the_same(layout):
    expected = model_of_arrays(model_arrays())
    model = model_of_arrays(old_layouts()[layout])
    pos = torch.from_numpy(positions(3))
    for a, b in zip(model.predict(pos), expected.predict(pos)):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert torch.equal(model.perms, expected.perms)


def test_arrays_of_a_model_are_those_of_its_file():
    arrays = model_arrays(LATTICE, energies=True)
    written = arrays_of_model(model_of_arrays(arrays))
    for name, value in written.items():
        found = np.asanyarray(value)
        if name not in ("r_unit", "e_unit"):
            assert found.dtype == arrays[name].dtype, name
            np.testing.assert_array_equal(found, arrays[name], err_msg=name)
    assert (written["r_unit"], written["e_unit"]) == ("Angstrom", "kcal/mol")


@pytest.mark.parametrize("case", SGDML)
def test_saved_file_is_the_file_that_was_loaded(case, tmp_path):
    """But for alphas_F, which only a resumed training needs."""
    arrays = case_arrays(case) | {"e_err": np.array({"mae": 0.125, "rmse": 0.25}, dtype=object), "n_test": np.array(3)}
    write_npz(tmp_path / "a.npz", arrays | {"r_unit": np.array("Angstrom")})
    model = pyff.load(tmp_path / "a.npz")
    pyff.save(model, tmp_path / "b.npz")
    first, second = read_npz(tmp_path / "a.npz"), read_npz(tmp_path / "b.npz")
    assert set(first) - set(second) == {"alphas_F"} and set(second) <= set(first)
    for name, value in second.items():
        assert value.dtype == first[name].dtype, name
        if name != "f_err":  # unknown numbers are not equal
            np.testing.assert_array_equal(value, first[name], err_msg=name)
    pos = torch.from_numpy(positions(4))
    assert all(map(torch.equal, pyff.load(tmp_path / "b.npz").predict(pos), model.predict(pos)))


def test_what_a_model_does_not_know_is_left_empty(tmp_path):
    model = model_of_arrays(model_arrays())
    model.info = {}
    pyff.save(model, tmp_path / "m.npz")
    arrays = read_npz(tmp_path / "m.npz")
    assert np.size(arrays["idxs_train"]) == 0 and arrays["n_test"] == 0 and str(arrays["solver_name"]) == "unknown"
    assert np.isnan(arrays["f_err"].item()["rmse"])


def test_units_that_were_assumed_are_not_stated(tmp_path):
    write_npz(tmp_path / "a.npz", {k: v for k, v in model_arrays().items() if k not in ("e_unit", "r_unit")})
    for units, stated in ((None, set()), ("eV,Angstrom", {"e_unit", "r_unit"})):
        pyff.save(pyff.load(tmp_path / "a.npz", units=units), tmp_path / "b.npz")
        assert {"e_unit", "r_unit"} & set(read_npz(tmp_path / "b.npz")) == stated


def test_kernel_that_sgdml_does_not_have_is_not_written():
    model = model_of_arrays(model_arrays())
    model.config = model.config.model_copy(update={"profile": "rbf"})
    with pytest.raises(ValueError, match="matern52 kernel only"):
        arrays_of_model(model)


@pytest.mark.parametrize("images", ["search", "round"])
def test_nearest_images_of_a_skewed_cell_survive_the_file(tmp_path, images, caplog):
    pos = torch.from_numpy(4 * positions(5))
    model = model_of_arrays(model_arrays(LATTICE))
    other = model.predict(pos)[0]
    model.config = model.config.model_copy(update={"images": images})
    caplog.clear()
    pyff.save(model, tmp_path / "m.npz")
    assert ("images" in read_npz(tmp_path / "m.npz")) == (images == "search")
    assert ("sgdml itself would round" in caplog.text) == (images == "search")
    back = pyff.load(tmp_path / "m.npz")
    assert back.config.images == images
    assert ("the cell is skewed" in caplog.text) == (images == "round")
    assert all(map(torch.equal, back.predict(pos), model.predict(pos)))
    assert torch.equal(back.predict(pos)[0], other) == (images == "round")


def test_orthogonal_cell_needs_no_word_on_images(tmp_path):
    model = model_of_arrays(model_arrays(np.diag([3.0, 4.0, 5.0])))
    energy = model.predict(torch.from_numpy(4 * positions(5)))[0]
    model.config = model.config.model_copy(update={"images": "search"})
    assert "images" not in arrays_of_model(model)
    torch.testing.assert_close(model.predict(torch.from_numpy(4 * positions(5)))[0], energy, rtol=1e-12, atol=0)


def test_unknown_images_are_refused(tmp_path):
    write_npz(tmp_path / "m.npz", model_arrays(LATTICE) | {"images": np.array("nearest")})
    with pytest.raises(ModelFileError, match=r"m\.npz: images must be search or round; received 'nearest'"):
        load_sgdml(tmp_path / "m.npz")


def test_units_come_from_the_file_and_are_never_contradicted(tmp_path, caplog):
    path, arrays = tmp_path / "m.npz", model_arrays()
    write_npz(path, arrays | {"e_unit": np.array("Ha"), "r_unit": np.array("bohr")})
    assert str(load_sgdml(path).units) == "Hartree, Bohr"
    with pytest.raises(ModelFileError, match="states the units Hartree, Bohr; received eV, Angstrom"):
        load_sgdml(path, "eV,Angstrom")
    write_npz(path, arrays | {"e_unit": np.array("a.u.?")})
    with pytest.raises(ModelFileError, match=r"received 'a\.u\.\?'. Say units='energy,length'"):
        load_sgdml(path)
    assert str(load_sgdml(path, "Hartree,Bohr").units) == "Hartree, Bohr"
    write_npz(path, {k: v for k, v in arrays.items() if k not in ("e_unit", "r_unit")})
    assert str(load_sgdml(path, "eV,Angstrom").units) == "eV, Angstrom"
    assert not caplog.records
    with caplog.at_level(logging.WARNING, "pyff"):
        model = load_sgdml(path)
    assert "states no units: taken as kcal/mol, Angstrom" in caplog.text
    assert model.info["units"] == "kcal/mol, Angstrom, sGDML's default: the file states none"


@pytest.mark.parametrize("given", [None, "Hartree,Angstrom"])
def test_calculator_of_a_file(tmp_path, given):
    arrays = model_arrays(LATTICE)
    del arrays["r_unit"], arrays["e_unit"]
    write_npz(tmp_path / "m.npz", arrays)
    pos = positions(1)[0]
    atoms = Atoms("OH2", pos, cell=LATTICE.T, pbc=True)
    atoms.calc = pyff.Calculator(tmp_path / "m.npz", units=given)
    energy, forces = model_of_arrays(arrays).predict(torch.from_numpy(pos)[None])
    factor = ENERGY["kcal/mol" if given is None else "Hartree"]
    assert atoms.get_potential_energy() == pytest.approx(float(energy) * factor, rel=1e-12)
    np.testing.assert_allclose(atoms.get_forces(), forces[0].numpy() * factor, rtol=1e-11)
    assert atoms.get_stress().shape == (6,)
    expected = "sGDML's default: the file states none" if given is None else "as given: the file states none"
    assert atoms.calc.info["units"].endswith(expected)


def test_what_is_no_model_is_said(tmp_path):
    path = tmp_path / "x.npz"
    write_npz(path, {"type": "d", "z": np.array([8, 1, 1]), "R": np.zeros((1, 3, 3))})
    with pytest.raises(ModelFileError, match=r"x\.npz is a data set: a model holds R_desc"):
        pyff.load(path)
    write_npz(path, model_arrays() | {"tril_perms_lin": np.arange(6)})
    with pytest.raises(ModelFileError, match="permutations of atoms and of descriptors"):
        pyff.load(path)
    write_npz(path, model_arrays() | {"R_d_desc_alpha": np.zeros((4, 2))})
    with pytest.raises(ModelFileError, match=r"x\.npz: cannot reshape"):
        pyff.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ModelFileError, match="cannot be read as npz"):
        pyff.load(path)


def test_skewed_cell_is_warned_of(caplog):
    model_of_arrays(model_arrays(np.array([[5.0, 2.5, 0.0], [0.0, 4.3, 0.0], [0.0, 0.0, 6.0]])))
    assert "the cell is skewed" in caplog.text


def test_stress_of_a_periodic_file_is_the_derivative_with_strain():
    model = model_of_arrays(model_arrays(LATTICE, energies=True))
    system = pyff.System([8, 1, 1], positions(1)[0] + 2.2 * np.eye(3), LATTICE.T, True)
    pyff.testing.check_stress(model, system)
    pyff.testing.check_forces(model, system, np.random.default_rng(0))


def test_descriptor_gradients_are_used_with_the_sign_of_forces():
    """A single force constraint: the model of one training point reproduces the direction it was given."""
    pos = torch.from_numpy(positions(1))
    x, g = inverse_distances(pos)
    arrays = model_arrays() | {"R_desc": x.T.numpy(), "perms": np.arange(3)[None], "tril_perms_lin": np.arange(3)}
    arrays["R_d_desc_alpha"] = np.array([[-1.0, 0.5, 0.25]])
    _, forces = model_of_arrays(arrays).predict(pos)
    expected = jacobian_transpose_product(g, torch.tensor([[1.0, -0.5, -0.25]], dtype=torch.float64))
    torch.testing.assert_close(forces, expected * 2.5 * 5 / (3 * 3**2))
