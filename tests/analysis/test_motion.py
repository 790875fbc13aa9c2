from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.io import write

from pyff.analysis import read_motion
from pyff.errors import DataError


def trajectory(path, times, velocities=True, **changes):
    frames = []
    for k, time in enumerate(times):
        atoms = molecule("H2O")
        atoms.positions += 0.01 * k
        if velocities:
            atoms.set_velocities(np.full((3, 3), 0.01))
        if time is not None:
            atoms.info["time_fs"] = time
        frames.append(atoms)
    write(path, frames, format="extxyz")
    return path


def test_frames_carry_their_spacing_and_velocities(tmp_path):
    motion = read_motion(trajectory(tmp_path / "a.xyz", np.arange(6) * 2.5))
    assert motion.spacing == 2.5 and len(motion) == 6 and motion.note == ""
    np.testing.assert_allclose(motion.velocity, 0.01 * units.fs, rtol=1e-6)
    assert motion.nyquist == pytest.approx(6671.28, abs=0.01)  # 1 / (2 x 2.5 fs) over the speed of light
    assert len(motion.after(0.005)) == 4
    with pytest.raises(DataError, match=r"four frames must be left of 0.015 ps; received 0.008 ps to skip"):
        motion.after(0.008)


def test_missing_spacing_is_an_error_that_says_so(tmp_path):
    path = trajectory(tmp_path / "a.xyz", [None] * 5)
    with pytest.raises(DataError, match=r"do not say how far apart in time they are.*--spacing"):
        read_motion(path)
    assert read_motion(path, spacing=0.5).spacing == 0.5


def test_contradictory_or_uneven_times_are_errors(tmp_path):
    even, uneven = tmp_path / "a.xyz", tmp_path / "b.xyz"
    with pytest.raises(DataError, match=r"10 fs apart, but the spacing given is 0.5 fs"):
        read_motion(trajectory(even, np.arange(5) * 10.0), spacing=0.5)
    with pytest.raises(DataError, match="after frame 2 the step is 20 fs, elsewhere 10 fs"):
        read_motion(trajectory(uneven, [0, 10, 20, 40, 50, 60]))


def test_last_frame_off_schedule_is_left_out(tmp_path):
    motion = read_motion(trajectory(tmp_path / "a.xyz", [0, 10, 20, 30, 34.0]))
    assert len(motion) == 4 and "left out" in motion.note


def test_atoms_that_change_and_short_trajectories_are_errors(tmp_path):
    with pytest.raises(DataError, match="at least four frames; received 3"):
        read_motion(trajectory(tmp_path / "a.xyz", [0, 1, 2]))
    frames = [molecule("H2O")] * 3 + [molecule("CO2")]
    write(tmp_path / "b.xyz", frames, format="extxyz")
    with pytest.raises(DataError, match="frame 3 has CO2, frame 0 H2O"):
        read_motion(tmp_path / "b.xyz", spacing=1)
    with pytest.raises(DataError, match="must end in"):
        read_motion(tmp_path / "b.pkl")
    with pytest.raises(FileNotFoundError):
        read_motion(tmp_path / "c.xyz")


def test_periodic_positions_are_unwrapped(tmp_path):
    frames = []
    for k in range(12):
        atoms = Atoms(
            "Ar2", [[0.5 + 0.7 * k, 1, 1], [1, 1, 3 - 0.4 * k]], cell=[[4, 0, 0], [1, 4, 0], [0, 0, 5]], pbc=True
        )
        atoms.wrap()
        frames.append(atoms)
    write(tmp_path / "a.xyz", frames, format="extxyz")
    motion = read_motion(tmp_path / "a.xyz", spacing=1)
    steps = np.diff(motion.pos, axis=0)
    np.testing.assert_allclose(steps[:, 0], np.tile([0.7, 0, 0], (11, 1)), atol=1e-6)
    np.testing.assert_allclose(steps[:, 1], np.tile([0, 0, -0.4], (11, 1)), atol=1e-6)
