from __future__ import annotations

import json

import numpy as np
from ase.io import read

from pyff.cli import demo, run


def test_demo_goes_from_the_shipped_data_to_a_picture(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "WARM_UP", 20)
    monkeypatch.setattr(demo, "PRODUCTION", 80)
    out = tmp_path / "demo"
    assert run(["demo", "--epochs", "4", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    for sentence in (
        "PBE/def2-SVP",
        "Test: frames the model has not seen",
        "drift of the total energy",
        "pyff fit data.xyz",
    ):
        assert sentence in shown
    assert (out / "demo.png").read_bytes()[:4] == b"\x89PNG" and (out / "model.safetensors").is_file()
    frames = read(out / "md.xyz", ":", format="extxyz")
    assert [f.info["step"] for f in frames] == [0, 40, 80] and np.isfinite(frames[-1].positions).all()
    assert run(["demo", "--epochs", "1", "--out", str(out), "--json"]) == 0  # a demo may be repeated
    result = json.loads(capsys.readouterr().out)
    assert result["md_steps"] == 80 and result["md_stopped"] is None and result["test"]["forces_mae"] > 0


def test_demo_does_not_write_over_a_run_of_the_user(tmp_path, capsys):
    (tmp_path / "last.safetensors").write_text("a week of training")
    assert run(["demo", "--epochs", "1", "--out", str(tmp_path)]) == 1
    assert "holds files that no demo wrote: choose an empty or a new folder" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


def test_demo_data_are_small_and_offline():
    assert demo.DATA.stat().st_size < 2e6
