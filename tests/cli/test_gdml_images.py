"""pyff gdml with periodic cells: the nearest images in skewed cells, too; sgdml's files mean its rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from _gdml_toy import arrays_of_data, shaken
from ase import Atoms
from ase.build import bulk

import pyff
from pyff.cli import run
from pyff.compat.sgdml.predict import GDMLPredict
from pyff.interfaces.sgdml import read_sgdml, write_sgdml
from pyff.models.gdml.symmetry import supercell_group
from pyff.ops import inverse_distances
from pyff.train.gdml import GdmlData, fit

SKEWED, CUBIC = bulk("Cu", "fcc").repeat(2), bulk("Cu", "fcc", cubic=True)
SAYS, WARNS = "sgdml itself would round", "the cell is skewed"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(ideal: Atoms) -> tuple[GdmlData, np.ndarray]:
    """The data set and the symmetries, in files data.npz and group.npz."""
    data, perms = shaken(ideal, 30), supercell_group(ideal).perms.numpy()
    write_sgdml("data.npz", arrays_of_data(data))
    np.savez("group.npz", perms=perms)
    return data, perms


def done(capsys, *args) -> str:
    """What a command said."""
    assert run(["gdml", *map(str, args)]) == 0, capsys.readouterr().err
    said = capsys.readouterr()
    return " ".join((said.out + said.err).split())


def test_all_in_a_skewed_cell_makes_the_model_of_fit(folder, capsys):
    data, perms = write(SKEWED)
    said = done(capsys, "all", "data.npz", 10, 5, "-s", 8, 16, "--perms", "group.npz", "--model_file", "model")
    assert said.count(SAYS) == 1 and WARNS not in said
    expected, report = fit(data, 10, 5, sigma=(8, 16), perms=perms, quiet=True)
    model, arrays = pyff.load("model.npz"), read_sgdml("model.npz")
    assert model.config == expected.config and model.config.images == "search"
    np.testing.assert_array_equal(arrays["idxs_train"], expected.info["idxs_train"])
    pos = torch.from_numpy(data.pos)
    for a, b in zip(model.predict(pos), expected.predict(pos)):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert arrays["f_err"].item()["mae"] == pytest.approx(report.test.forces.mae, rel=1e-9)
    _, forces = GDMLPredict(arrays).predict(data.pos.reshape(30, -1))
    np.testing.assert_allclose(forces.reshape(30, -1, 3), expected.predict(pos)[1], rtol=1e-12, atol=1e-12)
    assert "the true nearest" in done(capsys, "show", "model.npz")


def test_task_of_sgdml_in_a_skewed_cell_is_rounded(folder, capsys, caplog):
    """A task without the array is sgdml's, and its model is what sgdml makes of it."""
    data, _ = write(SKEWED)
    options = ("data.npz", 10, 5, "-s", 8, "--perms", "group.npz", "--task_dir", "tasks")
    done(capsys, "create", *options)
    (path,) = (folder / "tasks").glob("task-*")
    task = read_sgdml(path, "t")
    assert str(task.pop("images")) == "search"
    write_sgdml(path, task)
    assert WARNS in done(capsys, "create", *options)  # goes on with the folder's tasks
    done(capsys, "train", "tasks", "data.npz")
    (model,) = (folder / "tasks").glob("model-*")
    assert WARNS in caplog.text and "images" not in read_sgdml(model)
    pos, cell = torch.from_numpy(task["R_train"]), torch.from_numpy(data.cell)
    rounded, nearest = (inverse_distances(pos, cell, images)[0].T.numpy() for images in ("round", "search"))
    np.testing.assert_array_equal(read_sgdml(model)["R_desc"], rounded)
    assert abs(rounded - nearest).max() > 0.05


def test_files_of_an_orthogonal_cell_are_those_of_sgdml(folder, capsys):
    write(CUBIC)
    said = done(capsys, "all", "data.npz", 10, 5, "-s", 8, "--perms", "group.npz", "--task_dir", "tasks")
    assert SAYS not in said and WARNS not in said
    for path in (folder / "tasks").iterdir():
        assert "images" not in read_sgdml(path) and "lattice" in read_sgdml(path)


def test_resumed_model_keeps_its_images(folder, capsys):
    write(SKEWED)
    done(capsys, "create", "data.npz", 10, 5, "-s", 8, "--perms", "group.npz", "--task_dir", "tasks")
    done(capsys, "train", "tasks", "data.npz", "--solver", "iterative")
    (path,) = (folder / "tasks").glob("model-*")
    converged = read_sgdml(path)
    write_sgdml(path, converged | {"solver_resid": 2 * converged["norm_y_train"]})  # as if it had not
    done(capsys, "resume", path, "data.npz", "data.npz")
    assert str(read_sgdml(path)["images"]) == "search"
    np.testing.assert_array_equal(read_sgdml(path)["R_desc"], converged["R_desc"])
