"""Units. Inside pyff: eV, A, e, amu, fs. Conversions happen here and nowhere else.

Values follow CODATA 2018, as in ASE.
"""

from __future__ import annotations

from pyff.errors import PyffError

__all__ = ["ENERGY", "LENGTH", "parse_energy_unit", "parse_length_unit"]

ENERGY = {  # eV per unit
    "eV": 1.0,
    "meV": 1e-3,
    "Hartree": 27.211386245988,
    "kcal/mol": 0.0433641042418009,
    "kJ/mol": 0.010364269574711568,
}
LENGTH = {"Angstrom": 1.0, "Bohr": 0.529177210903, "nm": 10.0}  # A per unit

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
