from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.emt import EMT
from matplotlib.figure import Figure

from pyff.analysis import Motion, average_spectra, power_spectrum, spectrum_panel, vibrational_velocities
from pyff.errors import PyffError
from pyff.md import MDSettings, TrajectoryWriter, relax, run_md, start_velocities
from pyff.units import WAVENUMBER


def oscillators(
    frequencies, length: float = 20.0, spacing: float = 1.0, temperature: float = 300.0, masses=None
) -> Motion:
    """Periodic, so that only translation is projected: two atoms per frequency swing along x against each other."""
    n, seconds = len(frequencies), np.arange(round(1000 * length / spacing)) * spacing
    masses = np.repeat(masses if masses is not None else np.full(n, 12.0), 2)
    pos, velocity = np.zeros((len(seconds), 2 * n, 3)), np.zeros((len(seconds), 2 * n, 3))
    for k, frequency in enumerate(frequencies):
        omega = 2 * np.pi * frequency / WAVENUMBER
        # one mode of two atoms: kT/2 of kinetic energy on average
        amplitude = np.sqrt(units.kB * temperature / masses[2 * k]) * units.fs / omega
        phase = omega * seconds + k
        for atom, sign in ((2 * k, 1), (2 * k + 1, -1)):
            pos[:, atom, 0] = 5 * atom + sign * amplitude * np.sin(phase)
            velocity[:, atom, 0] = sign * amplitude * omega * np.cos(phase)
    return Motion(pos, velocity, masses, np.full(2 * n, 6), spacing, np.eye(3) * 100, np.array([True] * 3))


def area(spectrum, low, high):
    inside = (spectrum.frequency >= low) & (spectrum.frequency <= high)
    return np.sum(spectrum.intensity[inside]) * (spectrum.frequency[1] - spectrum.frequency[0])


def test_oscillators_peak_at_their_frequencies():
    spectrum = power_spectrum(oscillators([500.0, 1745.3, 3200.0]), window=4.0, blocks=1)
    assert spectrum.resolution == pytest.approx(33.356 / 4, rel=1e-4)
    assert [p.frequency for p in spectrum.peaks()] == pytest.approx([500.0, 1745.3, 3200.0], abs=0.5)


def test_width_of_a_sharp_line_is_the_resolution():
    spectrum = power_spectrum(oscillators([1500.0], length=40), window=3.0, blocks=1)
    above = spectrum.frequency[spectrum.intensity > 0.5 * spectrum.intensity.max()]
    step = spectrum.frequency[1] - spectrum.frequency[0]
    assert np.ptp(above) + step == pytest.approx(spectrum.resolution, abs=2 * step)


def test_integral_is_the_number_of_modes_shared_equally():
    motion = oscillators([400.0, 900.0, 2000.0], masses=[12.0, 1.0, 16.0])
    spectrum = power_spectrum(motion, window=4.0)
    assert spectrum.modes == 15 and np.trapezoid(spectrum.intensity, spectrum.frequency) == pytest.approx(15)
    for middle in (400, 900, 2000):  # three modes carry the heat of fifteen
        assert area(spectrum, middle - 100, middle + 100) == pytest.approx(5, rel=0.01)
    assert spectrum.temperature == pytest.approx(300 * 3 / 15, rel=0.01)


def test_without_mass_weights_light_atoms_dominate():
    motion = oscillators([400.0, 2000.0], masses=[16.0, 1.0])
    spectrum = power_spectrum(motion, window=4.0, mass_weighted=False)
    assert area(spectrum, 1900, 2100) / area(spectrum, 300, 500) == pytest.approx(16, rel=0.02)
    assert spectrum.temperature == pytest.approx(300 * 2 / 9, rel=0.01)


def test_positions_give_the_same_spectrum_as_velocities():
    motion = oscillators([600.0, 3000.0], spacing=2.0)
    stored, derived = (power_spectrum(motion, window=4.0, source=s) for s in ("stored", "positions"))
    for middle in (600, 3000):
        assert area(derived, middle - 100, middle + 100) == pytest.approx(
            area(stored, middle - 100, middle + 100), 0.01
        )
    assert [p.frequency for p in derived.peaks()] == pytest.approx([600, 3000], abs=0.5)
    assert derived.temperature == pytest.approx(stored.temperature, rel=0.01)


def test_autocorrelation_by_fft_is_the_direct_sum():
    from pyff.analysis.spectrum import _autocorrelation

    rng = np.random.default_rng(0)
    velocity, weights = rng.normal(size=(50, 4, 3)), rng.random(4)
    direct = [
        np.mean([np.einsum("i,ix,ix", weights, velocity[t], velocity[t + lag]) for t in range(50 - lag)])
        for lag in range(20)
    ]
    np.testing.assert_allclose(_autocorrelation(velocity, weights, 20), direct, atol=1e-12)


def test_blocks_give_error_bars():
    rng = np.random.default_rng(1)
    motion = oscillators([800.0])
    noisy = Motion(motion.pos, rng.normal(size=motion.velocity.shape) * 0.01, motion.masses, motion.Z, 1.0,
                   motion.cell, motion.pbc)  # fmt: skip
    one, five = (power_spectrum(noisy, window=0.5, blocks=n) for n in (1, 5))
    assert np.isnan(one.error).all() and five.n_blocks == 5
    # white noise: a flat spectrum, whose scatter the error bars predict
    flat = five.modes / five.frequency[-1]
    assert np.std(five.intensity) == pytest.approx(np.sqrt(np.mean(five.error**2)), rel=0.3)
    assert np.mean(five.intensity) == pytest.approx(flat, rel=0.01)


def verlet(frequency, timestep):
    """Frequency in cm^-1 at which velocity Verlet makes a harmonic oscillator swing."""
    half = np.pi * np.asarray(frequency) / WAVENUMBER * timestep
    return frequency * np.arcsin(half) / half


def test_diatomic_agrees_with_its_hessian():
    """N2 in EMT, free to turn: one peak at the frequency of the second derivative of its energy."""
    atoms = molecule("N2")
    atoms.calc = EMT()
    relax(atoms, fmax=1e-5)
    bond, curvature = atoms.get_distance(0, 1), []
    for step in (0.01, 0.005):
        energy = []
        for change in (-step, 0, step):
            atoms.set_distance(0, 1, bond + change)
            energy.append(atoms.get_potential_energy())
        curvature.append((energy[0] - 2 * energy[1] + energy[2]) / step**2)
    k = (4 * curvature[1] - curvature[0]) / 3
    atoms.set_distance(0, 1, bond)
    exact = np.sqrt(k / (14.007 / 2)) * units.fs / (2 * np.pi) * WAVENUMBER
    rng, pos, velocity = np.random.default_rng(0), [], []
    start_velocities(atoms, 10.0, seed=1)
    atoms.set_momenta(atoms.get_momenta() + 0.3 * rng.normal(size=3))  # translation
    spin = np.cross([0.0, 0.002, 0.004], atoms.positions - atoms.get_center_of_mass())  # rotation
    atoms.set_velocities(atoms.get_velocities() + spin)

    def keep(moving: Atoms) -> str:
        pos.append(moving.positions.copy())
        velocity.append(moving.get_velocities() * units.fs)
        return ""

    run_md(atoms, MDSettings(4000, "nve", timestep=0.5), check=keep)
    motion = Motion(np.array(pos), np.array(velocity), atoms.get_masses(), atoms.numbers, 0.5, np.zeros((3, 3)),
                    np.zeros(3, bool))  # fmt: skip
    spectrum = power_spectrum(motion, window=0.9, blocks=1)
    (peak,) = spectrum.peaks()
    expected = verlet(exact, 0.5)
    assert spectrum.modes == 1 and peak.frequency == pytest.approx(expected, abs=0.1 * spectrum.resolution)


def about_z(angle: np.ndarray) -> np.ndarray:
    """Rotations [T, 3, 3] for row vectors."""
    cos, sin, zero = np.cos(angle), np.sin(angle), np.zeros_like(angle)
    return np.array([[cos, sin, zero], [-sin, cos, zero], [zero, zero, zero + 1]]).transpose(2, 0, 1)


def bending(n_frames: int = 4000, turns: float = 3.0) -> tuple[Motion, np.ndarray]:
    """CO2 that bends at 667 cm^-1 in one plane while it turns end over end and drifts."""
    seconds, omega = np.arange(n_frames), 2 * np.pi * 667 / WAVENUMBER
    body = np.zeros((n_frames, 3, 3))
    body[:, :, 0] = [-1.16, 0, 1.16]
    masses = np.array([15.999, 12.011, 15.999])
    swing = 0.03 * np.sin(omega * seconds)
    body[:, :, 2] = swing[:, None] * np.array([1, -2 * masses[0] / masses[1], 1])
    angle = 2 * np.pi * turns * seconds / n_frames
    turn = np.zeros((n_frames, 3, 3))
    turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1] = (
        np.cos(angle),
        np.sin(angle),
        -np.sin(angle),
        np.cos(angle),
    )
    turn[:, 2, 2] = 1
    pos = body @ turn + 1e-3 * seconds[:, None, None]
    motion = Motion(pos, None, masses, np.array([8, 6, 8]), 1.0, np.zeros((3, 3)), np.zeros(3, bool))
    return motion, np.diff(body[:, :, 2], axis=0)


def test_linear_molecule_that_turns_over_shows_its_bend_only():
    motion, swing = bending()
    velocity, modes, differences = vibrational_velocities(motion)
    assert modes == 4 and differences
    np.testing.assert_allclose(velocity[:, :, 2], swing, atol=2e-5)
    assert np.abs(velocity[:, :, :2]).max() < 0.03 * np.abs(velocity[:, :, 2]).max()
    assert [p.frequency for p in power_spectrum(motion).peaks()] == pytest.approx([667], abs=2)


def test_bent_molecule_that_turns_shows_its_vibration_only():
    seconds, omega = np.arange(4000), 2 * np.pi * 1600 / WAVENUMBER
    water = molecule("H2O")
    water.positions -= water.get_center_of_mass()
    body = water.positions * (1 + 0.01 * np.sin(omega * seconds))[:, None, None]  # it breathes
    angle = 2 * np.pi * seconds / 700
    turn = np.zeros((4000, 3, 3))
    turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1] = (
        np.cos(angle),
        np.sin(angle),
        -np.sin(angle),
        np.cos(angle),
    )
    turn[:, 2, 2] = 1
    motion = Motion(body @ turn, np.gradient(body @ turn, axis=0), water.get_masses(), water.numbers, 1.0,
                    np.zeros((3, 3)), np.zeros(3, bool))  # fmt: skip
    velocity, modes, _ = vibrational_velocities(motion)
    expected = water.positions * (0.01 * omega * np.cos(omega * seconds))[:, None, None]
    assert modes == 3
    np.testing.assert_allclose(velocity[5:-5], expected[5:-5], atol=0.02 * np.abs(expected).max())


def test_water_has_its_three_vibrations(tmp_path):
    """A water molecule with harmonic springs, simulated, written, read: peaks at the frequencies of its Hessian."""
    from ase.vibrations.data import VibrationsData

    from pyff.analysis import read_motion

    atoms = molecule("H2O")
    atoms.calc = Springs(atoms, 40.0)
    hessian = np.zeros((3, 3, 3, 3))
    for i in range(3):
        for x in range(3):
            for sign in (1, -1):
                moved = atoms.copy()
                moved.calc = atoms.calc
                moved.positions[i, x] += sign * 1e-4
                hessian[i, x] -= sign * moved.get_forces() / 2e-4
    energies, modes = VibrationsData(atoms, hessian).get_energies_and_modes()
    exact = energies.real[-3:] / units.invcm
    masses = atoms.get_masses()[:, None]
    # kinetic energies of three modes at 20 K; random ones can leave a mode at rest
    share = [mode * np.sqrt(units.kB * 20 / (masses * mode**2).sum()) for mode in modes.real[-3:]]
    atoms.set_velocities(sum(share))
    with TrajectoryWriter(tmp_path / "md.xyz") as out:
        run_md(atoms, MDSettings(4000, "nve", timestep=0.5, interval=4), trajectory=out)
    spectrum = power_spectrum(read_motion(tmp_path / "md.xyz"), window=1.0, blocks=1)
    peaks = [p.frequency for p in spectrum.peaks()]
    assert peaks == pytest.approx(verlet(exact, 0.5), abs=0.25 * spectrum.resolution)


class Springs(EMT):
    """Harmonic springs between all atoms of a reference structure."""

    def __init__(self, atoms: Atoms, strength: float) -> None:
        super().__init__()
        self.rest, self.strength = atoms.get_all_distances(), strength

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        vec = atoms.positions[None] - atoms.positions[:, None]
        distance = np.linalg.norm(vec, axis=2) + np.eye(len(atoms))
        stretch = (distance - self.rest) * (1 - np.eye(len(atoms)))
        self.atoms = atoms.copy()
        self.results = {
            "energy": 0.25 * self.strength * (stretch**2).sum(),
            "forces": self.strength * (stretch[..., None] * vec / distance[..., None]).sum(1),
        }


def test_average_of_trajectories_has_their_scatter_as_error():
    a = power_spectrum(oscillators([500.0]), window=4.0, blocks=1)
    b = power_spectrum(oscillators([600.0]), window=4.0, blocks=1)
    both = average_spectra([a, b])
    np.testing.assert_allclose(both.intensity, 0.5 * (a.intensity + b.intensity))
    np.testing.assert_allclose(both.error, 0.5 * np.abs(a.intensity - b.intensity), atol=1e-15)
    with pytest.raises(PyffError, match="equal window"):
        average_spectra([a, power_spectrum(oscillators([500.0]), window=2.0, blocks=1)])


def test_window_too_long_for_the_trajectory_is_refused():
    with pytest.raises(PyffError, match="shorter than a block; received 3 ps, 1 block"):
        power_spectrum(oscillators([500.0], length=2.0), window=3.0)
    still = oscillators([500.0])
    still.velocity[:] = 0
    with pytest.raises(PyffError, match="do not move"):
        power_spectrum(still)


def test_panel_labels_the_peaks():
    axes = Figure().add_subplot()
    spectrum_panel(power_spectrum(oscillators([500.0, 1745.3]), window=4.0))(axes)
    assert [t.get_text() for t in axes.texts] == ["500", "1745"] or [t.get_text() for t in axes.texts] == [
        "1745",
        "500",
    ]
    assert "cm" in axes.get_xlabel() and "modes" in axes.get_ylabel()
