from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator as AseCalculator
from ase.calculators.emt import EMT
from matplotlib.figure import Figure

from pyff.md import StabilityRun, StabilitySettings, measure_stability, stability_panel, summarize_stability

SHORT = StabilitySettings(time=0.05, temperatures=(300.0, 500.0), seeds=(0, 1), fmax=0.01)


class Repulsive(AseCalculator):
    """A force F (1 + growth x) that pulls the two atoms of a bond of length x apart."""

    implemented_properties = ("energy", "forces")

    def __init__(self, force: float, growth: float = 0.0) -> None:
        super().__init__()
        self.force, self.growth = force, growth

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        x = float(self.atoms.positions[1, 0] - self.atoms.positions[0, 0])
        forces = np.zeros((len(self.atoms), 3))
        forces[1, 0] = self.force * (1 + self.growth * x)
        forces[0] = -forces[1]
        self.results = {"energy": -self.force * (x + self.growth * x * x / 2), "forces": forces}


def run(**changes) -> StabilityRun:
    values = dict(model="m", temperature=300.0, seed=0, stable_time=1.0, total_time=2.0, reason="", interrupted=False,
                  steps=100, seconds=0.5, final=Atoms("H"))  # fmt: skip
    return StabilityRun(**{**values, **changes})


def test_stable_molecule_reaches_the_end_at_every_temperature_and_seed():
    atoms, seen = molecule("N2"), []
    before = atoms.positions.copy()
    runs = measure_stability(atoms, EMT(), SHORT, model="emt", on_run=seen.append)
    assert runs == seen and [(r.temperature, r.seed) for r in runs] == [(300, 0), (300, 1), (500, 0), (500, 1)]
    assert all(r.stable_time == pytest.approx(0.05) and not r.reason and r.steps == 100 for r in runs)
    assert not np.allclose(runs[0].final.positions, runs[1].final.positions)  # the seed matters
    np.testing.assert_array_equal(atoms.positions, before)
    assert atoms.calc is None
    again = measure_stability(atoms, EMT(), SHORT, model="emt")
    np.testing.assert_array_equal(runs[3].final.positions, again[3].final.positions)


def test_unstable_molecule_stops_when_the_bond_has_changed_by_half_an_angstrom():
    from ase import units

    atoms, force = molecule("N2"), 0.5
    atoms.positions = [[0, 0, 0], [1.1, 0, 0]]
    cold = StabilitySettings(time=1, temperatures=(0.0,), seeds=(0,), ensemble="nve", relax_steps=0)
    (found,) = measure_stability(atoms, Repulsive(force), cold)
    # each atom moves by F t^2 / 2m, the bond by twice that
    expected = np.sqrt(0.5 * 14.007 / force) / (1000 * units.fs)
    assert found.stable_time == pytest.approx(expected, abs=0.0011) and found.total_time == 1.0
    assert "bond N0-N1 changed by 0.5" in found.reason and not found.interrupted


def test_relaxation_that_breaks_a_bond_counts_as_unstable_from_the_start():
    atoms = molecule("N2")
    atoms.positions = [[0, 0, 0], [1.1, 0, 0]]
    (found,) = measure_stability(atoms, Repulsive(0.5, 0.1), StabilitySettings(1, (300.0,), (0,), relax_steps=30))
    assert found.stable_time == 0 and "bond N0-N1 changed by" in found.reason


def test_energy_that_is_not_finite_ends_a_run():
    class Faulty(EMT):
        def calculate(self, *args):
            super().calculate(*args)
            if self.left <= 0:
                self.results["energy"] = float("nan")
            self.left -= 1

    calc = Faulty()
    calc.left = 40
    (found,) = measure_stability(molecule("N2"), calc, StabilitySettings(0.1, (300.0,), (0,), fmax=0.05))
    assert "not finite" in found.reason and 0 < found.stable_time < 0.1


def test_summary_is_the_mean_with_two_standard_errors():
    times = (1.0, 2.0, 1.5)
    runs = [run(seed=k, stable_time=t, reason="" if t == 2 else "broken") for k, t in enumerate(times)]
    runs += [run(seed=9, stable_time=0.1, interrupted=True), run(temperature=500.0)]
    first, second = summarize_stability(runs)
    assert first.stable_time == pytest.approx(1.5) and first.fraction == pytest.approx(0.75)
    assert first.two_sigma == pytest.approx(2 * 0.5 / np.sqrt(3)) and (first.n_stable, first.n_runs) == (1, 3)
    assert first.frames_per_second == pytest.approx(200)
    assert second.temperature == 500 and np.isnan(second.two_sigma)


def test_interruption_keeps_what_was_finished():
    def stop(run, step, text):
        if run == 1 and step >= 40:
            os.kill(os.getpid(), signal.SIGINT)

    runs = measure_stability(molecule("N2"), EMT(), SHORT, on_step=stop)
    assert [r.interrupted for r in runs] == [False, True] and runs[1].steps == 40
    assert [s.n_runs for s in summarize_stability(runs)] == [1]


def test_structure_without_bonds_is_refused():
    with pytest.raises(ValueError, match="start structure must have bonds; Ar2 as given has none"):
        measure_stability(Atoms("Ar2", [[0, 0, 0], [4, 0, 0]]), EMT(), SHORT)


@pytest.mark.parametrize(
    "bad", [{"time": 0}, {"seeds": ()}, {"temperatures": ()}, {"threshold": 0}, {"timestep": 0}, {"friction": -1}]
)
def test_settings_refuse_nonsense(bad):
    with pytest.raises(ValueError, match="must"):
        StabilitySettings(**bad)


def test_panel_shows_a_dot_per_run_and_a_bar_per_model_and_temperature():
    runs = [run(model=m, temperature=t, seed=s) for m in "ab" for t in (300.0, 500.0) for s in range(3)]
    axes = Figure().add_subplot()
    stability_panel(runs)(axes)
    assert (
        len(axes.patches) == 4 and sum(len(line.get_xdata()) for line in axes.lines if line.get_marker() == "o") == 12
    )
    assert "(ps)" in axes.get_ylabel()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
