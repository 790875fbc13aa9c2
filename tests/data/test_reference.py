from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pyff.data import concatenate, from_arrays, reference_energies

E0 = {1: -13.6, 6: -1035.0, 8: -2041.0}
LINE = np.arange(12)[:, None] * np.array([1.1, 0.0, 0.0])


def frames(Z, n=4, noise=0.0, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    energy = scale * sum(E0[z] for z in Z) + noise * rng.normal(size=n)
    return from_arrays(Z, np.tile(LINE[: len(Z)], (n, 1, 1)), energy, units="eV,Angstrom")


FULL = concatenate([frames(Z) for Z in ([1, 1], [6, 1, 1, 1, 1], [8, 1, 1], [6, 8])])


def test_reference_energies_least_squares_is_exact_where_compositions_allow():
    r = reference_energies(FULL)
    assert r.method == "least squares"
    assert {z: pytest.approx(e, abs=1e-9) for z, e in E0.items()} == dict(r.values)
    assert abs(r.residual_mean) < 1e-9 and "least squares" in r.text


def test_reference_energies_isolated_atoms_win():
    atoms = {1: -13.0, 6: -1030.0, 8: -2040.0}
    r = reference_energies(replace(FULL, isolated_atoms=atoms))
    assert r.method == "isolated atoms" and dict(r.values) == atoms
    assert r.residual_mean < -0.5 and "isolated atoms" in r.text


def test_reference_energies_incomplete_isolated_atoms_are_not_used_and_said_so():
    r = reference_energies(replace(FULL, isolated_atoms={1: -13.0}))
    assert r.method == "least squares" and "none for C, O" in r.text
    with pytest.raises(ValueError, match=r"missing Z = \[6, 8\]"):
        reference_energies(replace(FULL, isolated_atoms={1: -13.0}), "isolated atoms")


def test_reference_energies_one_composition_gives_the_mean_per_atom():
    d = frames([6, 6, 8, 1, 1, 1, 1, 1, 1], noise=0.1)
    r = reference_energies(d)
    mean = np.mean([float(s.labels["energy"]) for s in d]) / 9
    assert r.method == "mean per atom"
    assert all(v == pytest.approx(mean, rel=1e-14) for v in r.values.values())


def test_reference_energies_multiples_of_one_composition_are_one_composition():
    r = reference_energies(concatenate([frames([8, 1, 1]), frames([8, 1, 1, 8, 1, 1])]))
    assert r.method == "mean per atom"


def test_reference_energies_deficient_compositions_fit_with_minimum_norm():
    d = concatenate([frames([6, 6, 8, 1, 1, 1, 1, 1, 1]), frames([6, 8, 1, 1, 1, 1])])
    r = reference_energies(d)
    counts = np.array([[6, 2, 1], [4, 1, 1]], float)
    energy = np.array([float(d[0].labels["energy"]), float(d[4].labels["energy"])])
    mean = (4 * energy).sum() / (4 * counts).sum()
    best = mean + np.linalg.pinv(counts) @ (energy - mean * counts.sum(1))
    assert r.method == "least squares"
    np.testing.assert_allclose([r.values[z] for z in (1, 6, 8)], best, rtol=1e-9)
    np.testing.assert_allclose(counts @ best, energy, rtol=1e-12)


def test_reference_energies_of_huge_totals_keep_a_micro_ev():
    d = concatenate([frames(Z, scale=1000.0) for Z in ([1, 1], [6, 1, 1, 1, 1], [8, 1, 1], [6, 8], [8] * 12)])
    r = reference_energies(d)
    assert min(float(s.labels["energy"]) for s in d) < -1e7
    left = [float(s.labels["energy"]) - r.total(s.Z) for s in d]
    assert max(abs(x) / len(s) for x, s in zip(left, d)) < 1e-6


def test_reference_energies_skip_frames_without_energy():
    unlabelled = from_arrays([8, 1, 1], LINE[None, :3], forces=np.zeros((1, 3, 3)), units="eV,Angstrom")
    assert reference_energies(concatenate([FULL, unlabelled])).values == reference_energies(FULL).values
    assert reference_energies(unlabelled).method == "none"
