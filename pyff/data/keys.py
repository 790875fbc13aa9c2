"""Which key of a file is the energy, which the forces: known names, or an error that lists the keys that exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from pyff.errors import DataError

__all__ = ["KNOWN", "choose_key", "keys_text"]

# role -> names, lower case, without the prefixes below
KNOWN: dict[str, tuple[str, ...]] = {
    "energy": ("energy", "total_energy", "totenergy", "toten", "potential_energy", "etot", "e_tot", "e"),
    "forces": ("forces", "force", "atomic_forces", "total_forces", "totfor", "frc", "f"),
    "stress": ("stress", "stress_tensor"),
    "virial": ("virial", "virials"),
    "charge": ("charge", "total_charge", "net_charge"),
    "spin": ("spin", "unpaired_electrons"),
    "multiplicity": ("spin_multiplicity", "multiplicity"),
    "dipole": ("dipole", "dipole_moment", "dipole_vector", "vdip"),
    "charges": ("charges", "atomic_charges", "partial_charges", "hirshfeld_charges", "hchg"),
    "hirshfeld": ("hirshfeld", "hirshfeld_ratio", "hirshfeld_ratios", "hirsh_ratios", "hirsh_ratio", "hrat"),
}
_PREFIXES = ("ref_", "dft_", "qm_", "reference_", "target_", "label_")


def _plain(name: str) -> str:
    name = name.lower()
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name


def choose_key(role: str, frames: Iterable[Mapping], wanted: str | None, source: str, argument: str) -> str | None:
    """Name of the key that holds `role`, or None where the frames have none.

    wanted: None to search the known names, "" to read nothing, else the key itself.
    Raises DataError if `wanted` is in no frame, or if several known names hold different numbers.
    """
    frames = list(frames)
    if wanted == "":
        return None
    if wanted is not None:
        if not any(wanted in f for f in frames):
            raise DataError(f"{argument}={wanted!r} is in no frame of {source}; {keys_text(frames)}")
        return wanted
    found = dict.fromkeys(key for f in frames for key in f if _plain(key) in KNOWN[role])
    first, *others = found or (None,)
    different = [key for key in others if not _same(frames, first, key)]
    if different:
        names = ", ".join([first, *different])
        raise DataError(f"several keys of {source} could be the {role}: {names}; choose one with {argument}=...")
    return first


def _same(frames: Iterable[Mapping], a: str, b: str) -> bool:
    both = [(f[a], f[b]) for f in frames if a in f and b in f]
    return bool(both) and all(np.shape(x) == np.shape(y) and np.array_equal(x, y) for x, y in both)


def keys_text(frames: Iterable[Mapping]) -> str:
    """The keys that exist, for error messages."""
    keys = sorted(dict.fromkeys(key for f in frames for key in f))
    return f"keys that exist: {', '.join(keys)}" if keys else "the frames carry no keys at all"
