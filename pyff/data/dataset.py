"""Dataset: frames with labels in pyff's units, and what is known about where they come from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from pyff.batch import LABELS, System
from pyff.errors import DataError
from pyff.units import Units

__all__ = ["Dataset", "concatenate", "formula"]

_EXPECTED = ("energy", "forces", "stress")  # their absence is worth a line


@dataclass(frozen=True)
class Dataset:
    """Structures with labels, in eV and A, whatever the file said.

    systems: the frames; names: one per frame, such as "ethanol.npz[12]", used in every message.
    units: the units of the source, used again in reports.
    isolated_atoms: energy in eV of free atoms by atomic number, taken out of the frames.
    notes: sentences about what reading did (frames skipped, keys used).

    Raises DataError if names and systems differ in number.
    """

    systems: tuple[System, ...]
    names: tuple[str, ...]
    units: Units = field(default_factory=Units)
    isolated_atoms: Mapping[int, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "systems", tuple(self.systems))
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "notes", tuple(self.notes))
        object.__setattr__(self, "isolated_atoms", MappingProxyType(dict(self.isolated_atoms)))
        if len(self.names) != len(self.systems):
            raise DataError(f"names must be one per frame; received {len(self.names)} for {len(self.systems)} frames")

    def __len__(self) -> int:
        return len(self.systems)

    def __getitem__(self, index: int) -> System:
        return self.systems[index]

    def __iter__(self) -> Iterator[System]:
        return iter(self.systems)

    def subset(self, indices: Iterable[int]) -> Dataset:
        """The frames with these indices, in this order; units, isolated atoms and notes are kept."""
        indices = [int(i) for i in indices]
        n = len(self)
        outside = [i for i in indices if not 0 <= i < n]
        if outside:
            raise IndexError(f"indices must lie in 0..{n - 1}; received {outside[:5]}")
        return replace(
            self, systems=tuple(self.systems[i] for i in indices), names=tuple(self.names[i] for i in indices)
        )

    @property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers of all frames and isolated atoms, ascending."""
        found = set(self.isolated_atoms)
        for system in self.systems:
            found.update(np.unique(system.Z).tolist())
        return tuple(sorted(found))

    def count(self, label: str) -> int:
        """Number of frames that carry a label."""
        return sum(label in s.labels for s in self.systems)

    def formulas(self) -> Counter[str]:
        """Number of frames per chemical formula."""
        return Counter(formula(s.Z) for s in self.systems)

    def fingerprint(self) -> str:
        """SHA-256 over atomic numbers, positions, cells and energies: a split remembers which data it belongs to."""
        digest = hashlib.sha256()
        for s in self.systems:
            for array in (s.Z, s.pos, s.cell, s.pbc, s.labels.get("energy", np.zeros(0))):
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def describe(self) -> str:
        """A few lines of text: frames, formulas, labels with their ranges in the data's units, notes."""
        from ase.data import chemical_symbols

        shown = [f"{name} ({n})" for name, n in self.formulas().most_common(6)]
        more = len(self.formulas()) - len(shown)
        sizes = [len(s) for s in self.systems] or [0]
        lines = [
            f"frames    {len(self)}, {min(sizes)} to {max(sizes)} atoms, "
            f"{sum(bool(s.pbc.any()) for s in self.systems)} periodic",
            f"formulas  {', '.join(shown) or 'none'}{f' and {more} more' if more > 0 else ''}",
            f"elements  {' '.join(chemical_symbols[z] for z in self.elements)}",
            f"units     {self.units} in the source; eV, Angstrom here",
            *(self._describe_label(label) for label in LABELS if self.count(label) or label in _EXPECTED),
        ]
        if self.isolated_atoms:
            atoms = ", ".join(f"{chemical_symbols[z]} {e:.4f} eV" for z, e in sorted(self.isolated_atoms.items()))
            lines.append(f"isolated  {atoms}")
        return "\n".join([*lines, *(f"note      {note}" for note in self.notes)])

    def _describe_label(self, label: str) -> str:
        values = [np.ravel(s.labels[label]) for s in self.systems if label in s.labels]
        if not values:
            return f"{label:<9} none"
        factor, unit = self.units.of_label(label)
        flat = np.concatenate(values) / factor
        span = f"{flat.min():.6g} to {flat.max():.6g}"
        if label != "energy":
            span += f", rms {np.sqrt(np.mean(flat**2)):.4g}"
        return f"{label:<9} {len(values)} frames, {span} {unit}"


def formula(Z: np.ndarray) -> str:
    """Hill formula, such as C2H6O."""
    from ase.data import chemical_symbols
    from ase.formula import Formula

    counts = Counter(Z.tolist())
    return f"{Formula.from_dict({chemical_symbols[z]: n for z, n in counts.items()}):hill}"


def concatenate(datasets: Sequence[Dataset]) -> Dataset:
    """One data set from several; reports use the units of the first. Isolated atoms must agree to 1e-6 eV."""
    if not datasets:
        raise DataError("datasets must hold at least one data set; received none")
    atoms: dict[int, float] = {}
    for dataset in datasets:
        for z, energy in dataset.isolated_atoms.items():
            if abs(atoms.setdefault(z, energy) - energy) > 1e-6:
                raise DataError(
                    f"isolated-atom energies of Z={z} must agree between files; received {atoms[z]} and {energy} eV"
                )
    return Dataset(
        systems=tuple(s for d in datasets for s in d.systems),
        names=tuple(n for d in datasets for n in d.names),
        units=datasets[0].units,
        isolated_atoms=atoms,
        notes=tuple(dict.fromkeys(n for d in datasets for n in d.notes)),
    )
