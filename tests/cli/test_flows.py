"""`pyff stability`, `spectrum` and `minima` from the command line to their files."""

from __future__ import annotations

import csv
import json
import os
import signal

import numpy as np
import pytest
import torch
from _toy import toy_model
from ase import Atoms
from ase.io import read, write

import pyff
from pyff.cli import run


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with two models and a molecule, and nothing else."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        pyff.save(toy_model(steepness=1.5 if name == "a" else 1.2).double(), f"{name}.safetensors")
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    # the toy potential likes bonds of 1.6 A
    write("start.xyz", Atoms("C4", 1.6 / np.sqrt(8) * corners), format="extxyz")
    return tmp_path


def result(argv, capsys, code=0) -> dict:
    assert run([*argv, "--json"]) == code
    return json.loads(capsys.readouterr().out)


STABILITY = ["stability", "a.safetensors", "b.safetensors", "start.xyz", "--time", "0.02", "--seeds", "2"]


def test_stability_compares_models(here, capsys):
    said = result(STABILITY, capsys)
    written = json.loads((here / "stability.json").read_text())
    assert said["summary"] == written["summary"] and len(written["runs"]) == 8
    assert [(s["model"], s["temperature"]) for s in written["summary"]] == [
        ("a", 300), ("a", 500), ("b", 300), ("b", 500)]  # fmt: skip
    assert all(s["stable_time"] == pytest.approx(0.02) and s["fraction"] == 1 for s in written["summary"])
    assert (here / "stability.png").read_bytes()[:4] == b"\x89PNG"
    last = read("stability.xyz", ":", format="extxyz")
    assert len(last) == 8 and last[5].info["model"] == "b" and last[5].info["seed"] == 1
    assert run(STABILITY) == 1 and "exists already: add --overwrite" in capsys.readouterr().err
    assert run([*STABILITY, "--overwrite"]) == 0
    assert "4/4" not in (shown := capsys.readouterr().out) and "2/2" in shown


def test_stability_interrupted_writes_what_there_is(here, capsys, monkeypatch):
    from pyff.cli import stability

    measure = stability.measure_stability

    def stopping(*args, on_run, **options):
        def stop_after_two(done):
            on_run(done)
            if done.seed == 1:
                os.kill(os.getpid(), signal.SIGINT)

        return measure(*args, on_run=stop_after_two, **options)

    monkeypatch.setattr(stability, "measure_stability", stopping)
    assert run(STABILITY) == 130
    captured = capsys.readouterr()
    assert "interrupted after 2 complete runs" in captured.err
    assert len(json.loads((here / "stability.json").read_text())["summary"]) == 1


def test_attention_is_read_from_a_model_that_has_it(here, capsys):
    from pyff.models.so3krates import SO3krates, SO3kratesConfig

    torch.manual_seed(0)
    config = SO3kratesConfig(n_features=24, n_heads=2, degrees=(1, 2, 3), n_layers=2, n_rbf=8, cutoff=3.0)
    pyff.save(SO3krates(config, elements=(1, 6, 8)), "net.safetensors")
    said = result(["attention", "net.safetensors", "start.xyz", "--layer", "1"], capsys)
    assert len(said["given"]) == 4 and said["layers"] == 2
    # the four atoms are alike, and what is given is received
    assert said["given"] == pytest.approx([said["given"][0]] * 4, rel=1e-5)
    assert said["received"] == pytest.approx(said["given"], rel=1e-5) and said["given"][0] > 0
    with open("attention.csv") as file:
        assert [float(row["received"]) for row in csv.DictReader(file)] == said["received"]
    assert (here / "attention.png").exists()
    write("apart.xyz", Atoms("CCHH", [(0, 0, 0), (1.5, 0, 0), (9, 0, 0), (10, 0, 0)]), format="extxyz")
    assert run(["attention", "net.safetensors", "apart.xyz", "--overwrite"]) == 0
    shown = capsys.readouterr().out
    rows = {row.split()[0]: row.split()[1:] for row in shown.splitlines() if row.split()}
    assert rows["attends"] == ["to", "H", "C"] and rows["C"][0] == rows["H"][1] == "-" and float(rows["H"][0]) > 0
    assert run(["attention", "net.safetensors", "start.xyz", "--layer", "3", "--overwrite"]) == 1
    assert "--layer must be 1 to 2, or -1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["attention", "a.safetensors", "start.xyz"], "the model must have attention; ToyModel offers"),
        (["attention", "a.safetensors", "start.xyz", "--heads", "two"], "--heads must be invariant or equivariant"),
        (["stability", "start.xyz"], "give model files and then a structure"),
        (["stability", "a.safetensors", "start.xyz", "--temperatures", "hot"], "--temperatures must be numbers"),
        (["stability", "a.safetensors", "a.safetensors", "start.xyz"], "received a.safetensors, a.safetensors"),
        (["stability", "a.safetensors", "start.xyz", "--out", "x.txt"], "--out must end in .json"),
        (["stability", "a.safetensors", "start.xyz", "--out", "start.json"], "would replace start.xyz, which is read"),
        (["spectrum", "missing.xyz"], "no such file"),
        (["spectrum", "start.xyz"], "at least four frames"),
        (["spectrum", "start.xyz", "--out", "x.txt"], "--out must end in .csv or .npz"),
        (["minima", "a.safetensors", "start.xyz", "--keep", "some"], "keep auto, bonds, fragments or all"),
        (["minima", "a.safetensors", "start.xyz", "--resume"], "there is no search to continue"),
        (["minima", "a.safetensors", "start.xyz", "--out", "x.json"], "--out must end in .xyz"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_no_file(argv, message, here, capsys):
    before = sorted(p.name for p in here.iterdir())
    assert run(argv) == 1
    assert message in (shown := capsys.readouterr().err) and "Traceback" not in shown
    assert sorted(p.name for p in here.iterdir()) == before


def test_spectrum_of_a_simulation(here, capsys):
    md = ["md", "a.safetensors", "start.xyz", "--ensemble", "nve", "--time", "0.6", "--every", "4", "--quiet"]
    assert run(md) == 0
    capsys.readouterr()
    said = result(["spectrum", "md.xyz", "--window", "0.25"], capsys)
    with open("spectrum.csv") as file:
        rows = np.array([[float(x) for x in row] for row in list(csv.reader(file))[1:]])
    assert said["modes"] == 6 and np.trapezoid(rows[:, 1], rows[:, 0]) == pytest.approx(6, rel=1e-6)
    assert said["peaks"] and (here / "spectrum.png").exists()
    assert result(["spectrum", "md.xyz", "--out", "s.npz", "--window", "0.25"], capsys)["peaks"] == said["peaks"]
    with np.load("s.npz", allow_pickle=False) as saved:
        np.testing.assert_allclose(saved["intensity"], rows[:, 1], rtol=1e-6, atol=1e-8)


def test_spectrum_warns_of_frames_too_far_apart(here, capsys):
    assert run(["md", "a.safetensors", "start.xyz", "--time", "0.4", "--every", "20", "--quiet"]) == 0
    assert run(["spectrum", "md.xyz", "--quiet"]) == 0
    assert "write them every 6.7 fs or less" in capsys.readouterr().err


MINIMA = ["minima", "a.safetensors", "start.xyz", "--fmax", "0.01"]


def test_minima_search_stops_and_goes_on(here, capsys):
    said = result([*MINIMA, "--escapes", "2"], capsys)
    assert said["escapes"] == 2 and said["n_minima"] == len(said["energies"]) == len(read("minima.xyz", ":"))
    assert run([*MINIMA, "--escapes", "4"]) == 1 and "add --resume to continue" in capsys.readouterr().err
    more = result([*MINIMA, "--escapes", "4", "--resume"], capsys)
    whole = result([*MINIMA, "--escapes", "4", "--out", "whole.xyz"], capsys)
    assert more["energies"] == whole["energies"] and more["visits"] == whole["visits"] and more["escapes"] == 4
    place, energy = more["last"]["minimum"], more["last"]["energy"]
    assert place == -1 or more["energies"][place] == pytest.approx(energy, abs=1e-3)
    assert read("minima.xyz", 0).get_potential_energy() == pytest.approx(min(more["energies"]), abs=1e-6)
    assert (here / "minima.png").exists() and len((here / "minima.jsonl").read_text().splitlines()) == 6


def test_minima_search_interrupted_says_how_to_go_on(here, capsys, monkeypatch):
    from pyff.sampling import MinimaLog

    append = MinimaLog.append

    def stop(log, visit, pos):
        append(log, visit, pos)
        if visit.number == 1:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(MinimaLog, "append", stop)
    assert run([*MINIMA, "--escapes", "50"]) == 130
    assert "interrupted after 1 escapes; the same command with --resume goes on" in capsys.readouterr().err
