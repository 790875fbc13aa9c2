"""Units. Inside pyff: eV, A, e, amu, fs. Conversions happen here and nowhere else.

Values follow CODATA 2018, as in ASE.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyff.errors import PyffError

__all__ = [
    "CODATA_2014",
    "DEBYE",
    "ENERGY",
    "LENGTH",
    "STRESS",
    "WAVENUMBER",
    "Units",
    "parse_energy_unit",
    "parse_length_unit",
]

ENERGY = {  # eV per unit
    "eV": 1.0,
    "meV": 1e-3,
    "Hartree": 27.211386245988,
    "kcal/mol": 0.0433641042418009,
    "kJ/mol": 0.010364269574711568,
}
LENGTH = {"Angstrom": 1.0, "Bohr": 0.529177210903, "nm": 10.0}  # A per unit
DEBYE = 0.20819433622621247  # e A
STRESS = {"GPa": 0.0062415090744607636, "kbar": 0.00062415090744607636}  # eV/A^3 per unit
WAVENUMBER = 1e15 / 2.99792458e10  # cm^-1 per 1/fs: frequency over the speed of light


@dataclass(frozen=True)
class AtomicUnits:
    """Physical constants as one adjustment gives them."""

    bohr: float  # A
    hartree: float  # eV
    fine_structure: float
    coulomb: float  # eV A: the energy of two elementary charges at 1 A


# Part of the published SO3LR and SpookyNet models: their energies hold with these values, not with CODATA 2018.
CODATA_2014 = AtomicUnits(0.5291772105638411, 27.211386024367243, 0.007297352566206496, 14.399645351950548)

_ALIASES = {
    "ev": "eV",
    "mev": "meV",
    "ha": "Hartree",
    "hartree": "Hartree",
    "kcal/mol": "kcal/mol",
    "kcal": "kcal/mol",
    "kj/mol": "kJ/mol",
    "ang": "Angstrom",
    "a": "Angstrom",
    "angstrom": "Angstrom",
    "å": "Angstrom",
    "bohr": "Bohr",
    "a0": "Bohr",
    "nm": "nm",
}


def _parse(text: str, table: dict[str, float], what: str) -> str:
    name = _ALIASES.get(text.strip().lower())
    if name not in table:
        raise PyffError(f"{what} unit must be one of {', '.join(table)}; received {text!r}")
    return name


def parse_energy_unit(text: str) -> str:
    """Canonical name of an energy unit: 'kcal' -> 'kcal/mol'. Raises PyffError for an unknown one."""
    return _parse(text, ENERGY, "energy")


def parse_length_unit(text: str) -> str:
    """Canonical name of a length unit: 'a' -> 'Angstrom'. Raises PyffError for an unknown one."""
    return _parse(text, LENGTH, "length")


@dataclass(frozen=True)
class Units:
    """Units of a data set: an energy and a length; forces, stress and dipole follow unless they are named.

    energy: name in ENERGY; length: name in LENGTH; force: "energy/length"; stress: "GPa", "kbar", "energy/length^3";
    dipole: "e*length" (also written eAng), "Debye", "a.u.".
    Aliases ("kcal", "Ang") are accepted and stored under their canonical name.

        Units.parse("kcal/mol,Angstrom").force_factor  # eV/A per kcal/mol/A
    """

    energy: str = "eV"
    length: str = "Angstrom"
    force: str | None = None
    stress: str | None = None
    dipole: str | None = None

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731  the class is frozen
        put("energy", parse_energy_unit(self.energy))
        put("length", parse_length_unit(self.length))
        put("force", _force_unit(self.force or f"{self.energy}/{self.length}"))
        put("stress", _stress_unit(self.stress or f"{self.energy}/{self.length}^3"))
        put("dipole", _dipole_unit(self.dipole or f"e*{self.length}"))

    @classmethod
    def parse(cls, text: str) -> Units:
        """From "energy,length[,force[,stress[,dipole]]]", for example "Hartree,Angstrom,Hartree/Bohr"."""
        parts = [p.strip() for p in text.split(",")]
        if not 2 <= len(parts) <= 5 or not all(parts):
            raise PyffError(f"units must read 'energy,length', for example 'kcal/mol,Angstrom'; received {text!r}")
        return cls(*parts)

    @property
    def energy_factor(self) -> float:
        """eV per energy unit."""
        return ENERGY[self.energy]

    @property
    def length_factor(self) -> float:
        """A per length unit."""
        return LENGTH[self.length]

    @property
    def force_factor(self) -> float:
        """eV/A per force unit."""
        energy, length = self.force.rsplit("/", 1)
        return ENERGY[energy] / LENGTH[length]

    @property
    def stress_factor(self) -> float:
        """eV/A^3 per stress unit."""
        if self.stress in STRESS:
            return STRESS[self.stress]
        energy, length = self.stress.removesuffix("^3").rsplit("/", 1)
        return ENERGY[energy] / LENGTH[length] ** 3

    @property
    def dipole_factor(self) -> float:
        """e A per dipole unit."""
        return DEBYE if self.dipole == "Debye" else LENGTH[self.dipole.removeprefix("e*")]

    def of_label(self, label: str) -> tuple[float, str]:
        """(pyff's unit per unit of the data, name of the unit of the data) of a label of `pyff.batch.LABELS`."""
        return {
            "energy": (self.energy_factor, self.energy),
            "forces": (self.force_factor, self.force),
            "stress": (self.stress_factor, self.stress),
            "dipole": (self.dipole_factor, self.dipole),
            "charges": (1.0, "e"),
        }.get(label, (1.0, ""))

    def __str__(self) -> str:
        return f"{self.energy}, {self.length}"


def _force_unit(text: str) -> str:
    energy, slash, length = text.rpartition("/")
    if not slash:
        raise PyffError(f"force unit must read 'energy/length', for example 'Hartree/Bohr'; received {text!r}")
    return f"{parse_energy_unit(energy)}/{parse_length_unit(length)}"


def _dipole_unit(text: str) -> str:
    name = text.strip().lower()
    if name in ("debye", "d"):
        return "Debye"
    if name in ("a.u.", "au"):
        return "e*Bohr"
    if not name.startswith("e"):
        raise PyffError(f"dipole unit must be Debye, a.u. or 'e*length', for example e*Angstrom; received {text!r}")
    return f"e*{parse_length_unit(name[1:].lstrip(' *'))}"


def _stress_unit(text: str) -> str:
    for name in STRESS:
        if text.strip().lower() == name.lower():
            return name
    stem = text.strip().removesuffix("^3")
    parts = stem.rsplit("/", 1) if stem != text.strip() else stem.rsplit("/", 3)
    if len(parts) not in (2, 4) or len(set(parts[1:])) != 1 or (len(parts) == 2 and stem == text.strip()):
        raise PyffError(f"stress unit must be GPa, kbar or 'energy/length^3'; received {text!r}")
    return f"{parse_energy_unit(parts[0])}/{parse_length_unit(parts[1])}^3"
