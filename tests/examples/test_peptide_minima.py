"""The example that places minima on the Ramachandran map, on a real peptide turned by hand."""

from __future__ import annotations

import subprocess
import sys

from _data import CHECKOUT, shared_data
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write


def turned(atoms, quadruples, angles):
    """The peptide with phi and psi set, everything beyond each bond turning along."""
    out = atoms.copy()
    for (a, b, c, d), angle, moved in zip(quadruples, angles, ([8, 9, 10, 13, 14, 15, 12, 16, 17, 18, 19, 20, 21],
                                                               [9, 16, 17, 18, 19, 20, 21])):  # fmt: skip
        out.set_dihedral(a, b, c, d, angle, indices=moved)
    return out


def test_peptide_minima_names_the_known_conformers(tmp_path):
    start = read(shared_data("mlip_instadeep_samples") / "alanine_dipeptide_vacuum.xyz")
    frames = []
    for energy, angles in ((-1.0, (-85, 75)), (-0.9, (-157, 160)), (-0.8, (0, 0))):
        frames.append(turned(start, [(0, 6, 7, 8), (6, 7, 8, 16)], angles))
        frames[-1].calc = SinglePointCalculator(frames[-1], energy=energy)
    write(tmp_path / "minima.xyz", frames)
    script, picture = CHECKOUT / "examples" / "peptide_minima.py", tmp_path / "map.png"
    command = [sys.executable, script, tmp_path / "minima.xyz", "--out", picture]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "known conformers found: C7eq, C5\n" in done.stdout
    assert "2.31 kcal/mol   phi  -157.0   psi   160.0   C5" in done.stdout
    assert picture.stat().st_size > 10_000
