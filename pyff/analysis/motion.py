"""Reading how atoms move from a trajectory, and separating vibration from translation and rotation."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms, units

from pyff.errors import DataError
from pyff.md.structures import FORMATS

__all__ = ["Motion", "read_motion", "vibrational_velocities"]

_LINEAR = 0.3  # A: a molecule whose atoms stay closer than this to an axis turns about two axes only


@dataclass(frozen=True)
class Motion:
    """A trajectory with a fixed time between frames.

    pos [T, N, 3] in A, unwrapped; velocity [T, N, 3] in A/fs, None where the file has none; masses [N] in amu;
    Z [N]; spacing in fs; cell [3, 3] in A, pbc [3]; note: what was left out while reading.
    """

    pos: np.ndarray
    velocity: np.ndarray | None
    masses: np.ndarray
    Z: np.ndarray
    spacing: float
    cell: np.ndarray
    pbc: np.ndarray
    note: str = ""

    def __len__(self) -> int:
        return len(self.pos)

    @property
    def nyquist(self) -> float:
        """Highest frequency the frames can show, cm^-1."""
        from pyff.units import WAVENUMBER

        return 0.5 / self.spacing * WAVENUMBER

    def after(self, picoseconds: float) -> Motion:
        """Without the first `picoseconds`. Raises DataError if fewer than four frames are left."""
        first = round(1000 * picoseconds / self.spacing)
        if len(self) - first < 4:
            total = len(self) * self.spacing / 1000
            raise DataError(f"at least four frames must be left of {total:g} ps; received {picoseconds:g} ps to skip")
        velocity = None if self.velocity is None else self.velocity[first:]
        return replace(self, pos=self.pos[first:], velocity=velocity)


def read_motion(
    path: str | os.PathLike, *, spacing: float | None = None, on_frame: Callable[[int], None] | None = None
) -> Motion:
    """All frames of a trajectory (.xyz, .extxyz, .traj).

    Args:
        spacing: fs between frames; needed where the frames do not carry `time_fs`, as those of `pyff md` do.
        on_frame: called with the number of frames read so far.

    Raises:
        FileNotFoundError: no such file.
        DataError: not readable, fewer than four frames, atoms that change, an unknown, uneven or contradictory time
            between frames.
    """
    from ase.io import iread

    path = Path(path)
    kind = FORMATS.get(path.suffix.lower())
    if kind not in ("extxyz", "traj"):
        raise DataError(f"{path}: a trajectory must end in .xyz, .extxyz or .traj; received {path.suffix!r}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    pos, velocity, times, first = [], [], [], None
    try:
        for atoms in iread(path, index=":", format=kind):
            first = first or atoms
            _require_same_atoms(path, first, atoms, len(pos))
            pos.append(atoms.positions)
            velocity.append(atoms.get_velocities() * units.fs if atoms.has("momenta") else None)
            times.append(atoms.info.get("time_fs"))
            if on_frame:
                on_frame(len(pos))
    except (ValueError, KeyError, IndexError, OSError) as error:
        raise error if isinstance(error, DataError) else DataError(f"{path}: not readable ({error})") from None
    if len(pos) < 4:
        raise DataError(f"{path}: a trajectory must have at least four frames; received {len(pos)}")
    spacing, kept = _spacing(path, times, spacing)
    return Motion(
        pos=_unwrapped(np.array(pos[:kept]), first),
        velocity=np.array(velocity[:kept]) if all(v is not None for v in velocity) else None,
        masses=first.get_masses(),
        Z=first.numbers,
        spacing=spacing,
        cell=first.cell.array,
        pbc=first.pbc,
        note="" if kept == len(pos) else "the last frame, written off schedule, is left out",
    )


def _require_same_atoms(path: Path, first: Atoms, atoms: Atoms, number: int) -> None:
    if not np.array_equal(first.numbers, atoms.numbers):
        raise DataError(
            f"{path}: all frames must have the same atoms in the same order; frame {number} has "
            f"{atoms.get_chemical_formula()}, frame 0 {first.get_chemical_formula()}"
        )


def _spacing(path: Path, times: list, given: float | None) -> tuple[float, int]:
    """fs between frames, and the number of frames that keep it."""
    if given is not None and not given > 0:
        raise DataError(f"spacing must be a positive number of fs; received {given}")
    if any(t is None for t in times):
        if given is None:
            raise DataError(
                f"{path}: the frames do not say how far apart in time they are (no time_fs). Give the time between "
                "frames in fs with --spacing (spacing=... in Python)"
            )
        return float(given), len(times)
    steps = np.diff(np.array(times, float))
    found = float(np.median(steps))
    off = np.flatnonzero(np.abs(steps - found) > 1e-3 * abs(found))
    # an interrupted or finished run writes one more frame between two regular ones
    kept = len(times) - 1 if len(off) and off[0] == len(steps) - 1 else len(times)
    if not found > 0 or (len(off) and kept == len(times)):
        raise DataError(
            f"{path}: frames must be evenly spaced in time; after frame {off[0] if len(off) else 0} the step is "
            f"{steps[off[0] if len(off) else 0]:g} fs, elsewhere {found:g} fs. Give the part before or after it"
        )
    if given is not None and abs(given - found) > 1e-3 * found:
        raise DataError(f"{path}: its frames are {found:g} fs apart, but the spacing given is {given:g} fs")
    return found, kept


def _unwrapped(pos: np.ndarray, first: Atoms) -> np.ndarray:
    """Positions without jumps from one side of the cell to the other."""
    if not first.pbc.any():
        return pos
    cell = first.cell.complete().array
    jumps = np.diff(pos, axis=0) @ np.linalg.inv(cell)
    jumps = np.round(jumps) * first.pbc
    pos[1:] -= np.cumsum(jumps, axis=0) @ cell
    return pos


def vibrational_velocities(motion: Motion, *, source: str = "auto") -> tuple[np.ndarray, int, bool]:
    """Velocities without translation; of an open structure also without rotation, in axes that turn with it.

    Per frame: the velocity of the centre of mass is taken out, then w x r with the rigid-body rate w = I^-1 L, and the
    rest is turned by the rotation that lays the structure best over the first frame. (About its own axis a linear
    molecule is not turned.)

    Args:
        source: "stored" velocities, "positions" (differences between frames), or "auto": stored where there are some.

    Returns:
        velocities [T, N, 3] in A/fs ([T - 1, N, 3] from positions, valid half-way between frames);
        degrees of freedom: 3N - 3 (periodic), 3N - 6 (open), 3N - 5 (linear);
        whether they are differences of positions.
    """
    if source not in ("auto", "stored", "positions"):
        raise ValueError(f"source must be auto, stored or positions; received {source!r}")
    if source == "stored" and motion.velocity is None:
        raise DataError("the trajectory has no velocities; take them from positions instead")
    differences = source == "positions" or motion.velocity is None
    pos, velocity = motion.pos, motion.velocity
    if differences:
        pos, velocity = 0.5 * (pos[1:] + pos[:-1]), np.diff(pos, axis=0) / motion.spacing
    weight = motion.masses[:, None] / motion.masses.sum()
    r = pos - (weight * pos).sum(1, keepdims=True)
    velocity = velocity - (weight * velocity).sum(1, keepdims=True)
    n_atoms = len(motion.masses)
    if motion.pbc.any() or n_atoms == 1:
        return velocity, max(1, 3 * n_atoms - 3), differences
    velocity = velocity - np.cross(_angular_velocity(r, velocity, motion.masses)[:, None], r)
    linear = _is_linear(r)
    turn = _turn_axis(r) if linear else _turn_body(r, motion.masses)
    return velocity @ turn, 3 * n_atoms - 5 if linear else 3 * n_atoms - 6, differences


def _angular_velocity(r: np.ndarray, velocity: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """w [T, 3] = I^-1 sum_i m_i r_i x v_i; nothing turns about the axis of a linear molecule."""
    weighted = masses[:, None] * r
    inertia = (weighted * r).sum((1, 2))[:, None, None] * np.eye(3) - np.swapaxes(weighted, 1, 2) @ r
    momentum = np.cross(weighted, velocity).sum(1)
    return (np.linalg.pinv(inertia, rcond=1e-10, hermitian=True) @ momentum[..., None])[..., 0]


def _axis(r: np.ndarray) -> np.ndarray:
    """Long axis [T, 3] of every frame."""
    return np.linalg.eigh(np.swapaxes(r, 1, 2) @ r)[1][:, :, 2]


def _is_linear(r: np.ndarray) -> bool:
    axis = _axis(r)
    along = (r @ axis[..., None]) * axis[:, None]
    return bool(np.linalg.norm(r - along, axis=2).max(1).mean() < _LINEAR)


def _turn_body(r: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Rotations [T, 3, 3], for row vectors from the right, that lay every frame over the first (Kabsch 1976)."""
    u, _, vt = np.linalg.svd(np.swapaxes(r, 1, 2) @ (masses[:, None] * r[0]))
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    return u @ vt


def _turn_axis(r: np.ndarray) -> np.ndarray:
    """Rotations [T, 3, 3], for row vectors from the right, that lay the axis of every frame on the first frame's.

    They are products of the smallest rotations from one frame to the one before: no turn about the axis is added, and
    a molecule may turn right over.
    """
    axis = _axis(r)
    for k in range(1, len(axis)):  # the sign of an eigenvector is arbitrary
        if axis[k] @ axis[k - 1] < 0:
            axis[k] *= -1
    normal, cosine = np.cross(axis[1:], axis[:-1]), (axis[1:] * axis[:-1]).sum(1)
    skew = np.zeros((len(normal), 3, 3))  # transposed, for row vectors
    skew[:, [1, 2, 0], [2, 0, 1]], skew[:, [2, 0, 1], [1, 2, 0]] = normal[:, [0, 1, 2]], -normal[:, [0, 1, 2]]
    steps = np.eye(3) + skew + skew @ skew / (1 + cosine)[:, None, None]
    turn = np.tile(np.eye(3), (len(axis), 1, 1))
    for k, step in enumerate(steps):
        turn[k + 1] = step @ turn[k]
    return turn
