"""The example of force fields from descriptors of one's own."""

from __future__ import annotations

import re
import subprocess
import sys

from _data import CHECKOUT


def test_ad_gdml_trains_every_kernel(tmp_path):
    picture = tmp_path / "ad.png"
    command = [sys.executable, CHECKOUT / "examples" / "ad_gdml.py", "--train", "25", "--out", picture]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    errors = dict(re.findall(r"^(.+?)\s+forces\s+([\d.]+) meV/A", done.stdout, re.MULTILINE))
    errors = {name: float(value) for name, value in errors.items()}
    assert len(errors) == 5 and errors["inverse distances (native)"] < 400  # forces have a spread of 1421
    # nine numbers cannot tell what 21 internal coordinates do
    assert errors["Coulomb eigenvalues"] > 1.5 * errors["symmetry functions"]
    assert picture.stat().st_size > 10_000
