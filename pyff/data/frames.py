"""From frames as read to a Dataset: keys chosen, units applied, frames checked, isolated atoms set apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from pyff.batch import System
from pyff.data.checks import problem
from pyff.data.dataset import Dataset
from pyff.data.hints import energy_hint, length_hint
from pyff.data.keys import KNOWN, choose_key, keys_text
from pyff.data.properties import choose_properties, property_labels
from pyff.errors import DataError
from pyff.units import Units

__all__ = ["DeclaredUnits", "Frame", "Keys", "assemble"]

_VOIGT = ((0, 5, 4), (5, 1, 3), (4, 3, 2))  # xx yy zz yz xz xy


@dataclass(frozen=True)
class Frame:
    """One structure as a reader found it: units and keys of the file."""

    name: str
    Z: np.ndarray
    pos: np.ndarray
    cell: np.ndarray = field(default_factory=lambda: np.zeros((3, 3)))
    pbc: np.ndarray = field(default_factory=lambda: np.zeros(3, bool))
    values: Mapping[str, object] = field(default_factory=dict)
    charge: float = 0.0
    spin: float = 0.0
    config_type: str = ""


@dataclass(frozen=True)
class DeclaredUnits:
    """Unit names a file states; by_key for files that give one per key."""

    energy: str | None = None
    length: str | None = None
    force: str | None = None
    stress: str | None = None
    dipole: str | None = None
    by_key: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Keys:
    """Keys asked for by the caller: None searches the known names, "" reads nothing."""

    energy: str | None = None
    forces: str | None = None
    stress: str | None = None
    charge: str | None = None
    spin: str | None = None
    dipole: str | None = None
    charges: str | None = None
    hirshfeld: str | None = None
    target: str | None = None

    def resolve(self, frames: list[Mapping], source: str) -> dict[str, str]:
        """role -> key that exists, of energies, forces, stress, charge and spin.

        Raises DataError where no frame has an energy, unless it is not asked for.
        """
        wanted = {role: getattr(self, role) for role in ("energy", "forces", "stress", "charge", "spin")}
        found = {r: choose_key(r, frames, w, source, f"{r}_key") for r, w in wanted.items()}
        if found["stress"] is None and wanted["stress"] is None:
            found["virial"] = choose_key("virial", frames, None, source, "stress_key")
        if found["spin"] is None and wanted["spin"] is None:
            found["multiplicity"] = choose_key("multiplicity", frames, None, source, "spin_key")
        if found["stress"] and "virial" in found["stress"].lower():
            found["virial"] = found.pop("stress")
        if found["energy"] is None and wanted["energy"] is None and not self.target:
            raise DataError(
                f"no energy found in {source}: known names: {', '.join(KNOWN['energy'])} (also REF_, dft_ before); "
                f"{keys_text(frames)}; name one with energy_key='NAME' (command line: --energy-key NAME), or read none "
                "with ''"
            )
        return {role: key for role, key in found.items() if key}


def assemble(
    frames: list[Frame],
    source: str,
    *,
    declared: DeclaredUnits,
    units: Units | str | None,
    keys: Keys,
    bad: str = "error",
) -> Dataset:
    """Dataset of frames as read. Arguments as in `pyff.data.read`."""
    if bad not in ("error", "skip"):
        raise ValueError(f"bad must be 'error' or 'skip'; received {bad!r}")
    if not frames:
        raise DataError(f"{source} holds no frames")
    chosen = keys.resolve([f.values for f in frames], source)
    properties, unread = choose_properties(keys, frames, source, declared)
    chosen |= properties
    known = _units(frames, source, declared, units, chosen)
    notes = [_keys_note(chosen, frames), *unread]
    convert = _Converter(known, chosen, _spin_reader(frames, chosen, notes))
    kept, atoms, problems = [], {}, {}
    for frame in frames:
        Z, pos, cell, labels = convert(frame)
        reason = problem(Z, pos, cell, frame.pbc, labels)
        if reason:
            problems.setdefault(reason, []).append(frame.name)
        elif _is_isolated(frame):
            if "energy" in labels:
                atoms.setdefault(int(Z[0]), []).append(float(labels["energy"]))
        else:
            charge, spin = convert.charge_spin(frame)
            kept.append((System(Z, pos, cell, frame.pbc, charge, spin, labels), frame.name))
    _report_problems(problems, source, bad, notes)
    for z, energies in atoms.items():
        if max(energies) - min(energies) > 1e-6:
            notes.append(f"several energies for the isolated atom Z={z}: the lowest, the ground state, is used")
    return Dataset(
        systems=tuple(s for s, _ in kept),
        names=tuple(n for _, n in kept),
        units=known,
        isolated_atoms={z: min(energies) for z, energies in sorted(atoms.items())},
        notes=tuple(notes),
    )


class _Converter:
    """Values of one frame in eV and A."""

    def __init__(self, units: Units, chosen: Mapping[str, str], spin: Callable[[Frame], float]) -> None:
        self.units, self.chosen, self.spin = units, chosen, spin

    def __call__(self, frame: Frame):
        length = self.units.length_factor
        pos = np.asarray(frame.pos, dtype=np.float64) * length
        cell = np.asarray(frame.cell, dtype=np.float64) * length
        return np.asarray(frame.Z, dtype=np.int64), pos, cell, self.labels(frame, cell)

    def labels(self, frame: Frame, cell: np.ndarray) -> dict[str, np.ndarray]:
        found = {role: frame.values[key] for role, key in self.chosen.items() if key in frame.values}
        labels = {}
        if "energy" in found:
            energy = np.asarray(found["energy"], dtype=np.float64)
            labels["energy"] = (energy.reshape(()) if energy.size == 1 else energy) * self.units.energy_factor
        if "forces" in found:
            forces = np.asarray(found["forces"], dtype=np.float64)
            labels["forces"] = (forces.reshape(-1, 3) if forces.size == 3 * len(frame.Z) else forces) * (
                self.units.force_factor
            )
        labels |= property_labels(frame, found, self.units)
        volume = abs(np.linalg.det(cell))
        if volume < 1e-9 or not np.all(frame.pbc):
            return labels  # stress has no meaning without a periodic volume
        if "stress" in found:
            labels["stress"] = _tensor(found["stress"]) * self.units.stress_factor
        elif "virial" in found:
            labels["stress"] = -_tensor(found["virial"]) * (self.units.energy_factor / volume)
        return labels

    def charge_spin(self, frame: Frame) -> tuple[float, float]:
        charge = _scalar(frame.values.get(self.chosen.get("charge", "")), frame.charge)
        return charge, self.spin(frame)


def _scalar(value, default: float) -> float:
    return default if value is None else float(np.asarray(value, dtype=np.float64).reshape(()))


def _tensor(value) -> np.ndarray:
    """3x3 from Voigt (xx yy zz yz xz xy), 9 numbers or 3x3; anything else is left for the check to refuse."""
    value = np.asarray(value, dtype=np.float64)
    if value.size == 6:
        return value.reshape(6)[np.array(_VOIGT)]
    return value.reshape(3, 3) if value.size == 9 else value


def _is_isolated(frame: Frame) -> bool:
    named = frame.config_type.lower().replace("_", "").replace(" ", "").rstrip("s") == "isolatedatom"
    return len(frame.Z) == 1 and (named or not np.any(frame.pbc))


def _report_problems(problems: Mapping[str, list[str]], source: str, bad: str, notes: list[str]) -> None:
    """problems: names of the frames for each reason."""
    if not problems:
        return
    count = sum(map(len, problems.values()))
    more = lambda names: f" and {len(names) - 1} more" if len(names) > 1 else ""  # noqa: E731
    reasons = [f"{names[0]}{more(names)}: {reason}" for reason, names in problems.items()]
    text = f"{count} frame{'s' * (count > 1)} of {source}: {'; '.join(reasons[:5])}" + "; ..." * (len(reasons) > 5)
    if bad == "error":
        raise DataError(f"cannot use {text}. Repair them, or leave them out with bad='skip' (command line: --bad skip)")
    notes.append(f"skipped {text}")


def _keys_note(chosen: Mapping[str, str], frames: list[Frame]) -> str:
    used = ", ".join(f"{role} from {key!r}" for role, key in chosen.items())
    if "forces" in chosen:
        return f"read {used}"
    return f"read {used}; no forces found, {keys_text(f.values for f in frames)}"


def _spin_reader(frames: list[Frame], chosen: Mapping[str, str], notes: list[str]) -> Callable[[Frame], float]:
    """Unpaired electrons of a frame. Files call both the number and the multiplicity 'spin_multiplicity'.

    The parity of the electron count decides: 2S has the parity of the electrons, 2S+1 has not.
    """
    electrons = lambda f: int(np.sum(f.Z)) - _scalar(f.values.get(chosen.get("charge", "")), f.charge)  # noqa: E731
    odd = lambda f, s: round(electrons(f) + s) % 2 == 1  # noqa: E731
    if "multiplicity" in chosen:
        key = chosen["multiplicity"]
        values = [(f, _scalar(f.values.get(key), 1.0)) for f in frames]
        multiplicity = all(odd(f, m) for f, m in values)
        if not multiplicity and any(odd(f, m) for f, m in values):
            raise DataError(f"{key!r} is neither a multiplicity nor a number of unpaired electrons: see its parity")
        if not multiplicity:
            notes.append(f"{key!r} counts unpaired electrons: the parity of the electrons excludes a multiplicity")
        return lambda f: _scalar(f.values.get(key), 1.0) - multiplicity
    key = chosen.get("spin", "")
    spin = lambda f: _scalar(f.values.get(key), f.spin)  # noqa: E731
    wrong = sum(odd(f, spin(f)) for f in frames if key in f.values)
    if wrong:
        notes.append(
            f"{wrong} frames have a {key!r} that cannot be a number of unpaired electrons (wrong parity); "
            "if it is a multiplicity, models that read the spin need it minus one"
        )
    return spin


def _units(frames, source, declared: DeclaredUnits, given: Units | str | None, chosen: Mapping[str, str]) -> Units:
    """The caller's units, or the file's; DataError where neither exists or where they contradict each other."""
    given = Units.parse(given) if isinstance(given, str) else given
    by_key = {role: declared.by_key.get(key) for role, key in chosen.items()}
    energy = declared.energy or by_key.get("energy")
    stated = {
        "energy": energy,
        "length": declared.length,
        "force": declared.force or by_key.get("forces"),
        "stress": declared.stress or by_key.get("stress"),
        "dipole": declared.dipole or by_key.get("dipole"),
    }
    if given is not None:
        _refuse_contradiction(given, stated, source)
        return given
    if energy and declared.length:
        return Units(**stated)
    missing = " and ".join(n for n, v in (("energy", energy), ("length", declared.length)) if not v)
    raise DataError(
        f"the {missing} unit of {source} is not declared. Give units='ENERGY,LENGTH', for example "
        f"units='kcal/mol,Angstrom' (command line: --units kcal/mol,Angstrom), or declare it in the file: info keys "
        f"energy_unit and length_unit (extxyz), arrays e_unit and r_unit (npz), metadata _property_unit_dict and "
        f"_distance_unit (ASE db).{_hints(frames, chosen)}"
    )


def _refuse_contradiction(given: Units, stated: Mapping[str, str | None], source: str) -> None:
    for name, value in stated.items():
        if value is None:
            continue
        text = Units(**{name: value})
        if getattr(text, name) != getattr(given, name):
            raise DataError(
                f"units give the {name} unit {getattr(given, name)}, but {source} declares {getattr(text, name)}; "
                "leave units out, or correct the file"
            )


def _hints(frames: list[Frame], chosen: Mapping[str, str]) -> str:
    sample = [f for f in frames[:: max(1, len(frames) // 50)] if len(f.Z) and np.min(f.Z) > 0]
    key = chosen.get("energy")
    energies = [(f.Z, _scalar(f.values[key], 0.0)) for f in sample if key in f.values and np.size(f.values[key]) == 1]
    hints = [energy_hint(energies), length_hint([(f.Z, np.asarray(f.pos, float)) for f in sample])]
    text = " and ".join(h for h in hints if h)
    return f" Hint, not used: {text}." if text else ""
