"""Tasks and trained models as sGDML's arrays; predictions of models trained by sgdml 1.0.3 on the same points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from _gdml_toy import water

import pyff
from pyff.errors import PyffError
from pyff.interfaces.sgdml import dataset_arrays, read_sgdml, write_sgdml
from pyff.interfaces.sgdml.training import (
    arrays_of_task,
    arrays_of_trained,
    data_of_arrays,
    task_from_model,
    task_of_arrays,
)
from pyff.models.gdml import GDMLConfig
from pyff.train.gdml import Start, create_task, train_task

SWAP = np.array([[0, 1, 2], [0, 2, 1]])
CELL = np.array([[4.0, 0.1, 0.0], [0.0, 3.5, 0.2], [0.3, 0.0, 3.0]])


def make_task(use_energy="constant", cell=None, images="round", **changes):
    data = replace(water(30, cell=cell), **changes)
    config = GDMLConfig(sigma=3, images=images)
    return create_task(data, 8, 5, config, perms=SWAP, use_energy=use_energy, rng=np.random.default_rng(0))


def same(a, b) -> bool:
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    return all(same(getattr(a, k), getattr(b, k)) for k in vars(a)) if hasattr(a, "__dict__") and vars(a) else a == b


@pytest.mark.parametrize("use_energy", ["constant", "constraints", "none"])
@pytest.mark.parametrize("cell", [None, CELL], ids=["open", "periodic"])
def test_task_survives_the_file(tmp_path, use_energy, cell):
    task = make_task(use_energy, cell)
    task = replace(task, start=Start(np.ones((8, 3, 3)), np.ones(8), 7, np.arange(4)))
    write_sgdml(tmp_path / "task.npz", arrays_of_task(task))
    back = task_of_arrays(read_sgdml(tmp_path / "task.npz", "t"))
    if use_energy == "none":
        assert back.energy is None
        back = replace(back, energy=task.energy)
    for field in vars(task):
        assert same(getattr(task, field), getattr(back, field)), field


def test_images_are_named_where_rounding_finds_others():
    for images, cell, named in (("search", CELL, True), ("round", CELL, False), ("search", np.diag([4, 3, 3]), False)):
        arrays = arrays_of_task(make_task(cell=cell, images=images))
        assert ("images" in arrays) == named
        assert task_of_arrays(arrays).config.images == ("search" if named else "round")


def test_other_kernels_are_refused():
    task = make_task()
    with pytest.raises(PyffError, match="matern52 kernel only"):
        arrays_of_task(replace(task, config=task.config.model_copy(update={"profile": "rbf"})))


@pytest.mark.parametrize("units", [("kcal/mol", "Ang"), (None, None)])
def test_units_are_those_of_the_data_set(units):
    energy, length = units
    source = water(30)
    arrays = dataset_arrays(source.Z, source.pos, source.forces, source.energy, name="w", e_unit=energy, r_unit=length)
    data = data_of_arrays(arrays)
    task = create_task(data, 5, 5, GDMLConfig(sigma=3), perms=SWAP, rng=np.random.default_rng(0))
    made = arrays_of_task(task)
    assert (made.get("e_unit"), made.get("r_unit")) == units
    assert made["md5_train"] == arrays["md5"]


@pytest.mark.parametrize("use_energy", ["constant", "constraints", "none"])
def test_trained_model_is_loaded_back(tmp_path, use_energy):
    trained = train_task(make_task(use_energy), say=lambda text: None)
    arrays = arrays_of_trained(trained)
    write_sgdml(tmp_path / "model.npz", arrays)
    assert ("e_err" in arrays) == (use_energy != "none")
    model = pyff.load(tmp_path / "model.npz")
    pos = torch.from_numpy(water(4, seed=3).pos)
    for one, two in zip(model.predict(pos), trained.model.predict(pos)):
        torch.testing.assert_close(one, two, rtol=1e-13, atol=1e-10)


def test_task_from_a_model_has_its_points_and_coefficients():
    source = water(30)
    dataset = dataset_arrays(source.Z, source.pos, source.forces, source.energy, name="water", theory="Morse")
    task = create_task(data_of_arrays(dataset), 8, 5, GDMLConfig(sigma=3, images="round"), perms=SWAP,
                       use_energy="constraints", rng=np.random.default_rng(0))  # fmt: skip
    trained = train_task(task, say=lambda text: None)
    again = task_from_model(arrays_of_trained(trained), dataset)
    for field in ("config", "Z", "pos", "forces", "energy", "perms", "use_energy", "source"):
        assert same(getattr(task, field), getattr(again, field)), field
    np.testing.assert_array_equal(again.start.alphas_F, trained.alphas_F)
    np.testing.assert_array_equal(again.start.alphas_E, trained.alphas_E)


GOLDEN = {  # sgdml 1.0.3 on `golden_task`: energies, forces
    "plain": (
        [-987.670708, -997.573202],
        [5.29291168, 162.736863, 18.190361, -7.95273603, -80.5507976, 45.2535734,
         2.65982435, -82.1860653, -63.4439343, -18.907857, -1.89962038, -42.7160557,
         7.35882053, -35.8729875, 17.3038996, 11.5490365, 37.7726079, 25.4121561],
    ),
    "constraints": (
        [-987.667033, -997.571756],
        [5.30628492, 162.593729, 17.9909364, -7.95916027, -80.6024389, 45.2960737,
         2.65287535, -81.9912897, -63.2870101, -18.8964286, -1.89289556, -42.6903403,
         7.35574279, -35.8389465, 17.2963093, 11.5406858, 37.731842, 25.3940309],
    ),
    "no energies": (
        [-875.001371, -884.903865],
        [5.29291168, 162.736863, 18.190361, -7.95273603, -80.5507976, 45.2535734,
         2.65982435, -82.1860653, -63.4439343, -18.907857, -1.89962038, -42.7160557,
         7.35882053, -35.8729875, 17.3038996, 11.5490365, 37.7726079, 25.4121561],
    ),
    "no symmetry": (
        [-987.67517, -997.592254],
        [5.26610507, 163.130305, 18.6372657, -7.9348868, -80.3131007, 45.1771977,
         2.66878172, -82.817204, -63.8144634, -18.6503379, -2.25654011, -42.1271763,
         7.20945173, -35.0324764, 16.9505822, 11.4408861, 37.2890165, 25.1765941],
    ),
    "periodic": (
        [-987.702879, -997.472962],
        [5.27690416, 162.546928, 18.2691424, -7.13595814, -81.0128859, 43.6117559,
         1.85905398, -81.5340423, -61.8808982, -18.5983653, -1.92994313, -42.0157222,
         7.85341596, -36.7794446, 17.061468, 10.7449493, 38.7093877, 24.9542542],
    ),
}  # fmt: skip


def golden_task(case: str):
    """What the golden values were computed from: all of 12 frames, sigma 3."""
    data = water(12, seed=11, cell=0.7 * CELL if case == "periodic" else None)  # nearest images
    use = {"constraints": "constraints", "no energies": "none"}.get(case, "constant")
    task = create_task(data, 12, 1, GDMLConfig(sigma=3, images="round"), valid_data=water(1, seed=5), perms=SWAP,
                       use_sym=case != "no symmetry", use_energy=use, rng=np.random.default_rng(0))  # fmt: skip
    order = np.argsort(task.source.train)
    return replace(task, pos=task.pos[order], forces=task.forces[order], energy=task.energy[order])


@pytest.mark.parametrize("case", ["plain", "constraints", "no energies", "no symmetry", "periodic"])
def test_predictions_are_those_of_sgdml(case):
    expected_energy, expected_forces = GOLDEN[case]
    energy, forces = train_task(golden_task(case), say=lambda text: None).model.predict(
        torch.from_numpy(water(2, seed=5).pos)
    )
    span = np.abs(expected_forces).max()
    np.testing.assert_allclose(forces.numpy(), np.reshape(expected_forces, (2, 3, 3)), atol=1e-6 * span)
    np.testing.assert_allclose(energy.numpy(), expected_energy, atol=1e-6 * span)
