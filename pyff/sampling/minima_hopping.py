"""Minima hopping (Goedecker, J. Chem. Phys. 120, 9911, 2004): a search for minima that remembers where it has been.

From the current minimum M a short simulation at temperature T escapes and is relaxed to a minimum M':
    M' = M        T grows by beta_same          (the escape failed)
    M' known      T grows by beta_known         (the region is explored)
    M' new        T shrinks by beta_new
and M' != M is accepted if E' - E < E_diff; then E_diff shrinks by alpha_accept, else it grows by alpha_reject. So
about half of the moves are accepted, and the search leaves every region it has exhausted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator as AseCalculator
from ase.md.verlet import VelocityVerlet

from pyff._interrupt import Interrupt
from pyff.errors import PyffError
from pyff.md.bonds import BOND_SCALE, bonded_pairs, fragments
from pyff.md.dynamics import without_net_motion
from pyff.md.relax import quasi_newton, relax
from pyff.sampling.curvature import lowest_curvature, softened
from pyff.sampling.fingerprint import Fingerprint, fingerprint

__all__ = ["HopSettings", "HopState", "Minimum", "Visit", "hop_minima"]

# H, B, C, N, O, F, Si, P, S, Cl, As, Se, Br, Te, I: what molecules with fixed bonds are made of
_NONMETALS = {1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 33, 34, 35, 52, 53}
_SADDLE = -0.02  # eV/A^2: a curvature below shows a saddle point; noise of forces and rotation stays above
_PUSH = 0.2  # A, away from a saddle point
_LOOSE = 1.6  # times the covalent radii: parts of a cluster farther apart than this have come off


@dataclass(frozen=True)
class HopSettings:
    """How to search.

    temperature in K and energy_window (E_diff) in eV: where the search starts; it adapts both.
    passes: an escape ends after that many minima of the potential energy along its path; timestep in fs; md_steps: at
    most; softening: steps that turn its first velocities towards flat directions, 0 for random ones.
    fmax in eV/A, relax_steps: of the relaxation. energy_tolerance in eV, distance_tolerance in A (of
    `Fingerprint.difference`): closer minima are one. mirror: whether mirror images are the "same" minimum or
    "distinct".
    keep: "bonds" rejects minima with another bond graph than the start, "fragments" those in more parts, "all" none;
    "auto" is bonds for a molecule (nonmetals only), fragments for an open cluster, all for a periodic structure.
    """

    temperature: float = 1000.0
    energy_window: float = 0.5
    passes: int = 3
    timestep: float = 1.0
    md_steps: int = 2000
    softening: int = 20
    fmax: float = 1e-3
    relax_steps: int = 2000
    energy_tolerance: float = 1e-3
    distance_tolerance: float = 0.1
    mirror: Literal["same", "distinct"] = "same"
    keep: Literal["auto", "bonds", "fragments", "all"] = "auto"
    seed: int = 0
    beta_same: float = 1.1
    beta_known: float = 1.1
    beta_new: float = 1 / 1.1
    alpha_accept: float = 1 / 1.05
    alpha_reject: float = 1.05
    lowest_temperature: float = 50.0
    highest_temperature: float = 5000.0

    def __post_init__(self) -> None:
        positive = ("temperature", "energy_window", "timestep", "fmax", "energy_tolerance", "distance_tolerance")
        for name in (*positive, "passes", "md_steps", "relax_steps", "lowest_temperature"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive; received {getattr(self, name)}")
        if self.softening < 0:
            raise ValueError(f"softening must not be negative; received {self.softening}")
        if self.mirror not in ("same", "distinct") or self.keep not in ("auto", "bonds", "fragments", "all"):
            raise ValueError(
                "mirror must be same or distinct, keep auto, bonds, fragments or all; received "
                f"{self.mirror!r} and {self.keep!r}"
            )
        if not (self.beta_same > 1 and self.beta_known > 1 and 0 < self.beta_new < 1):
            raise ValueError("beta_same and beta_known must be above 1, beta_new between 0 and 1")
        if not (0 < self.alpha_accept < 1 < self.alpha_reject):
            raise ValueError("alpha_accept must be between 0 and 1, alpha_reject above 1")
        if not self.lowest_temperature <= self.temperature <= self.highest_temperature:
            raise ValueError(
                f"temperature must be between {self.lowest_temperature:g} and {self.highest_temperature:g} K; "
                f"received {self.temperature:g}"
            )


@dataclass
class Minimum:
    """One minimum: energy in eV, number of visits, and the visit it was found at (0 is the relaxed start)."""

    energy: float
    pos: np.ndarray
    print: Fingerprint
    found_at: int
    visits: int = 1


@dataclass(frozen=True)
class Visit:
    """One escape and what came of it.

    outcome: "start", "same", "known", "new", "broken" (bonds or parts changed) or "failed" (not relaxed, or the
    calculator refused); minimum: its number in the list, -1 for the last two; energy in eV (NaN where failed);
    temperature (K) and energy_window (eV) are those of the escape; next_... those after it; current: number of the
    minimum the search is at then.
    """

    number: int
    outcome: str
    minimum: int
    energy: float
    accepted: bool
    temperature: float
    energy_window: float
    md_steps: int
    relax_steps: int
    current: int
    next_temperature: float
    next_energy_window: float
    seconds: float
    note: str = ""


@dataclass
class HopState:
    """Everything a search knows; with settings and calculator it determines how the search goes on.

    atoms: the start structure, for elements, cell and bonds. minima in the order they were found.
    """

    atoms: Atoms
    minima: list[Minimum] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)

    @property
    def lowest(self) -> Minimum:
        return min(self.minima, key=lambda m: m.energy)

    @property
    def fraction_new(self) -> float:
        """New minima over escapes; NaN before the first."""
        escapes = [v for v in self.visits if v.outcome != "start"]
        return sum(v.outcome == "new" for v in escapes) / len(escapes) if escapes else float("nan")

    def structure(self, k: int) -> Atoms:
        """Minimum k as a structure with energy, visits and the visit it was found at in `info`."""
        found, atoms = self.minima[k], self.atoms.copy()
        atoms.positions = found.pos
        atoms.info.update(minimum=k, energy=found.energy, visits=found.visits, found_at=found.found_at)
        return atoms

    def sorted(self) -> list[int]:
        """Numbers of the minima by energy."""
        return sorted(range(len(self.minima)), key=lambda k: self.minima[k].energy)

    def add(self, visit: Visit, pos: np.ndarray | None) -> None:
        """Take up a visit, with the positions where it found a minimum that is new."""
        if visit.outcome in ("start", "new"):
            atoms = self.atoms.copy()
            atoms.positions = pos
            self.minima.append(Minimum(visit.energy, np.array(pos), fingerprint(atoms), visit.number))
        elif visit.minimum >= 0:
            self.minima[visit.minimum].visits += 1
        self.visits.append(visit)


def hop_minima(
    atoms: Atoms,
    calculator: AseCalculator,
    settings: HopSettings | None = None,
    *,
    escapes: int = 100,
    state: HopState | None = None,
    seconds: float | None = None,
    on_visit: Callable[[HopState, Visit, np.ndarray | None], None] | None = None,
) -> HopState:
    """Search until `escapes` escapes have been made in all, `seconds` are over, or Ctrl-C.

    A search continued from its state goes on exactly as one that never stopped: escape k draws its numbers from
    (seed, k), and an interrupted escape is forgotten and made again.

    Args:
        atoms: start structure; its constraints and cell are kept.
        state: of an earlier search from the same start.
        on_visit: called with the state, the visit just added, and the positions of its minimum if that is new.

    Raises:
        PyffError: the start structure does not relax, or breaks on the way.
    """
    settings = settings or HopSettings()
    state = state or HopState(atoms.copy())
    search = _Search(atoms, calculator, settings)
    started = time.perf_counter()
    with Interrupt() as interrupt:
        while len(state.visits) <= escapes and not interrupt.requested:
            if seconds is not None and state.visits and time.perf_counter() - started >= seconds:
                break
            visit, pos = search.start() if not state.visits else search.escape(state, interrupt)
            if visit is None:
                break
            state.add(visit, pos)
            if on_visit:
                on_visit(state, visit, pos if visit.outcome in ("start", "new") else None)
    return state


class _Search:
    """The steps of the search; holds no memory of its own."""

    def __init__(self, atoms: Atoms, calculator: AseCalculator, settings: HopSettings) -> None:
        self.atoms, self.calculator, self.s = atoms, calculator, settings
        self.keep = _rule(atoms) if settings.keep == "auto" else settings.keep
        self.bonds = bonded_pairs(atoms).pairs()
        self.parts = fragments(atoms, scale=_LOOSE)

    def start(self) -> tuple[Visit | None, np.ndarray | None]:
        """The relaxed start structure, visit 0."""
        began, atoms = time.perf_counter(), self._at(self.atoms.positions)
        report = self._relax(atoms)
        if report.converged:
            report = self._leave_saddle(atoms, report, 0)
        if report.interrupted:
            return None, None
        if not report.converged:
            raise PyffError(
                f"the start structure must relax to {self.s.fmax:g} eV/A; {report.stopped}, largest force "
                f"{report.fmax:.2g} eV/A. Try float64, a larger fmax or more relaxation steps"
            )
        if note := self._broken(atoms):
            raise PyffError(f"the start structure changes its bonds when it is relaxed: {note}")
        s = self.s
        visit = Visit(0, "start", 0, report.energy, True, s.temperature, s.energy_window, 0, report.steps, 0,
                      s.temperature, s.energy_window, time.perf_counter() - began)  # fmt: skip
        return visit, atoms.positions

    def escape(self, state: HopState, interrupt: Interrupt) -> tuple[Visit | None, np.ndarray | None]:
        """One move from the current minimum; None if it was interrupted."""
        began, last = time.perf_counter(), state.visits[-1]
        atoms = self._at(state.minima[last.current].pos)
        energy, steps, note, report = float("nan"), 0, "", None
        try:
            self._start_moving(atoms, last.next_temperature, number=last.number + 1)
            steps = self._climb(atoms, interrupt)
            if interrupt.requested:
                return None, None
            report = self._relax(atoms)
            if report.converged and self._recognised(state, atoms, report.energy)[0] == "new":
                report = self._leave_saddle(atoms, report, last.number + 1)
            if report.interrupted:
                return None, None
            note, energy = "" if report.converged else report.stopped, report.energy
        except (ValueError, RuntimeError) as error:
            note = f"the calculation failed: {error}"
        outcome, minimum = "failed", -1
        if not note:
            note = self._broken(atoms)
            outcome, minimum = ("broken", -1) if note else self._recognised(state, atoms, energy)
        visit = self._judged(state, outcome, minimum, energy, steps, report, note, time.perf_counter() - began)
        return visit, atoms.positions

    def _at(self, pos: np.ndarray) -> Atoms:
        atoms = self.atoms.copy()
        atoms.positions = pos
        atoms.calc = self.calculator
        return atoms

    def _relax(self, atoms: Atoms):
        return relax(atoms, fmax=self.s.fmax, steps=self.s.relax_steps, optimizer=quasi_newton(atoms))

    def _leave_saddle(self, atoms: Atoms, report, number: int):
        """Where the forces vanish without a minimum, go on downhill; the report of the last relaxation."""
        for attempt in range(3):
            rng = np.random.default_rng([self.s.seed, number, attempt])
            curvature, direction = lowest_curvature(atoms, rng.normal(size=(len(atoms), 3)))
            if curvature > _SADDLE:
                break
            atoms.positions += _PUSH * direction
            report = self._relax(atoms)
            if not report.converged:
                break
        return report

    def _start_moving(self, atoms: Atoms, temperature: float, number: int) -> None:
        """Velocities of a temperature, turned towards flat directions of the surface."""
        masses = atoms.get_masses()[:, None]
        rng = np.random.default_rng([self.s.seed, number])
        velocity = without_net_motion(atoms, rng.normal(size=(len(atoms), 3)) / np.sqrt(masses))
        # the energy scatters, so that one flat direction is not tried at one height only
        kinetic = units.kB * temperature * max(1, 3 * len(atoms) - 6) * rng.chisquare(20) / 20
        velocity = without_net_motion(atoms, softened(atoms, velocity, self.s.softening))
        atoms.set_velocities(velocity * np.sqrt(kinetic / (masses * velocity**2).sum()))

    def _climb(self, atoms: Atoms, interrupt: Interrupt) -> int:
        """Newton's dynamics until the potential energy has passed enough minima; the number of steps."""
        dynamics = VelocityVerlet(atoms, self.s.timestep * units.fs)
        before, falling, passed = atoms.get_potential_energy(), False, 0
        for step in range(1, self.s.md_steps + 1):
            dynamics.step()
            energy = atoms.get_potential_energy()
            if not np.isfinite(energy):
                raise ValueError(f"the energy is not finite after {step} steps")
            passed += falling and energy > before
            if passed >= self.s.passes or interrupt.requested:
                break
            before, falling = energy, energy < before
        return step

    def _broken(self, atoms: Atoms) -> str:
        """What is wrong with a minimum as a form of this molecule or cluster; empty if nothing is."""
        if self.keep == "bonds":
            now = bonded_pairs(atoms, scale=BOND_SCALE).pairs()
            changed = now ^ self.bonds
            if changed:
                i, j = min(changed)
                verb = "formed" if (i, j) in now else "broke"
                return f"{len(changed)} bonds changed, such as {atoms.symbols[i]}{i}-{atoms.symbols[j]}{j} that {verb}"
        if self.keep == "fragments" and fragments(atoms, scale=_LOOSE) > self.parts:
            return "it came apart"
        return ""

    def _recognised(self, state: HopState, atoms: Atoms, energy: float) -> tuple[str, int]:
        """("same" | "known" | "new", number of the minimum)."""
        mine, current = fingerprint(atoms), state.visits[-1].current
        best, number = self.s.distance_tolerance, -1
        for k, minimum in enumerate(state.minima):
            if abs(minimum.energy - energy) > self.s.energy_tolerance:
                continue
            difference = mine.difference(minimum.print)
            if difference > best or (self.s.mirror == "distinct" and mine.is_mirror_image(minimum.print)):
                continue
            best, number = difference, k
        if number < 0:
            return "new", len(state.minima)
        return ("same" if number == current else "known"), number

    def _judged(self, state, outcome, minimum, energy, md_steps, report, note, seconds) -> Visit:
        """Acceptance and feedback."""
        s, last = self.s, state.visits[-1]
        temperature, window = last.next_temperature, last.next_energy_window
        # an escape that broke the molecule was too hot
        beta = {"same": s.beta_same, "known": s.beta_known, "new": s.beta_new}.get(outcome, s.beta_new)
        accepted, next_window = False, window
        if outcome in ("known", "new"):
            accepted = energy - state.minima[last.current].energy < window
            next_window = window * (s.alpha_accept if accepted else s.alpha_reject)
        return Visit(
            number=last.number + 1,
            outcome=outcome,
            minimum=minimum,
            energy=float(energy),
            accepted=accepted,
            temperature=temperature,
            energy_window=window,
            md_steps=md_steps,
            relax_steps=report.steps if report else 0,
            current=minimum if accepted else last.current,
            next_temperature=float(np.clip(temperature * beta, s.lowest_temperature, s.highest_temperature)),
            next_energy_window=next_window,
            seconds=seconds,
            note=note,
        )


def _rule(atoms: Atoms) -> str:
    if atoms.pbc.any():
        return "all"
    molecule = set(atoms.numbers.tolist()) <= _NONMETALS and len(bonded_pairs(atoms))
    return "bonds" if molecule else "fragments"
