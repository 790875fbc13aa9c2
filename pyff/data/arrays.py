"""Dataset from arrays in memory."""

from __future__ import annotations

import numpy as np

from pyff.data.dataset import Dataset
from pyff.data.frames import DeclaredUnits, Frame, Keys, assemble
from pyff.errors import DataError
from pyff.units import Units

__all__ = ["array_frames", "from_arrays"]


def from_arrays(
    Z,
    pos,
    energy=None,
    forces=None,
    stress=None,
    *,
    units: Units | str,
    cell=None,
    pbc=None,
    charge=None,
    spin=None,
    dipole=None,
    charges=None,
    hirshfeld=None,
    target=None,
    name: str = "arrays",
    bad: str = "error",
) -> Dataset:
    """Data set of M frames from arrays.

    Args:
        Z: int [N] for all frames, or [M, N]; zeros at the end of a row are padding.
        pos: [M, N, 3]. energy: [M] or [M, 1]. forces: [M, N, 3] or [M, 3N]. stress: [M, 3, 3] or Voigt [M, 6].
        units: "energy,length", for example "kcal/mol,Angstrom", or Units.
        cell: [3, 3] or [M, 3, 3], rows are lattice vectors. pbc: [3] or [M, 3]; periodic where a cell is given.
        charge, spin: scalar or [M]; spin in unpaired electrons.
        dipole: [M, 3]. charges, hirshfeld: [M, N], e and ratios of volumes. target: [M], any other property.
        name: frames are called name[0], name[1], ... in messages.
        bad: "error" refuses unusable frames, "skip" leaves them out and notes it.

    Raises:
        DataError: shapes that do not fit, unusable frames (named).
    """  # fmt: skip
    labels = {"energy": energy, "forces": forces, "stress": stress, "charge": charge, "spin": spin}
    labels |= {"dipole": dipole, "charges": charges, "hirshfeld": hirshfeld, "target": target}
    values = {k: np.asarray(v, dtype=np.float64) for k, v in labels.items() if v is not None}
    frames = array_frames(np.asarray(Z), np.asarray(pos, dtype=np.float64), values, cell, pbc, name)
    keys = Keys(energy=None if energy is not None else "", target=None if target is None else "target")
    return assemble(frames, name, declared=DeclaredUnits(), units=units, keys=keys, bad=bad)


def array_frames(Z: np.ndarray, pos: np.ndarray, values: dict[str, np.ndarray], cell, pbc, name: str) -> list[Frame]:
    """Frames of stacked arrays. A value whose first axis is not M is taken for all frames (a scalar charge)."""
    if pos.ndim == 2 and Z.ndim == 1 and pos.shape == (len(Z), 3):
        pos = pos[None]
    if pos.ndim != 3 or pos.shape[2] != 3:
        raise DataError(f"positions of {name} must have shape [M, N, 3]; received {pos.shape}")
    m, n = pos.shape[:2]
    if Z.shape not in ((n,), (m, n)):
        raise DataError(f"atomic numbers of {name} must have shape ({n},) or ({m}, {n}); received {Z.shape}")
    values = {k: _per_frame(k, v, m, name) for k, v in values.items()}
    cell, pbc = _cells(cell, pbc, m, name)
    numbers = np.broadcast_to(Z, (m, n)).astype(np.int64)
    sizes = _unpadded_sizes(numbers, name)
    frames = []
    for k in range(m):
        size = sizes[k]
        own = {key: _without_padding(v[k], n, size) for key, v in values.items()}
        frames.append(Frame(f"{name}[{k}]", numbers[k, :size], pos[k, :size], cell[k], pbc[k], own))
    return frames


def _per_frame(key: str, value: np.ndarray, m: int, name: str) -> np.ndarray:
    if value.ndim == 0:
        return np.broadcast_to(value, (m,))
    if value.shape[0] != m:
        raise DataError(f"{key} of {name} must have one entry per frame ({m}); received shape {value.shape}")
    return value


def _without_padding(value: np.ndarray, n: int, size: int) -> np.ndarray:
    if size == n:
        return value
    if value.shape == (3 * n,):
        value = value.reshape(n, 3)
    return value[:size] if value.ndim and value.shape[0] == n else value


def _unpadded_sizes(numbers: np.ndarray, name: str) -> np.ndarray:
    sizes = (numbers != 0).sum(axis=1)
    inside = np.arange(numbers.shape[1]) < sizes[:, None]
    if np.any(inside & (numbers == 0)):
        raise DataError(f"atomic numbers of {name} must be padded with zeros at the end only")
    return sizes


def _cells(cell, pbc, m: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    given = cell is not None
    cell = np.asarray(cell if given else np.zeros((3, 3)), dtype=np.float64)
    cell = cell.reshape(*cell.shape[:-1], 3, 3) if cell.shape[-1:] == (9,) else cell
    pbc = np.asarray(given if pbc is None else pbc, dtype=bool)
    try:
        return np.broadcast_to(cell, (m, 3, 3)), np.broadcast_to(pbc, (m, 3))
    except ValueError:
        raise DataError(
            f"cell of {name} must be [3, 3] or [{m}, 3, 3] and pbc [3] or [{m}, 3]; "
            f"received {cell.shape} and {pbc.shape}"
        ) from None
