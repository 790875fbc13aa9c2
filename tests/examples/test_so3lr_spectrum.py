"""The example that compares SO3LR's power spectrum with its harmonic frequencies, on water and for 0.25 ps."""

from __future__ import annotations

import re
import subprocess
import sys

from _data import CHECKOUT, shared_data

import pyff
from pyff.interfaces.so3lr import read_so3lr, to_pyff


def test_so3lr_spectrum_of_water(tmp_path):
    model, out = tmp_path / "so3lr.safetensors", tmp_path / "water"
    pyff.save(to_pyff(read_so3lr(shared_data("model_so3lr") / "params.pkl")), model)
    short = ["--molecule", "H2O", "--time", "0.25", "--runs", "1", "--equilibrate", "0.05", "--out", out]
    command = [sys.executable, CHECKOUT / "examples" / "so3lr_spectrum.py", model, *short]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "$ pyff spectrum" in done.stdout
    harmonic = [float(x) for x in re.search(r"harmonic frequencies: (.*)", done.stdout).group(1).split(",")]
    # experiment: 1595, 3657, 3756 cm^-1 with, 1649, 3832, 3943 cm^-1 without anharmonicity
    assert len(harmonic) == 3 and abs(harmonic[0] - 1649) < 60 and abs(harmonic[1] - 3832) < 80
    peaks = re.findall(r"^ +([\d.]+) +[\d.]+ +[+-]([\d.]+)$", done.stdout, re.MULTILINE)
    # the window is 0.125 ps: lines are 270 cm^-1 wide
    assert peaks and all(float(shift) < 270 for _, shift in peaks)
    assert (out / "compared.png").stat().st_size > 10_000
