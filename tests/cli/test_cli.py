from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from _data import CHECKOUT, shared_data
from _python import output_of, run_python
from _toy import toy_model
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import read, write

import pyff
from pyff.cli import run
from pyff.cli.console import Console

COMMANDS = (
    "demo",
    "fit",
    "train",
    "finetune",
    "learning-curve",
    "test",
    "md",
    "relax",
    "stability",
    "spectrum",
    "minima",
    "attention",
    "convert",
    "info",
)
SMALL = ["--features", "8", "--interactions", "1", "--batch-size", "4", "--seed", "3"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Forty labelled frames of ethanol, energies and forces of the toy potential in eV and A."""
    path, calc = tmp_path_factory.mktemp("data") / "frames.xyz", pyff.Calculator(toy_model().double())
    for seed in range(40):
        atoms = molecule("CH3CH2OH")
        atoms.rattle(0.04, seed=seed)
        energy, forces = calc.get_property("energy", atoms), calc.get_property("forces", atoms)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        atoms.info.update(energy_unit="eV", length_unit="Angstrom")
        write(path, atoms, format="extxyz", append=True)
    return path


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory):
    """A run folder of three epochs."""
    folder = tmp_path_factory.mktemp("fit") / "run"
    assert run(["fit", str(data), "--epochs", "3", "--out", str(folder), "--quiet", *SMALL]) == 0
    return folder


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.safetensors"
    pyff.save(toy_model().double(), path)
    return str(path)


@pytest.fixture
def start(tmp_path):
    atoms = molecule("CH3CH2OH")
    write(tmp_path / "start.xyz", atoms, format="extxyz")
    return str(tmp_path / "start.xyz")


def test_help_of_every_command_teaches_with_examples(capsys):
    for command in COMMANDS:
        assert run([command, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "Examples" in shown and f"pyff {command}" in shown, command
    assert run([]) == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)


def test_help_imports_nothing_heavy(tmp_path):
    code = (
        "import sys\nfrom pyff.cli import run\nrun(['--help'])\nrun(['fit', '--help'])\n"
        "print([m for m in ('torch', 'scipy', 'ase', 'numpy', 'matplotlib') if m in sys.modules])"
    )
    assert output_of("-c", code, cwd=tmp_path).splitlines()[-1] == "[]"


def test_version_is_printed(capsys):
    assert run(["--version"]) == 0 and capsys.readouterr().out.strip() == f"pyff {pyff.__version__}"


def test_module_runs_as_a_command(tmp_path):
    for module in ("pyff", "pyff.cli"):
        done = run_python("-m", module, "info", "missing.safetensors", cwd=tmp_path)
        assert done.returncode == 1 and done.stdout == ""
        assert done.stderr.startswith("pyff: ") and "missing.safetensors" in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["fly"], 2, "No such command 'fly'. See `pyff --help`."),
        (["fit"], 2, "See `pyff fit --help`."),
        (["fit", "x.xyz", "--epochs", "many"], 2, "Invalid value for '--epochs'"),
        (["fit", "x.xyz", "--epochs", "0"], 2, "Invalid value for '--epochs'"),
        (["fit", "nowhere.xyz"], 1, "no data file at"),
        (["fit", "x.xyz", "--model", "magic"], 1, "--model must be schnet, so3krates"),
        (["fit", "x.xyz", "--train", "lots"], 1, "split.train: must be a number of frames or a fraction"),
        (["fit", "x.xyz", "--cutoff", "-1"], 1, "model.cutoff: Input should be greater than 0; received -1"),
        (["fit", "x.xyz", "--set", "model.foo=1"], 1, "model.foo: there is no such setting; known are n_features"),
        (["fit", "x.xyz", "--set", "training.foo=1"], 1, "training.foo: there is no such setting; known are energy_w"),
        (["test", "nowhere.safetensors", "x.xyz"], 1, "nowhere.safetensors"),
        (["train", "nowhere.yaml"], 1, "no such file; `pyff fit` writes one"),
        (["convert", "a", "b.safetensors"], 1, "--units must say what the model was trained in"),
        (["convert", "a", "b.safetensors", "--units", "eV,Angstrom"], 1, "--elements must list"),
        (["convert", "a", "b.pt", "--units", "eV,Angstrom", "--elements", "H"], 1, "must end in .safetensors"),
    ],
)
def test_errors_are_one_sentence_with_an_exit_code(argv, code, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_bytes(b"not SO3LR")  # what to convert is looked for before its options
    assert run(argv) == code
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1].startswith("pyff: ") or "not valid:" in captured.err
    assert message in captured.err and "Traceback" not in captured.err
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(FileNotFoundError):
        run(["info", str(tmp_path / "nowhere.safetensors"), "--debug"])


def test_info_names_what_is_live(capsys, monkeypatch):
    assert run(["info"]) == 0
    shown = capsys.readouterr().out
    for word in (pyff.__version__, "instruction set", "threads", "CUDA", "torch"):
        assert word in shown
    assert run(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["instruction set"].startswith(pyff._core.isa())


def test_info_says_why_a_faster_path_is_not_live(tmp_path, monkeypatch):
    if pyff._core.best_isa() == "baseline":
        pytest.skip("this processor has nothing faster")
    monkeypatch.setenv("PYFF_ISA", "baseline")
    shown = output_of("-m", "pyff", "info", cwd=tmp_path)
    assert "baseline, although this processor has" in shown and "PYFF_ISA=baseline holds it back; unset it" in shown


def test_info_imports_torch_only_for_a_build_with_cuda(tmp_path):
    code = "import sys\nfrom pyff.cli import run\nrun(['info'])\nprint('torch' in sys.modules)"
    from importlib.metadata import version

    expected = str(not version("torch").endswith("+cpu"))
    assert output_of("-c", code, cwd=tmp_path).splitlines()[-1] == expected


def test_fit_leaves_a_tested_model_and_everything_about_it(fitted, data):
    names = {p.name for p in fitted.iterdir()}
    assert {"config.yaml", "split.npz", "metrics.jsonl", "model.safetensors", "results.json", "report.png"} <= names
    results = json.loads((fitted / "results.json").read_text())
    assert results["data"]["n_train"] == 32 and results["data"]["n_valid"] == 4
    assert results["training"]["epochs"] == 3 and results["errors_eV_A"]["test"]["forces_mae"] > 0
    model = pyff.load(fitted / "model.safetensors")
    assert model.config.n_features == 8 and model.info["ranges"]["n_atoms"] == [9, 9]
    frames = read(data, ":", format="extxyz")
    calc = pyff.Calculator(fitted / "model.safetensors")
    tested = np.load(fitted / "split.npz", allow_pickle=False)["test_idx"]
    errors = [calc.get_property("forces", frames[k]) - frames[k].get_forces() for k in tested]
    assert np.abs(errors).mean() == pytest.approx(results["errors_eV_A"]["test"]["forces_mae"], rel=1e-4)


def test_fit_refuses_to_overwrite_a_run(fitted, data, capsys):
    assert run(["fit", str(data), "--out", str(fitted), *SMALL]) == 1
    assert "holds a run already: add --overwrite" in capsys.readouterr().err


def test_train_repeats_a_run_exactly_and_resumes_it(fitted, tmp_path, capsys):
    for name in ("config.yaml",):
        shutil.copy(fitted / name, tmp_path / name)
    assert run(["train", str(tmp_path / "config.yaml"), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["epochs"] == 3
    before, again = (pyff.load(p / "model.safetensors").state_dict() for p in (fitted, tmp_path))
    assert all((before[name] == again[name]).all() for name in before)
    text = (tmp_path / "config.yaml").read_text().replace("max_epochs: 3", "max_epochs: 5")
    (tmp_path / "config.yaml").write_text(text)
    assert run(["train", str(tmp_path / "config.yaml"), "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 5


def test_train_names_every_mistake_in_a_config(fitted, tmp_path, capsys):
    path = tmp_path / "config.yaml"
    text = (fitted / "config.yaml").read_text()
    path.write_text(text.replace("lr: ", "learning_rate: ").replace("batch_size: 4", "batch_size: 0"))
    assert run(["train", str(path)]) == 1
    shown = capsys.readouterr().err
    assert "training.learning_rate" in shown and "training.batch_size" in shown
    path.write_text("- a list")
    assert run(["train", str(path)]) == 1
    assert "must hold data, split, model and training" in capsys.readouterr().err


def test_test_prints_errors_in_the_units_of_the_data(fitted, data, tmp_path, capsys):
    model, picture = str(fitted / "model.safetensors"), tmp_path / "parity.png"
    assert run(["test", model, str(data), "--picture", str(picture)]) == 0
    shown = capsys.readouterr().out
    assert "40 frames" in shown and "force components" in shown and "eV/Angstrom" in shown
    assert picture.read_bytes()[:4] == b"\x89PNG"
    for name, words in (("a.gif", "must end in .png, .pdf or .svg"), ("no/a.png", "must lie in a folder that exists")):
        assert run(["test", model, str(data), "--picture", str(tmp_path / name)]) == 1
        shown = capsys.readouterr()
        assert f"--picture {words}" in shown.err and not shown.out
    assert run(["test", model, str(data), "--split", str(fitted / "split.npz"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    results = json.loads((fitted / "results.json").read_text())
    assert found["n_frames"] == 4
    assert found["errors_eV_A"]["forces_mae"] == pytest.approx(results["errors_eV_A"]["test"]["forces_mae"], rel=1e-6)


def test_md_writes_a_trajectory_and_continues_it(toy, start, tmp_path, capsys):
    out = tmp_path / "md.xyz"
    options = ["md", toy, start, "--out", str(out), "--ensemble", "nve", "--every", "5"]
    assert run([*options, "--time", "0.01"]) == 0
    shown = capsys.readouterr()
    assert "energy drift" in shown.out and str(out) in shown.out and "step 20/20" in shown.err
    assert run([*options, "--time", "0.02"]) == 1
    assert "exists already: add --resume" in capsys.readouterr().err
    assert run([*options, "--time", "0.02", "--resume", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["steps"] == 20 and result["stopped"] is None
    assert [f.info["step"] for f in read(out, ":", format="extxyz")] == list(range(0, 41, 5))
    rows = out.with_suffix(".csv").read_text().splitlines()
    assert rows[0].startswith("step,time_fs") and rows[-1].startswith("40,20.0,")


@pytest.mark.parametrize(("ensemble", "conserves"), [("nve", True), ("langevin", False)])
def test_md_reports_a_drift_where_energy_is_to_be_conserved(ensemble, conserves, toy, start, tmp_path, capsys):
    options = ["--time", "0.01", "--ensemble", ensemble, "--every", "5", "--out", str(tmp_path / "md.xyz"), "--json"]
    assert run(["md", toy, start, *options]) == 0
    assert (json.loads(capsys.readouterr().out)["drift_meV_per_atom_per_ps"] is not None) == conserves


def test_md_resumed_keeps_fixed_atoms_fixed(toy, tmp_path):
    atoms, out = molecule("CH3CH2OH"), tmp_path / "md.xyz"
    atoms.set_constraint(FixAtoms([0, 1]))
    write(tmp_path / "start.xyz", atoms, format="extxyz", columns=["symbols", "positions", "move_mask"])
    options = ["md", toy, str(tmp_path / "start.xyz"), "--out", str(out), "--every", "5", "--quiet"]
    assert run([*options, "--time", "0.005"]) == 0
    assert run([*options, "--time", "0.02", "--resume"]) == 0
    last = read(out, -1, format="extxyz")
    moved = np.abs(last.positions - atoms.positions).max(axis=1)
    assert last.info["step"] == 40 and (moved[:2] < 1e-7).all() and (moved[2:] > 1e-4).all()


def test_md_refuses_to_resume_with_another_timestep_or_structure(toy, start, tmp_path, capsys):
    out = tmp_path / "md.xyz"
    assert run(["md", toy, start, "--out", str(out), "--time", "0.005", "--quiet"]) == 0
    content = out.read_bytes()
    assert run(["md", toy, start, "--out", str(out), "--time", "0.02", "--timestep", "1", "--resume"]) == 1
    assert "--timestep must stay 0.5 fs" in capsys.readouterr().err
    write(tmp_path / "other.xyz", molecule("H2O"), format="extxyz")
    assert run(["md", toy, str(tmp_path / "other.xyz"), "--out", str(out), "--time", "0.02", "--resume"]) == 1
    assert "needs the starting structure of the earlier run, C2H6O" in capsys.readouterr().err
    assert out.read_bytes() == content


def test_md_equilibrates_before_it_writes(toy, start, tmp_path, capsys):
    out = tmp_path / "md.xyz"
    argv = ["md", toy, start, "--out", str(out), "--equilibrate", "0.01", "--time", "0.005", "--ensemble", "nve"]
    assert run(argv) == 0
    assert "equilibrating for 0.01 ps" in capsys.readouterr().out
    frames = read(out, ":", format="extxyz")
    assert frames[0].info["step"] == 0 and np.abs(frames[0].positions - read(start).positions).max() > 1e-3


def test_md_stopped_while_equilibrating_leaves_nothing_to_resume(toy, start, tmp_path, capsys, monkeypatch):
    out = tmp_path / "md.xyz"
    options = ["md", toy, start, "--out", str(out), "--time", "0.005"]
    assert run([*options, "--quiet"]) == 0  # an older run, with its log
    capsys.readouterr()
    stop = lambda done, text: os.kill(os.getpid(), signal.SIGINT)  # noqa: E731
    monkeypatch.setattr(Console, "progress", lambda self, total: contextlib.nullcontext(stop))
    assert run([*options, "--equilibrate", "1", "--overwrite", "--json"]) == 130
    shown = capsys.readouterr()
    assert "nothing was written yet, start again" in shown.err and "--resume" not in shown.err
    assert json.loads(shown.out)["trajectory"] is None
    assert not out.exists() and not out.with_suffix(".csv").exists()


def test_md_that_fails_is_an_error_that_keeps_the_frames(toy, tmp_path, capsys):
    close = molecule("H2")
    close.positions[1] = close.positions[0] + [0, 0, 0.1]
    write(tmp_path / "close.xyz", close, format="extxyz")
    assert run(["md", toy, str(tmp_path / "close.xyz"), "--out", str(tmp_path / "md.xyz")]) == 1
    assert "atoms must be at least 0.2 A apart" in capsys.readouterr().err
    assert not (tmp_path / "md.xyz").exists() and not (tmp_path / "md.csv").exists()  # no frame: the name is free
    assert run(["md", toy, str(tmp_path / "close.xyz"), "--out", str(tmp_path / "md.abc")]) == 1
    assert "--out must end in .xyz" in capsys.readouterr().err


def test_relax_writes_the_relaxed_structure(toy, start, tmp_path, capsys):
    out = tmp_path / "relaxed.xyz"
    assert run(["relax", toy, start, "--fmax", "0.02", "--out", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["converged"] and result["energy"] < result["energy_start"]
    relaxed = read(out, format="extxyz")
    assert np.linalg.norm(relaxed.get_forces(), axis=1).max() <= 0.02 + 1e-6
    assert run(["relax", toy, start, "--steps", "1", "--fmax", "1e-6", "--out", str(out), "--overwrite"]) == 1
    shown = capsys.readouterr().err
    assert (
        "not converged after 1 steps: the largest force is" in shown and f"go on from the structure in {out}" in shown
    )
    crystal = bulk("C", "diamond", a=3.6)
    write(tmp_path / "crystal.cif", crystal, format="cif")
    argv = ["relax", toy, str(tmp_path / "crystal.cif"), "--steps", "0", "--fmax", "1000", "--out", str(out)]
    assert run([*argv, "--overwrite"]) == 0 and read(out, format="extxyz").pbc.all()


def test_convert_makes_a_model_file(tmp_path, capsys):
    source = shared_data("model_schnetpack1") / "test_md_model.model"
    target = tmp_path / "ethanol.safetensors"
    argv = ["convert", str(source), str(target), "--units", "kcal/mol,Angstrom", "--elements", "H,C,O"]
    assert run(argv) == 0
    captured = capsys.readouterr()
    assert "64 features, 6 interactions, 25 Gaussians, cutoff 5 A (none)" in captured.out
    assert "has no cutoff function" in " ".join(captured.err.split())
    atoms = read(source.with_name("test_molecule.xyz"), format="xyz")
    energy = pyff.Calculator(target, dtype="float64").get_property("energy", atoms)
    assert energy == pytest.approx(-97208.23142172 * 0.0433641042418009, rel=1e-9)
    assert run(argv) == 1 and "exists already: add --overwrite" in capsys.readouterr().err
    assert run([*argv, "--overwrite", "--cutoff-function", "cosine", "--quiet"]) == 0
    energy = pyff.Calculator(target, dtype="float64").get_property("energy", atoms)
    assert energy == pytest.approx(-97179.88395751281 * 0.0433641042418009, rel=1e-9)


def test_info_describes_a_model_file(fitted, capsys):
    assert run(["info", str(fitted / "model.safetensors")]) == 0
    shown = capsys.readouterr().out
    assert "schnet, float32" in shown and "H C O" in shown and "n_features=8" in shown
    assert run(["info", str(fitted / "model.safetensors"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["architecture"] == "schnet"


def test_quiet_prints_results_only(fitted, data, capsys):
    assert run(["test", str(fitted / "model.safetensors"), str(data), "--quiet"]) == 0
    captured = capsys.readouterr()
    assert "force components" in captured.out and captured.err == ""


def test_output_that_is_no_terminal_has_no_colour(fitted, data, tmp_path):
    done = run_python("-m", "pyff", "test", str(fitted / "model.safetensors"), str(data), cwd=tmp_path)
    assert done.returncode == 0 and "\x1b" not in done.stdout + done.stderr


def test_md_stopped_by_ctrl_c_can_be_resumed(toy, start, tmp_path):
    out = tmp_path / "md.xyz"
    command = "import _toy; from pyff.cli import main; main()"  # the toy is registered by importing it
    argv = [sys.executable, "-c", command, "md", toy, start, "--out", str(out), "--every", "5", "--time", "1000"]
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(CHECKOUT / "tests")]))
    environment = {**os.environ, "PYTHONPATH": path}
    deadline = time.monotonic() + 120
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, env=environment) as process:
        while not (out.exists() and out.stat().st_size > 5000) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, shown = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command with --resume goes on" in " ".join(shown.split())
    assert "Traceback" not in shown
    reached = read(out, -1, format="extxyz").info["step"]
    picoseconds = (reached + 10) * 0.5e-3
    assert run(["md", toy, start, "--out", str(out), "--time", str(picoseconds), "--resume", "--quiet"]) == 0
    assert read(out, -1, format="extxyz").info["step"] == reached + 10


@pytest.mark.parametrize("name", ["model.safetensors", "ethanol.npz"])
def test_convert_says_which_files_need_none(name, tmp_path, capsys):
    (tmp_path / name).write_bytes(b"")
    assert run(["convert", str(tmp_path / name), str(tmp_path / "x.safetensors")]) == 1
    assert "needs no conversion" in " ".join(capsys.readouterr().err.split())


def test_convert_refuses_a_file_that_would_run_code(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(_Hostile(), "hostile.model", _use_new_zipfile_serialization=False)
    argv = ["convert", "hostile.model", "x.safetensors", "--units", "eV,Angstrom", "--elements", "H"]
    assert run(argv) == 1
    assert "refers to posix.system" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["hostile.model"]


class _Hostile:
    def __reduce__(self):
        return os.system, ("touch harmed",)
