"""The liquid-water example from labels to the picture, seconds instead of minutes."""

from __future__ import annotations

import re
import subprocess
import sys

from _data import CHECKOUT, shared_data


def test_liquid_water_runs_from_labels_to_the_picture(tmp_path):
    folder = shared_data("mdgrad_rdf_water") / "water_aimd"
    script = CHECKOUT / "examples" / "liquid_water.py"
    short = ["--time", "0.3", "--warm-up", "0.02", "--picoseconds", "0.05"]
    command = [sys.executable, script, folder, *short, "--out", tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    share = float(re.search(r"([\d.]+) % of the RMS force", done.stdout).group(1))
    assert share < 100  # seconds of training beat the mean predictor
    assert "slope" in done.stdout and "longest O-H bond" in done.stdout
    assert (tmp_path / "rdf.png").stat().st_size > 10_000
    assert (tmp_path / "model.safetensors").is_file()
