from __future__ import annotations

import itertools
import os
import signal

import numpy as np
import pytest
from _surfaces import EPSILON, LennardJonesCluster, cluster
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from matplotlib.figure import Figure

from pyff.errors import PyffError
from pyff.sampling import HopSettings, MinimaLog, discovery_panel, hop_minima, visit_panel

LJ = HopSettings(temperature=300, energy_window=0.1, timestep=8, passes=2, energy_tolerance=1e-4, fmax=2e-3)


def energies(state):
    return [state.minima[k].energy / EPSILON for k in state.sorted()]


@pytest.fixture(scope="module")
def seven():
    return hop_minima(cluster(7), LennardJonesCluster(), LJ, escapes=20)


def test_all_four_minima_of_seven_lennard_jones_atoms_are_found(seven):
    # Hoare and McInnes, Faraday Discuss. 61, 12 (1976)
    assert energies(seven) == pytest.approx([-16.505384, -15.935043, -15.593211, -15.533060], abs=1e-3)


def test_search_reports_every_visit(seven):
    visits = seven.visits
    assert [v.number for v in visits] == list(range(21)) and visits[0].outcome == "start"
    assert sum(m.visits for m in seven.minima) == sum(v.minimum >= 0 for v in visits)
    assert [m.found_at for m in seven.minima] == [v.number for v in visits if v.outcome in ("start", "new")]
    assert seven.fraction_new == pytest.approx(3 / 20)
    for before, after in itertools.pairwise(visits):
        assert after.temperature == before.next_temperature and after.energy_window == before.next_energy_window
        assert after.current == (after.minimum if after.accepted else before.current)
        assert 1 <= after.md_steps <= LJ.md_steps


def test_feedback_follows_the_rules(seven):
    for visit in seven.visits[1:]:
        factor = visit.next_temperature / visit.temperature
        hot = {"same": 1.1, "known": 1.1, "new": 1 / 1.1, "broken": 1 / 1.1}[visit.outcome]
        assert factor == pytest.approx(hot)
        window = visit.next_energy_window / visit.energy_window
        if visit.outcome in ("same", "broken"):
            assert window == 1 and not visit.accepted
        else:
            assert window == pytest.approx(1 / 1.05 if visit.accepted else 1.05)
    assert {v.outcome for v in seven.visits} >= {"same", "known", "new"}


def test_acceptance_compares_with_the_energy_window(seven):
    for before, visit in itertools.pairwise(seven.visits):
        if visit.outcome in ("known", "new"):
            rise = visit.energy - seven.minima[before.current].energy
            assert visit.accepted == (rise < visit.energy_window)


@pytest.mark.slow
def test_icosahedron_of_thirteen_atoms_is_found():
    calc, found = LennardJonesCluster(), []
    state = hop_minima(cluster(13), calc, LJ, escapes=25, on_visit=lambda state, *_: found.append(state.lowest.energy))
    assert energies(state)[0] == pytest.approx(-44.326801, abs=1e-3)  # Hoare and Pal, Adv. Phys. 20, 161 (1971)
    assert found[0] / EPSILON > -44 and calc.calls < 15_000


def test_search_is_repeated_by_its_seed_and_changed_by_another():
    runs = [hop_minima(cluster(7), LennardJonesCluster(), HopSettings(**{**vars(LJ), "seed": s}), escapes=4)
            for s in (1, 1, 2)]  # fmt: skip
    paths = [[(v.outcome, v.energy, v.md_steps) for v in run.visits] for run in runs]
    assert paths[0] == paths[1] != paths[2]


def test_search_continued_from_its_record_is_the_search_that_never_stopped(tmp_path, seven):
    start, log = cluster(7), MinimaLog(tmp_path / "minima.jsonl")
    log.begin(start, LJ)
    hop_minima(start, LennardJonesCluster(), LJ, escapes=5, on_visit=lambda state, *row: log.append(*row))
    with open(log.path, "a") as file:
        file.write('{"number": 6, "outco')  # killed while writing
    state = log.resume(start, LJ)
    assert len(state.visits) == 6
    state = hop_minima(start, LennardJonesCluster(), LJ, escapes=9, state=state,
                       on_visit=lambda state, *row: log.append(*row))  # fmt: skip
    for state_ in (state, log.resume(start, LJ)):
        for found, expected in zip(state_.visits, seven.visits[:10], strict=True):
            for name in ("outcome", "minimum", "accepted", "next_temperature", "current", "md_steps"):
                assert getattr(found, name) == getattr(expected, name)
        for found, expected in zip(state_.minima, seven.minima):
            np.testing.assert_array_equal(found.pos, expected.pos)


def test_record_of_another_search_is_refused(tmp_path):
    start, log = cluster(7), MinimaLog(tmp_path / "minima.jsonl")
    with pytest.raises(PyffError, match="no search to continue"):
        log.resume(start, LJ)
    log.begin(start, LJ)
    with pytest.raises(PyffError, match="other settings: passes 2 "):
        log.resume(start, HopSettings(**{**vars(LJ), "passes": 1}))
    with pytest.raises(PyffError, match="another structure: its Z differs"):
        log.resume(cluster(6), LJ)
    ion = cluster(7)
    ion.info["charge"] = 1
    with pytest.raises(PyffError, match="another structure: its charge differs"):
        log.resume(ion, LJ)
    log.begin(start, LJ, {"model": "a.safetensors", "model_sha256": "12ab"})
    assert log.resume(start, LJ, {"model": "renamed.safetensors", "model_sha256": "12ab"}).visits == []
    with pytest.raises(PyffError, match=r"made with the model a\.safetensors .* received b\.safetensors"):
        log.resume(start, LJ, {"model": "b.safetensors", "model_sha256": "34cd"})
    log.path.write_text("hello\n")
    with pytest.raises(PyffError, match="not the record of a minima search"):
        log.resume(start, LJ)
    log.begin(start, LJ)
    with open(log.path, "a") as file:
        file.write('{"number": 0}\n')
    with pytest.raises(PyffError, match="visit 0 is not readable"):
        log.resume(start, LJ)


class DoubleWell(Calculator):
    """Two atoms whose bond has a second minimum, far apart: E = h ((d - a)(d - b))^2 with a = 1.1, b = 3 A."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        vec = self.atoms.positions[1] - self.atoms.positions[0]
        d = np.linalg.norm(vec)
        well, slope = (d - 1.1) * (d - 3.0), (d - 1.1) + (d - 3.0)
        pull = 0.2 * 2 * well * slope * vec / d
        self.results = {"energy": 0.2 * well**2, "forces": np.array([pull, -pull])}


@pytest.mark.parametrize(("keep", "outcomes"), [("bonds", "broken"), ("auto", "broken"), ("all", "new")])
def test_minimum_with_other_bonds_is_rejected_unless_wanted(keep, outcomes):
    settings = HopSettings(temperature=4000, passes=1, keep=keep, softening=0)
    state = hop_minima(Atoms("N2", [[0, 0, 0], [1.1, 0, 0]]), DoubleWell(), settings, escapes=12)
    assert outcomes in {v.outcome for v in state.visits}
    assert len(state.minima) == (2 if keep == "all" else 1)
    broken = [v for v in state.visits if v.outcome == "broken"]
    assert all("N0-N1 that broke" in v.note and v.next_temperature < v.temperature for v in broken)


def test_cluster_that_comes_apart_is_rejected():
    state = hop_minima(cluster(7), LennardJonesCluster(), HopSettings(**{**vars(LJ), "temperature": 4000.0}), escapes=6)
    apart = [v for v in state.visits if v.outcome == "broken"]
    assert apart and all(v.note == "it came apart" and v.minimum == -1 for v in apart)
    assert min(energies(state)) >= -16.51 and max(energies(state)) < -15.5


def test_softening_turns_velocities_towards_flat_directions():
    from pyff.sampling.minima_hopping import _Search

    atoms = molecule("N2") + molecule("N2")
    atoms.positions[2:] += [4.0, 0, 0]
    atoms.calc = EMT()
    ratio = {}
    for softening in (0, 20):
        search = _Search(atoms, atoms.calc, HopSettings(softening=softening))
        share = []
        for number in range(5):
            search._start_moving(atoms, 300.0, number)
            v = atoms.get_velocities()
            bond = atoms.positions[1] - atoms.positions[0]
            stretch = ((v[1] - v[0]) @ bond / np.linalg.norm(bond)) ** 2
            share.append(stretch / (v**2).sum())
        ratio[softening] = np.mean(share)
    assert ratio[20] < 0.01 * ratio[0]


def test_calculator_that_fails_costs_an_escape_not_the_search():
    calc = LennardJonesCluster()
    failing = lambda state, visit, pos: setattr(calc, "limit", calc.calls if visit.number == 1 else 10**9)  # noqa: E731
    state = hop_minima(cluster(7), calc, LJ, escapes=4, on_visit=failing)
    assert state.visits[2].outcome == "failed" and "no more calls" in state.visits[2].note
    assert np.isnan(state.visits[2].energy) and state.visits[3].outcome != "failed"
    assert state.visits[2].current == state.visits[1].current


def test_interruption_forgets_the_escape_it_hit(seven):
    def stop(state, visit, pos):
        if visit.number == 2:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    state = hop_minima(cluster(7), LennardJonesCluster(), LJ, escapes=50, on_visit=stop)
    assert [v.outcome for v in state.visits] == [v.outcome for v in seven.visits[:3]]
    assert signal.getsignal(signal.SIGINT) is before


def test_time_limit_ends_the_search():
    assert len(hop_minima(cluster(7), LennardJonesCluster(), LJ, escapes=50, seconds=0.0).visits) == 1


def test_start_that_does_not_relax_is_an_error():
    with pytest.raises(PyffError, match=r"start structure must relax to 0.002 eV/A; not converged after 1 steps"):
        hop_minima(cluster(7), LennardJonesCluster(), HopSettings(**{**vars(LJ), "relax_steps": 1}))


@pytest.mark.parametrize(
    "bad",
    [{"temperature": 0}, {"passes": 0}, {"softening": -1}, {"keep": "some"}, {"beta_new": 1.2}, {"alpha_accept": 2},
     {"temperature": 9000}],
)  # fmt: skip
def test_settings_refuse_nonsense(bad):
    with pytest.raises(ValueError, match="must"):
        HopSettings(**bad)


def test_panels_show_visits_and_discoveries(seven):
    axes = Figure().add_subplot()
    visit_panel(seven)(axes)
    new = axes.lines[2].get_data()
    assert list(new[0]) == [m.found_at for m in seven.minima] and min(new[1]) == pytest.approx(0)
    assert "(meV)" in axes.get_ylabel()
    axes = Figure().add_subplot()
    discovery_panel(seven)(axes)
    assert axes.lines[0].get_ydata()[-1] == 4 and "4 minima in 20 escapes" in axes.get_title()
