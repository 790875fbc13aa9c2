"""The example of hydrogen in palladium, with frames and trajectories that need no long simulation."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
from _data import CHECKOUT
from ase import units
from ase.build import bulk


def test_hydrogen_in_palladium_from_frames_to_the_arrhenius_plot(tmp_path):
    rng = np.random.default_rng(0)
    sites = np.vstack([(bulk("Pd", "fcc", a=3.879, cubic=True) * 2).positions, [1.94, 0, 0]])
    np.save(tmp_path / "frames.npy", sites + rng.normal(0, 0.1, (40, 33, 3)))
    for name, shift in (("EMT", 1.0), ("BIGDML", 1.1)):
        for T in (600, 800, 1000):
            D = shift * 20 * np.exp(-0.3 / (units.kB * T))  # A^2/ps
            pos = sites + rng.normal(0, 0.1, (5000, 33, 3))
            pos[:, 32] += np.cumsum(rng.normal(0, np.sqrt(2 * D * 0.02), (5000, 3)), axis=0)
            np.save(tmp_path / f"{name}-{T}K.npy", pos)
    script = CHECKOUT / "examples" / "hydrogen_in_palladium.py"
    options = ["--train", "6", "--temperatures", "600", "800", "1000", "--blocks", "10", "--out", tmp_path]
    command = [sys.executable, script, *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "1536 permutations" in done.stdout
    climbs = [float(x) for x in re.findall(r"highest energy between two sites ([\d.]+) eV", done.stdout)]
    assert abs(climbs[0] - 0.33) < 0.03 and len(climbs) == 2
    found = re.findall(r"activation energy ([\d.]+) \+- ([\d.]+) eV", done.stdout)
    assert len(found) == 2
    for energy, error in found:
        assert float(error) < 0.08 and abs(float(energy) - 0.3) < 4 * float(error)
    assert (tmp_path / "arrhenius.png").stat().st_size > 10_000
    assert (tmp_path / "model.safetensors").is_file()
