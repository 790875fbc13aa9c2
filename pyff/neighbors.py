"""pyff.neighbor_list: all pairs of atoms closer than a cutoff, with numpy only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pyff import _core
from pyff._threads import thread_count

__all__ = ["neighbor_list"]

_SERIAL_BELOW = 512  # atoms: a second thread costs more than it saves
_OPEN = np.zeros(3, bool)
_NO_CELL = np.zeros((3, 3))


def neighbor_list(
    quantities: str,
    atoms=None,
    cutoff=None,
    *,
    positions=None,
    cell=None,
    pbc=None,
    numbers=None,
    half: bool = False,
    self_interaction: bool = False,
):
    """All pairs (i, j, S) with |pos[j] - pos[i] + S @ cell| < cutoff, sorted by i.

    A drop-in for `ase.neighborlist.neighbor_list` and `matscipy.neighbours.neighbour_list`. S refers to the positions
    as given, wherever they are, and is zero along non-periodic axes, whose cell vectors are not read.

    Args:
        quantities: letters in the order of the result: 'i', 'j' int64 [E]; 'd' distance, float64 [E], A; 'D' vector
            from i to j, float64 [E, 3], A; 'S' lattice shift, int32 [E, 3].
        atoms: ase.Atoms, or None and positions (with cell and pbc for periodic structures).
        cutoff: A. One number; a mapping of element pairs, {("C", "H"): 1.3} or {(6, 1): 1.3}, where pairs that it
            does not name have no neighbors; or one radius per atom, for pairs with d < radius[i] + radius[j].
        positions: float [N, 3], A. cell: float [3, 3], A, rows are lattice vectors. pbc: one or three booleans.
        numbers: atomic numbers [N], needed with a mapping where atoms is None.
        half: list each unordered pair once: i < j, or i == j and the first non-zero component of S positive.
        self_interaction: list each atom as its own neighbor, with S = 0, too.

    Returns:
        A tuple of new arrays, or the array itself where one quantity is asked for. The order within a row is
        deterministic and does not depend on the number of threads.

    Raises:
        ValueError: naming the argument, for NaN or infinite input, wrong shapes, a negative cutoff, a cell that is
            singular along periodic axes, and lists that cannot fit in memory.
    """
    if atoms is not None:
        if not (positions is None and cell is None and pbc is None and numbers is None):
            raise ValueError("positions, cell, pbc and numbers must not be given together with atoms")
        positions, cell, pbc = atoms.positions, atoms.cell.array, atoms.pbc
    elif positions is None:
        raise ValueError("atoms or positions must be given; received neither")
    if type(positions) is not np.ndarray:
        positions = _as_floats("positions", positions)
        if positions.size == 0:
            positions = positions.reshape(-1, 3)
    if type(pbc) is not np.ndarray or pbc.shape != (3,):
        pbc = _as_pbc(pbc)
    if type(cell) is not np.ndarray:
        cell = _as_cell(cell, pbc)
    threads = 1 if len(positions) < _SERIAL_BELOW else thread_count()
    if type(cutoff) is float:
        return _core.neighbor_list(quantities, positions, cell, pbc, cutoff, half, self_interaction, threads)
    if numbers is None and atoms is not None:
        numbers = atoms.numbers
    largest, *by_pair = _pair_cutoffs(cutoff, numbers, len(positions))
    return _core.neighbor_list_by_pair(
        quantities, positions, cell, pbc, largest, half, self_interaction, threads, *by_pair
    )


def _as_floats(name: str, value) -> np.ndarray:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as e:
        raise ValueError(f"{name} must be numbers; received {value!r}") from e


def _as_pbc(pbc) -> np.ndarray:
    if pbc is None:
        return _OPEN
    if np.shape(pbc) not in ((), (3,)):
        raise ValueError(f"pbc must be one or three booleans; received {pbc!r}")
    return np.broadcast_to(np.asarray(pbc, dtype=bool), 3)


def _as_cell(cell, pbc: np.ndarray) -> np.ndarray:
    if cell is not None:
        return _as_floats("cell", cell)
    if pbc.any():
        raise ValueError(f"cell must be given for a periodic structure; received None with pbc={pbc.tolist()}")
    return _NO_CELL


def _pair_cutoffs(cutoff, numbers, n_atoms: int):
    """Largest cutoff, radius per atom, species per atom, cutoff per pair of species; empty where not used."""
    radius, species, table = np.empty(0), np.empty(0, np.int32), np.empty((0, 0))
    if isinstance(cutoff, Mapping):
        if numbers is None:
            raise ValueError("numbers must be given where cutoff is a mapping and atoms is None; received None")
        species, table = _element_table(cutoff, np.asarray(numbers))
        return float(table.max()), radius, species, table
    value = _as_floats("cutoff", cutoff) if cutoff is not None else np.empty((0, 0))
    if value.ndim == 0:
        return float(value), radius, species, table
    if value.shape != (n_atoms,):
        raise ValueError(
            "cutoff must be a number, a mapping of element pairs or one radius per atom "
            f"({n_atoms} atoms); received {'None' if cutoff is None else f'shape {value.shape}'}"
        )
    if not (np.isfinite(value).all() and (value >= 0).all()):
        raise ValueError("cutoff must hold finite radii >= 0; received a negative, infinite or NaN radius")
    largest = 2 * float(value.max()) if n_atoms else 0.0
    return largest, value, species, table


def _element_table(cutoff: Mapping, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    elements, species = np.unique(numbers, return_inverse=True)
    index = {int(z): k for k, z in enumerate(elements)}
    table = np.zeros((max(1, len(elements)),) * 2)
    for pair, value in cutoff.items():
        if not (np.ndim(value) == 0 and np.isfinite(value) and value >= 0):
            raise ValueError(f"cutoff must map pairs to finite numbers >= 0; received {value!r} for {pair!r}")
        a, b = (_atomic_number(x, pair) for x in _two(pair))
        if a in index and b in index:
            table[index[a], index[b]] = table[index[b], index[a]] = value
    return species.astype(np.int32).ravel(), table


def _two(pair):
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise ValueError(f"cutoff must map pairs of elements, such as ('C', 'H'); received the key {pair!r}")
    return pair


def _atomic_number(element, pair) -> int:
    if isinstance(element, str):
        from ase.data import atomic_numbers

        if element not in atomic_numbers:
            raise ValueError(f"cutoff must name chemical elements; received the key {pair!r}")
        return atomic_numbers[element]
    return int(element)
