"""The coarse-grained example runs from frames to the picture."""

from __future__ import annotations

import subprocess
import sys

from _data import CHECKOUT, shared_data


def test_coarse_alanine_runs_from_frames_to_the_picture(tmp_path):
    script, folder = CHECKOUT / "examples" / "coarse_alanine.py", shared_data("cgnet_ala2")
    small = "--frames 120 --batches 4 --batch 20 --points 30 --sigma 3 --minutes 0 --steps 200 --replicas 10"
    command = [sys.executable, script, folder, *small.split(), "--out", tmp_path]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "sigma 3: cross-validated" in done.stdout and "GDML, two layers:" in done.stdout
    assert (tmp_path / "free_energy.png").stat().st_size > 10_000
