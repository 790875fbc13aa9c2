"""The example on crystals: what symmetry is worth."""

from __future__ import annotations

import subprocess
import sys

from _data import CHECKOUT


def _run(script: str, *arguments) -> str:
    command = [sys.executable, CHECKOUT / "examples" / script, *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_symmetry_lowers_the_error_at_equal_training_size(tmp_path):
    out = _run(
        "bigdml_learning_curve.py", "--emt", "Cu", "--sizes", 3, "--repeats", 1, "--sigmas", 16, "--out", tmp_path
    )
    assert "32 atoms, 1536 permutations" in out
    size, *errors = map(float, out.splitlines()[-1].split())
    forces, energies = errors[::2], errors[1::2]  # without symmetry, with translations, with the space group
    assert size == 3
    assert 3 * forces[2] < 1.5 * forces[1] < forces[0]
    assert 3 * energies[2] < 1.5 * energies[1] < energies[0]
    assert (tmp_path / "learning_curve.png").stat().st_size > 10_000
