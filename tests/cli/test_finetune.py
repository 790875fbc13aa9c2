"""`pyff finetune` and `pyff learning-curve`, and what they share with `pyff fit`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

import pyff
from pyff.cli import run
from pyff.cli.architectures import ARCHITECTURES
from pyff.data import Split
from pyff.train import TrainConfig

SMALL = ["--features", "8", "--layers", "2", "--seed", "3", "--valid", "4", "--quiet"]


def frames(path, n=30, name="CH3OH", shift=0.0, charges=False) -> str:
    """Rattled molecules held together by springs to their places: energies and forces that belong together."""
    for k in range(n):
        atoms = molecule(name)
        start = atoms.positions.copy()
        atoms.rattle(0.08, seed=k)
        moved = atoms.positions - start
        more = {"charges": 0.1 * moved[:, 0]} if charges else {}
        atoms.calc = SinglePointCalculator(atoms, energy=shift + 5 * np.sum(moved**2), forces=-10 * moved, **more)
        atoms.info.update(energy_unit="eV", length_unit="Angstrom", gap=3.0 + float(moved[0, 0]))
        write(path, atoms, format="extxyz", append=True)
    return str(path)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parent")
    data = frames(folder / "x.xyz")
    assert run(["fit", data, "--epochs", "2", "--train", "20", "--out", str(folder / "run"), *SMALL]) == 0
    return folder / "run" / "model.safetensors"


def test_finetune_reports_before_and_after_and_remembers_the_parent(parent, tmp_path, capsys):
    data, out = frames(tmp_path / "x.xyz", shift=-400.0), tmp_path / "tuned"
    argv = ["finetune", str(parent), data, "--train", "20", "--valid", "4", "--epochs", "3", "--out", str(out)]
    assert run([*argv, "--strategy", "last_layer"]) == 0
    shown = capsys.readouterr().out
    assert "Errors on 6 test frames, before (reference energies refitted) and after" in shown
    assert "MAE before" in shown and "force components" in shown and "moved to the zero of the data" in shown
    results = json.loads((out / "results.json").read_text())
    assert results["parent"]["file"] == "model.safetensors" and results["parent"]["strategy"] == "last_layer"
    assert {"before", "test", "valid"} == set(results["errors_eV_A"])
    assert results["errors_eV_A"]["before"]["energy_mae"] < 5  # not the 400 eV between the zeros
    assert pyff.load(out / "model.safetensors").info == results
    assert (out / "report.png").read_bytes()[:4] == b"\x89PNG" and (out / "split.npz").is_file()
    assert run(argv) == 1
    assert "continue it with the same command with --resume" in capsys.readouterr().err
    assert run([*argv, "--strategy", "last_layer", "--epochs", "4", "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["training"]["epochs"] == 4


def test_finetune_errors_are_sentences_and_leave_no_split(parent, tmp_path, capsys):
    sulfur = frames(tmp_path / "s.xyz", name="CH3SH")
    assert run(["finetune", str(parent), sulfur, "--out", str(tmp_path / "a")]) == 1
    assert "train holds S in" in capsys.readouterr().err
    data = frames(tmp_path / "x.xyz")
    unread = str(tmp_path / "missing.xyz")  # the strategy is checked before the data are read
    assert run(["finetune", str(parent), unread, "--strategy", "head", "--out", str(tmp_path / "a")]) == 1
    assert "strategy must be one of full, final_mlp" in capsys.readouterr().err
    assert run(["finetune", str(parent), data, "--set", "model.n_rbf=9", "--out", str(tmp_path / "a")]) == 1
    assert "--set model.NAME must not be given" in capsys.readouterr().err
    assert run(["finetune", str(parent), data, "--train", "31", "--out", str(tmp_path / "a")]) == 1
    assert "must fit into the 30 frames" in capsys.readouterr().err
    assert run(["fit", data, "--train", "31", "--out", str(tmp_path / "a")]) == 1
    assert not (tmp_path / "a").exists()


def test_learning_curve_shares_frames_and_time_and_repeats_nothing(tmp_path, capsys):
    data, out = frames(tmp_path / "x.xyz"), tmp_path / "curve"
    argv = ["learning-curve", data, "--models", "schnet,schnetpack2", "--time", "0.004", "--valid", "4",
            "--out", str(out), "--set", "model.n_features=8"]  # fmt: skip
    assert run([*argv, "--sizes", "16,5"]) == 0
    rows = json.loads((out / "learning_curve.json").read_text())
    assert [(r["n_train"], r["model"]) for r in rows] == [(n, m) for n in (5, 16) for m in ("schnet", "schnetpack2")]
    splits = {r["n_train"]: Split.load(out / f"schnet-{r['n_train']}" / "split.npz") for r in rows}
    assert set(splits[5].train) < set(splits[16].train)
    assert splits[5].test.tolist() == splits[16].test.tolist() and rows[0]["n_test"] == 10
    assert {r["minutes"] for r in rows} == {0.004} and all(r["errors_eV_A"]["forces_mae"] > 0 for r in rows)
    shown = capsys.readouterr().out
    assert "forces MAE (eV/Angstrom)" in shown and f"curves in {out / 'learning_curve.png'}" in shown
    assert shown.count("formulas") == 1  # the data are read and described once
    before = (out / "schnet-5" / "point.json").stat().st_mtime_ns
    assert run([*argv, "--sizes", "16,5"]) == 0
    assert (out / "schnet-5" / "point.json").stat().st_mtime_ns == before
    assert (out / "learning_curve.png").read_bytes()[:4] == b"\x89PNG"
    assert run([*argv, "--sizes", "a,b"]) == 1 and run([*argv, "--sizes", "26"]) == 1
    assert "no frames are left to test on" in capsys.readouterr().err
    late = ["learning-curve", data, "--models", "schnet,shcnet", "--sizes", "5", "--out", str(out / "b")]
    assert run(late) == 1 and "received 'shcnet'" in capsys.readouterr().err and not (out / "b").exists()


def test_fit_takes_any_setting_by_its_name(tmp_path, capsys):
    data = frames(tmp_path / "x.xyz")
    argv = ["fit", data, "--epochs", "1", "--out", str(tmp_path / "run"), *SMALL]
    assert run([*argv, "--set", "model.n_rbf=7", "--set", "training.ema_decay=0.5"]) == 0
    assert pyff.load(tmp_path / "run" / "model.safetensors").config.n_rbf == 7
    assert TrainConfig.from_yaml(tmp_path / "run" / "train.yaml").ema_decay == 0.5
    capsys.readouterr()
    for text, message in [
        ("n_rbf=7", "--set must read model.NAME=VALUE or training.NAME=VALUE"),
        ("model.n_magic=1", "n_magic"),
        ("training.magic=1", "training.magic"),
        ("training.lr=[", "not valid YAML"),
    ]:
        assert run([*argv, "--overwrite", "--set", text]) == 1
        assert message in capsys.readouterr().err


def test_fit_learns_a_named_number_alone(tmp_path, capsys):
    out = tmp_path / "run"
    argv = ["fit", frames(tmp_path / "x.xyz"), "--target-key", "gap", "--epochs", "2", "--out", str(out), *SMALL]
    assert run([*argv, "--json"]) == 0
    test = json.loads(capsys.readouterr().out)["test"]
    assert set(test) == {"target_mae", "target_rmse"} and test["target_mae"] < 1.0
    model = pyff.load(out / "model.safetensors")
    assert model.config.output == "intensive" and 2.5 < model.config.output_shift < 3.5
    assert run(["test", str(out / "model.safetensors"), argv[1], "--target-key", "gap", "--quiet"]) == 0
    assert "target" in capsys.readouterr().out


def test_refused_resume_leaves_config_and_split_alone(tmp_path, capsys):
    out = tmp_path / "run"
    assert run(["fit", frames(tmp_path / "x.xyz"), "--epochs", "1", "--out", str(out), *SMALL]) == 0
    config = out / "config.yaml"
    edited = config.read_text().replace("lr: 0.005", "lr: 0.004")
    config.write_text(edited + "# mine\n")
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    assert run(["train", str(config), "--resume", "--quiet"]) == 1
    assert "cannot resume with other settings: lr (was 0.005, is 0.004)" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before


def test_config_of_a_run_states_the_recipe_and_resumes(tmp_path):
    """What the recipe and the data decided is in config.yaml: read back, it is the same run."""
    out = tmp_path / "run"
    data = frames(tmp_path / "x.xyz")
    assert run(["fit", data, "--time", "0.003", "--out", str(out), *SMALL]) == 0
    text = (out / "config.yaml").read_text()
    assert "schedule: cosine" in text and "forces_weight: 1.0" in text
    (out / "config.yaml").write_text(text.replace("max_time: 0.003", "max_time: 0.006"))
    assert run(["train", str(out / "config.yaml"), "--resume", "--quiet"]) == 0


def test_architectures_name_options_and_presets_that_exist():
    for table in ARCHITECTURES.values():
        fields = table.config.model_fields
        assert set(table.options.values()) <= set(fields)
        assert all(set(more) <= set(fields) for more in table.gives.values())
        assert {"output_scale", "output_shift"} <= set(fields)
        assert all(table.config.preset(name) for name in table.presets)


def test_fit_so3krates_by_its_recipe_with_the_readouts_its_loss_needs(tmp_path):
    out = tmp_path / "run"
    small = ["--features", "8", "--layers", "1", "--set", "model.n_heads=2", "--set", "model.degrees=[1]"]
    argv = ["fit", frames(tmp_path / "x.xyz", charges=True), "--model", "so3krates", *small, "--charges-weight", "2",
            "--epochs", "1", "--train", "20", "--valid", "4", "--out", str(out), "--quiet"]  # fmt: skip
    assert run(argv) == 0
    settings = TrainConfig.from_yaml(out / "train.yaml")
    assert (settings.lr, settings.batch_size, settings.schedule) == (3e-3, 1, "cosine")
    assert (settings.energy_weight, settings.charges_weight) == (pytest.approx(0.06), 2.0)  # six atoms
    model = pyff.load(out / "model.safetensors")
    assert model.architecture == "so3krates" and model.config.charges and model.config.degrees == (1,)
    assert {"charges_mae", "forces_mae"} <= set(json.loads((out / "results.json").read_text())["errors_eV_A"]["test"])
