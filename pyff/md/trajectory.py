"""Trajectories as extxyz, complete after every frame, and what to do with one that was cut short."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from pyff._atomic import atomic_write

__all__ = ["TrajectoryWriter", "last_frame", "repair", "write_frames", "write_structure"]


class TrajectoryWriter:
    """Writes frames with positions, momenta, energy and forces; each is on disk when `write` returns.

    append: go on after the frames the file has; else the file starts empty.
    """

    def __init__(self, path: str | os.PathLike, *, append: bool = False) -> None:
        self.path = Path(path)
        self._file = open(self.path, "a" if append else "w")  # noqa: SIM115  closed by close()

    def write(self, atoms: Atoms, **info: float | int | str) -> None:
        """Append one frame; info (step, time, ...) goes to its comment line."""
        self._file.write(_as_text(atoms, info))
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> TrajectoryWriter:
        return self

    def __exit__(self, *_exc) -> None:
        self.close()


def write_structure(path: str | os.PathLike, atoms: Atoms) -> None:
    """One structure as such a frame; the file is replaced when the new one is complete."""
    atomic_write(path, _as_text(atoms, {}))


def write_frames(path: str | os.PathLike, frames: Iterable[Atoms]) -> None:
    """Structures as extxyz, with their `info` and stored results; the file is replaced when the new one is complete."""
    atomic_write(path, _extxyz(list(frames)))


def _as_text(atoms: Atoms, info: dict[str, float | int]) -> str:
    frame = atoms.copy()
    frame.set_constraint()
    frame.info.update(info)
    if atoms.calc is not None:
        forces = atoms.get_forces(apply_constraint=False)
        frame.calc = SinglePointCalculator(frame, energy=atoms.get_potential_energy(), forces=forces)
    return _extxyz([frame])


def _extxyz(frames: list[Atoms]) -> str:
    from ase.io.extxyz import write_extxyz

    text = io.StringIO()
    write_extxyz(text, frames)
    return text.getvalue()


def repair(path: str | os.PathLike) -> int:
    """Cut off an incomplete last frame, as a killed run leaves it; returns the number of complete frames."""
    frames, end = 0, 0
    with open(path, "r+b") as file:
        while complete := _skip_frame(file):
            frames, end = frames + 1, complete
        file.truncate(end)
    return frames


def _skip_frame(file) -> int:
    """Position after the frame that starts here; 0 if it is not complete."""
    try:
        n_atoms = int(file.readline())
    except ValueError:
        return 0
    for _ in range(n_atoms + 1):
        if not file.readline().endswith(b"\n"):
            return 0
    return file.tell()


def last_frame(path: str | os.PathLike) -> Atoms:
    """The last frame of a trajectory, with velocities, `info["step"]`, no constraints and no calculator."""
    from ase.io import read

    atoms = read(path, index=-1, format="extxyz")
    atoms.calc = None
    return atoms
