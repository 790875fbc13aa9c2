"""pyff gdml create, train, select, all: sgdml's files, their rules, what goes on and what is refused."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
import torch
from _gdml_toy import water

import pyff
from pyff.cli import run
from pyff.cli.gdml_create import parse_sigmas
from pyff.errors import PyffError
from pyff.interfaces.sgdml import dataset_arrays, fingerprint, read_sgdml, write_sgdml
from pyff.interfaces.sgdml.training import arrays_of_trained, data_of_arrays, task_of_arrays
from pyff.train.gdml import fit, train_task

SWAP = np.array([[0, 1, 2], [0, 2, 1]])
FOLDER = "sgdml_cv_water-Morse-train20-sym"


def write_dataset(path, m: int = 60, seed: int = 0, **changes) -> None:
    data = water(m, seed=seed)
    arrays = dataset_arrays(data.Z, data.pos, data.forces, data.energy, name="water", theory="Morse", perms=SWAP,
                            e_unit="kcal/mol", r_unit="Ang")  # fmt: skip
    write_sgdml(path, {k: v for k, v in (arrays | changes).items() if v is not None})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_dataset("data.npz")
    return tmp_path


def gdml(capsys, *args) -> dict:
    assert run(["gdml", *map(str, args), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def failed(capsys, *args) -> str:
    assert run(["gdml", *map(str, args)]) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["10:10:90"], tuple(range(10, 100, 10))),
        (["3:5"], (3, 4, 5)),
        (["7.5", "2", "2"], (2, 7.5)),
        (["0.1:0.1:0.3"], (0.1, 0.2, 0.3)),
    ],
)
def test_numbers_and_ranges(texts, numbers):
    assert parse_sigmas(texts) == pytest.approx(numbers)


@pytest.mark.parametrize(("text", "words"), [("9:3", "empty range"), ("a", "numbers and ranges"), ("0", "positive")])
def test_no_numbers(text, words):
    with pytest.raises(PyffError, match=words):
        parse_sigmas([text])


def test_create_writes_a_task_per_sigma_with_the_same_points(folder, capsys):
    assert gdml(capsys, "create", "data.npz", 20, 10, "-s", 1, "2:2:6", 7.5)["task_dir"] == FOLDER
    names = sorted(p.name for p in (folder / FOLDER).iterdir())
    assert names == [f"task-train20-sym2-sig{s}.npz" for s in ("0001", "0002", "0004", "0006", "0007.5")]
    tasks = [read_sgdml(folder / FOLDER / name) for name in names]
    assert [float(t["sig"]) for t in tasks] == [1, 2, 4, 6, 7.5]
    assert tasks[0]["sig"].dtype.kind == "i"
    for task in tasks[1:]:
        np.testing.assert_array_equal(task["idxs_train"], tasks[0]["idxs_train"])
    assert not set(tasks[0]["idxs_train"]) & set(tasks[0]["idxs_valid"])


def test_sigmas_end_where_other_arguments_begin(folder, capsys):
    gdml(capsys, "create", "-s", 1, 2, "data.npz", 20, 10)
    assert len(list((folder / FOLDER).iterdir())) == 2


def test_ridges_are_tasks_of_their_own(folder, capsys):
    gdml(capsys, "create", "data.npz", "--lam", 1e-10, 1e-8, "1.25e-3", 20, 10, "-s", 2)
    names = sorted(p.name for p in (folder / FOLDER).iterdir())
    assert names == [f"task-train20-sym2-sig0002{lam}.npz" for lam in ("-lam0.00125", "-lam1e-08", "")]
    assert {float(read_sgdml(folder / FOLDER / name)["lam"]) for name in names} == {1e-10, 1e-8, 1.25e-3}
    close = [1e-8, 1.0000001e-8, 1.00000012e-8]
    gdml(capsys, "create", "data.npz", 20, 10, "--task_dir", "close", "-s", 2, 2.0000001, "--lam", *close)
    assert len(list((folder / "close").iterdir())) == 6
    assert "tasks of another search" in failed(capsys, "create", "data.npz", 20, 10, "-s", 2)


def test_noisy_labels_choose_a_larger_ridge(folder, capsys):
    data = read_sgdml("data.npz")
    noise = 0.1 * data["F"].std() * np.random.default_rng(5).normal(size=data["F"].shape)
    write_dataset("noisy.npz", F=data["F"] + noise, md5=None)
    command = ("all", "noisy.npz", 30, 15, 15, "-s", 2, 8, "--lam", 1e-10, 1e-4, 1e-2)
    result = gdml(capsys, *command)
    tried = {(v["sigma"], v["lam"]): v["forces_rmse"] for v in result["validation"]}
    assert set(tried) == {(s, lam) for s in (2, 8) for lam in (1e-10, 1e-4, 1e-2)}
    chosen = read_sgdml(result["model"])
    assert chosen["lam"] > 1e-10 and (float(chosen["sig"]), float(chosen["lam"])) == min(tried, key=tried.get)
    assert gdml(capsys, *command)["model"] == result["model"]
    assert run(["gdml", "select", "sgdml_cv_water-Morse-train30-sym", "--model_file", "other"]) == 0
    assert "lambda" in capsys.readouterr().out


def test_one_ridge_is_not_shown(folder, capsys):
    assert run(["gdml", "all", "data.npz", "20", "10", "-s", "2", "4"]) == 0
    assert "lambda" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "end", "key", "value"),
    [
        ("--no_E", "-sym-noE", "use_E", False),
        ("--E_cstr", "-sym-Ecstr", "use_E_cstr", True),
        ("--gdml", "", "use_sym", False),
    ],
)
def test_options_of_the_task(folder, capsys, option, end, key, value):
    made = gdml(capsys, "create", "data.npz", 20, 10, option, "-s", 3)["task_dir"]
    assert made == f"sgdml_cv_water-Morse-train20{end}"
    assert (
        bool(read_sgdml(folder / made / f"task-train20-sym{1 if option == '--gdml' else 2}-sig0003.npz")[key]) is value
    )


def test_create_again_adds_what_is_missing(folder, capsys):
    gdml(capsys, "create", "data.npz", 20, 10, "-s", 1, 2)
    first = (folder / FOLDER / "task-train20-sym2-sig0001.npz").read_bytes()
    gdml(capsys, "create", "data.npz", 20, 10, "-s", 1, 2, 3)
    assert (folder / FOLDER / "task-train20-sym2-sig0001.npz").read_bytes() == first
    points = [read_sgdml(p)["idxs_train"] for p in sorted((folder / FOLDER).iterdir())]
    assert len(points) == 3 and all(np.array_equal(p, points[0]) for p in points)


def test_another_search_in_the_folder_is_refused_or_overwritten(folder, capsys):
    (folder / "tasks").mkdir()
    (folder / "tasks" / "notes.npz").write_bytes(b"PK\x05\x06" + bytes(18))  # an empty archive of someone else
    gdml(capsys, "create", "data.npz", 20, 10, "--task_dir", "tasks", "-s", 1, 2)
    assert "tasks of another search" in failed(capsys, "create", "data.npz", 20, 11, "--task_dir", "tasks", "-s", 1)
    gdml(capsys, "create", "data.npz", 20, 11, "--task_dir", "tasks", "-o", "-s", 1)
    assert sorted(p.name for p in (folder / "tasks").iterdir()) == ["notes.npz", "task-train20-sym2-sig0001.npz"]


@pytest.mark.parametrize("options", [("--seed", 5), ("--perms_from", "one.npz")])
def test_other_points_or_symmetries_are_another_search(folder, capsys, options):
    np.savez(folder / "one.npz", perms=SWAP[:1])
    gdml(capsys, "create", "data.npz", 20, 10, "-s", 1)
    assert "tasks of another search" in failed(capsys, "create", "data.npz", 20, 10, "-s", 1, *options)


def test_create_overwrites_what_an_interrupted_solver_left(folder, capsys):
    gdml(capsys, "create", "data.npz", 20, 10, "-s", 1)
    for name in ("_unconv_model-train20-sym2-sig0001.npz", "_solver_model-train20-sym2-sig0001.ckpt"):
        (folder / FOLDER / name).write_bytes(b"")
    gdml(capsys, "create", "data.npz", 20, 10, "-s", 1, "-o")
    assert [p.name for p in (folder / FOLDER).iterdir()] == ["task-train20-sym2-sig0001.npz"]


def test_train_overwrite_starts_anew(folder, capsys):
    gdml(capsys, "create", "data.npz", 20, 10, "-s", 1)
    (folder / FOLDER / "_solver_model-train20-sym2-sig0001.ckpt").write_bytes(b"of another problem")
    train = ("train", FOLDER, "data.npz", "--solver", "iterative")
    assert "checkpoint" in failed(capsys, *train)
    assert len(gdml(capsys, *train, "-o")["models"]) == 1


def test_permutations_of_a_file_that_counts_from_1(folder, capsys):
    np.savez(folder / "perms.npz", perms=SWAP + 1)
    write_dataset("bare.npz", perms=None)
    made = gdml(capsys, "create", "bare.npz", 20, 10, "--perms_from", "perms.npz", "-s", 2)["task_dir"]
    np.testing.assert_array_equal(read_sgdml(folder / made / "task-train20-sym2-sig0002.npz")["perms"], SWAP)


def test_training_ends_where_the_error_rises_and_goes_on_where_it_was(folder, capsys):
    gdml(capsys, "create", "data.npz", 20, 10, "-s", 0.2, 1, 4, 200, 400)
    models = gdml(capsys, "train", FOLDER, "data.npz")["models"]
    errors = [read_sgdml(m)["f_err"].item()["rmse"] for m in models]
    assert errors[-1] > errors[-2] == min(errors)
    assert len(models) < 5
    before = (folder / models[0]).read_bytes()
    assert gdml(capsys, "train", FOLDER, "data.npz")["models"] == models
    assert (folder / models[0]).read_bytes() == before
    assert not list((folder / FOLDER).glob("_*"))


def test_lazy_skips_what_failed_before(folder, capsys):
    gdml(capsys, "create", "data.npz", 20, 10, "-s", 1, 4)
    path = folder / FOLDER / "task-train20-sym2-sig0001.npz"
    write_sgdml(path, read_sgdml(path) | {"tried_training": True})
    models = gdml(capsys, "train", FOLDER, "data.npz", "--lazy")["models"]
    assert models == [f"{FOLDER}/model-train20-sym2-sig0004.npz"]


def test_other_validation_data_are_refused_after_the_model_is_safe(folder, capsys):
    write_dataset("other.npz", seed=3)
    gdml(capsys, "create", "data.npz", 20, 10, "-s", 3)
    assert "validation data set must be that of the task" in failed(capsys, "train", FOLDER, "other.npz")
    assert (folder / FOLDER / "model-train20-sym2-sig0003.npz").exists()


def test_select_copies_the_best_and_deletes_only_when_asked(folder, capsys):
    gdml(capsys, "create", "data.npz", 20, 10, "-s", 0.2, 1, 4)
    models = gdml(capsys, "train", FOLDER, "data.npz")["models"]
    best = min(models, key=lambda m: read_sgdml(m)["f_err"].item()["rmse"])
    chosen = gdml(capsys, "select", FOLDER)["model"]
    assert chosen == "water-Morse-train20-sym2.npz"
    assert read_sgdml(chosen)["sig"] == read_sgdml(best)["sig"]
    assert (folder / FOLDER).exists()
    assert gdml(capsys, "select", FOLDER)["model"] == chosen  # once more changes nothing
    write_sgdml(chosen, read_sgdml(chosen) | {"sig": 7})
    assert "--overwrite" in failed(capsys, "select", FOLDER)
    gdml(capsys, "select", FOLDER, "--model_file", "mine", "--clean")
    assert (folder / "mine.npz").exists() and not (folder / FOLDER).exists()


def test_select_refuses_tested_models(folder, capsys):
    gdml(capsys, "create", "data.npz", 20, 10, "-s", 4)
    (model,) = gdml(capsys, "train", FOLDER, "data.npz")["models"]
    gdml(capsys, "test", model, "data.npz")
    assert "test errors" in failed(capsys, "select", FOLDER)


def test_all_makes_a_model_that_a_calculator_takes(folder, capsys):
    result = gdml(capsys, "all", "data.npz", 20, 10, 25, "--refine", "-s", 0.2, 1, 4)
    assert result["test"]["n"] == 25
    assert (folder / result["picture"]).read_bytes().startswith(b"\x89PNG")
    assert len(result["validation"]) > 3
    data = water(3, seed=8)
    energy, _ = pyff.load(result["model"]).predict(torch.from_numpy(data.pos))
    np.testing.assert_allclose(energy.numpy(), data.energy, atol=0.001 * np.ptp(data.energy))


def test_all_takes_a_solver(folder, capsys):
    result = gdml(capsys, "all", "data.npz", 20, 10, 25, "-s", 1, "--solver", "iterative", "--columns", 40)
    arrays = read_sgdml(folder / result["model"], "m")
    assert str(arrays["solver_name"]) == "cg" and len(arrays["inducing_pts_idxs"]) == 40


def test_all_again_goes_on_to_the_test(folder, capsys):
    first, second = (gdml(capsys, "all", "data.npz", 20, 10, "-s", 1, 4) for _ in range(2))
    assert second == first


def test_model_saved_from_python_knows_what_it_has_seen(folder, capsys):
    model, _ = fit(data_of_arrays(read_sgdml("data.npz")), 20, 10, sigma=4, quiet=True)
    pyff.save(model, "mine.npz")
    assert gdml(capsys, "test", "mine.npz", "data.npz")["errors"]["mine.npz"]["n"] == 60 - 20 - 10
    validated = gdml(capsys, "validate", "mine.npz", "data.npz", "-o")["errors"]["mine.npz"]
    assert validated["n"] == 10


def test_frames_that_are_not_finite_are_named(folder, capsys):
    forces = read_sgdml("data.npz")["F"].copy()
    forces[7, 1] = np.nan
    write_dataset("broken.npz", F=forces)
    assert "1 of 60 frames have NaN or infinity, the first is frame 7" in failed(capsys, "all", "broken.npz", 20, 10)
    model = gdml(capsys, "all", "data.npz", 20, 10, "-s", 4)["model"]
    assert "F must be finite" in failed(capsys, "test", model, "broken.npz")


def test_units_are_not_made_up(folder, capsys):
    write_dataset("bare.npz", e_unit=None, r_unit=None)
    assert run(["gdml", "show", "bare.npz"]) == 0
    assert "[unit not stated]" in capsys.readouterr().out


def run_text(capsys, *args) -> str:
    assert run(["gdml", *map(str, args)]) == 0
    return capsys.readouterr().out


def test_assumed_units_are_said_once_and_not_written(folder, capsys):
    write_dataset("bare.npz", e_unit=None, r_unit=None)
    text = run_text(capsys, "all", "bare.npz", 20, 10, "-s", 2, "--model_file", "m")
    assert text.count("kcal/mol, Angstrom are assumed, as sgdml does; --units says others") == 1
    assert not {"e_unit", "r_unit"} & set(read_sgdml("m.npz"))
    assert "which no file states" in run_text(capsys, "test", "m.npz", "bare.npz")
    assert "assumed" not in run_text(capsys, "create", "data.npz", 20, 10, "--task_dir", "stated", "-s", 2)


def test_units_of_data_that_state_none(folder, capsys):
    write_dataset("bare.npz", e_unit=None, r_unit=None)
    command = ("all", "bare.npz", 20, 10, "-s", 2, "--model_file", "m", "--units", "kJ/mol,Ang")
    text = run_text(capsys, *command)
    assert "units       kJ/mol, Angstrom, by --units" in text and "assumed" not in text
    assert str(pyff.load("m.npz").units) == "kJ/mol, Angstrom"
    assert str(read_sgdml("m.npz")["md5_train"].item().decode()) == fingerprint(read_sgdml("bare.npz"))
    gdml(capsys, *command)  # goes on
    assert "energies, ridge or units" in failed(capsys, "create", "bare.npz", 20, 10, "-s", 2)
    text = failed(capsys, "test", "m.npz", "data.npz")
    assert "the model states kJ/mol, Angstrom, the data set kcal/mol, Angstrom" in text


def test_units_that_contradict_the_data(folder, capsys):
    text = failed(capsys, "create", "data.npz", 20, 10, "--units", "eV,Ang")
    assert "data.npz states kcal/mol, Angstrom, --units says eV, Angstrom" in text
    assert "which forces follow" in failed(capsys, "create", "data.npz", 20, 10, "--units", "eV,Ang,Hartree/Bohr")
    write_dataset("other.npz", seed=4, e_unit="eV")
    text = failed(capsys, "create", "data.npz", 20, 10, "-v", "other.npz")
    assert "the training data state kcal/mol, Angstrom, the validation data eV, Angstrom" in text
    assert gdml(capsys, "create", "data.npz", 20, 10, "--units", "kcal/mol,Angstrom", "-s", 2)


def test_help_shows_ranges(capsys):
    assert run(["gdml", "create", "--help"]) == 0
    assert "start:step:stop" in capsys.readouterr().out


def test_all_without_points_for_a_test(folder, capsys):
    result = gdml(capsys, "all", "data.npz", 40, 20, "-s", 4)
    assert result["test"] is None and (folder / result["model"]).exists()


def test_resume_of_a_closed_form_has_nothing_to_do(folder, capsys):
    gdml(capsys, "create", "data.npz", 20, 10, "-s", 4)
    task = task_of_arrays(read_sgdml(folder / FOLDER / "task-train20-sym2-sig0004.npz"))
    write_sgdml("model.npz", arrays_of_trained(train_task(task, say=lambda text: None)))
    assert "closed form" in failed(capsys, "resume", "model.npz", "data.npz", "data.npz")
    write_dataset("other.npz", seed=3)
    assert "other.npz must be the data set" in failed(capsys, "resume", "model.npz", "other.npz", "data.npz")


def test_iterative_training_with_chosen_columns(folder, capsys):
    gdml(capsys, "create", "data.npz", 20, 10, "-s", 2)
    (model,) = gdml(capsys, "train", FOLDER, "data.npz", "--solver", "iterative", "--preconditioner", "random",
                    "--columns", 40)["models"]  # fmt: skip
    arrays = read_sgdml(model, "m")
    assert str(arrays["solver_name"]) == "cg" and len(arrays["inducing_pts_idxs"]) == 40
    assert arrays["solver_resid"] <= arrays["solver_tol"] * arrays["norm_y_train"]
    assert sorted(p.name[:6] for p in (folder / FOLDER).iterdir()) == ["model-", "task-t"]


def test_interrupted_training_goes_on_with_the_same_command(folder, capsys, monkeypatch):
    import pyff.solvers.iterative as solver

    gdml(capsys, "create", "data.npz", 20, 10, "-s", 2)
    train = ("train", FOLDER, "data.npz", "--solver", "iterative", "--columns", 30)
    step, steps = solver.ConjugateGradients.step, []

    def step_then_interrupt(self, *args):
        step(self, *args)
        steps.append(len(self.norms) - 1)
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(solver.ConjugateGradients, "step", step_then_interrupt)
    assert run(["gdml", *map(str, train)]) == 130
    said = capsys.readouterr().err
    assert "stopped; the same command goes on" in said and "pyff: interrupted" in said
    assert sorted(p.name[:7] for p in (folder / FOLDER).iterdir()) == ["_solver", "_unconv", "task-tr"]
    assert run(["gdml", *map(str, train)]) == 0
    assert "going on from" in capsys.readouterr().out
    assert sorted(p.name[:7] for p in (folder / FOLDER).iterdir()) == ["model-t", "task-tr"]
    assert steps == list(range(1, len(steps) + 1)) and len(steps) > 3  # the fourth step follows the third


def test_data_without_energies_leave_no_folder(folder, capsys):
    write_dataset("forces.npz", E=None)
    assert "forces.npz has no energies: --no_E" in failed(capsys, "create", "forces.npz", 20, 10)
    assert not [p for p in folder.iterdir() if p.is_dir()]
    assert "no such file or folder: missing.npz" in failed(capsys, "create", "missing.npz", 20, 10)


def test_options_that_exclude_each_other(folder, capsys):
    assert "--no_E and --E_cstr" in failed(capsys, "create", "data.npz", 20, 10, "--no_E", "--E_cstr")
