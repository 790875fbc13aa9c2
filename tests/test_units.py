from __future__ import annotations

import pytest
from ase import units as ase_units

from pyff.errors import PyffError
from pyff.units import LENGTH, Units


def test_units_parse_gives_derived_force_and_stress():
    u = Units.parse("kcal/mol, Ang")
    assert (u.energy, u.length, u.force, u.stress) == (
        "kcal/mol", "Angstrom", "kcal/mol/Angstrom", "kcal/mol/Angstrom^3",
    )  # fmt: skip
    assert u.force_factor == pytest.approx(ase_units.kcal / ase_units.mol, rel=1e-8)


def test_units_parse_takes_separate_force_and_stress():
    u = Units.parse("Hartree,Angstrom,Hartree/Bohr,GPa")
    assert u.length_factor == 1.0
    assert u.force_factor == pytest.approx(ase_units.Hartree / ase_units.Bohr, rel=1e-7)
    assert u.stress_factor == pytest.approx(ase_units.GPa, rel=1e-7)


@pytest.mark.parametrize("text", ["eV/A^3", "eV/Ang/Ang/Ang", "ev/angstrom^3"])
def test_units_stress_spellings_mean_the_same(text):
    assert Units(stress=text) == Units()


def test_units_dipole_follows_the_length_and_has_names():
    assert Units().dipole == Units(dipole="eAng").dipole == Units(dipole="e Å").dipole == "e*Angstrom"
    assert Units("Hartree", "Bohr").dipole_factor == Units(dipole="a.u.").dipole_factor == LENGTH["Bohr"]
    assert Units(dipole="Debye").dipole_factor == pytest.approx(ase_units.Debye, rel=1e-7)
    with pytest.raises(PyffError, match="dipole unit must be Debye"):
        Units(dipole="charge")


@pytest.mark.parametrize("text", ["eV", "eV,", "eV,Ang,eV/Ang,GPa,Debye,x"])
def test_units_parse_wrong_count_says_the_form(text):
    with pytest.raises(PyffError, match="units must read 'energy,length'"):
        Units.parse(text)


@pytest.mark.parametrize("change", [{"energy": "cal"}, {"length": "ft"}, {"force": "eV"}, {"stress": "eV/A^2"}])
def test_units_unknown_name_is_an_error(change):
    with pytest.raises(PyffError, match="unit must"):
        Units(**change)
