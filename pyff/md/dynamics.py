"""Newton's and Langevin's dynamics at constant volume, on ASE's integrators."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.verlet import VelocityVerlet

from pyff._atomic import atomic_write
from pyff._interrupt import Interrupt
from pyff.md.drift import EnergyDrift, energy_drift
from pyff.md.trajectory import TrajectoryWriter

__all__ = ["COLUMNS", "MDReport", "MDSettings", "run_md", "start_velocities", "without_net_motion"]

COLUMNS = ("step", "time_fs", "potential_eV", "kinetic_eV", "total_eV", "temperature_K")
Row = tuple[int, float, float, float, float, float]


@dataclass(frozen=True)
class MDSettings:
    """How to integrate.

    ensemble: "nve" (velocity Verlet, constant energy) or "langevin" (constant temperature); temperature in K;
    timestep in fs; friction in 1/ps; interval, log_interval: steps between frames and between log lines;
    max_temperature in K: beyond it the run stops, because the structure has blown up.
    """

    steps: int
    ensemble: Literal["nve", "langevin"] = "langevin"
    temperature: float = 300.0
    timestep: float = 0.5
    friction: float = 10.0
    interval: int = 20
    log_interval: int = 10
    seed: int = 0
    max_temperature: float = 10_000.0

    def __post_init__(self) -> None:
        if self.ensemble not in ("nve", "langevin"):
            raise ValueError(f"ensemble must be nve or langevin; received {self.ensemble!r}")
        for name in ("timestep", "friction", "interval", "log_interval", "max_temperature"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive; received {getattr(self, name)}")
        if self.steps < 0 or not self.temperature >= 0:
            raise ValueError(f"steps and temperature must not be negative; received {self.steps}, {self.temperature}")


@dataclass(frozen=True)
class MDReport:
    """What a run did. stopped is empty for a complete run, else the reason; rows are the log (see COLUMNS)."""

    steps: int
    n_atoms: int
    seconds: float
    stopped: str = ""
    interrupted: bool = False
    rows: list[Row] = field(default_factory=list, repr=False)

    def column(self, name: str) -> np.ndarray:
        return np.array([row[COLUMNS.index(name)] for row in self.rows])

    @property
    def drift(self) -> EnergyDrift | None:
        """Drift of the total energy; None for fewer than three log lines."""
        if len(self.rows) < 3:
            return None
        time, total, kinetic = (self.column(name) for name in ("time_fs", "total_eV", "kinetic_eV"))
        return energy_drift(time, total, n_atoms=self.n_atoms, kinetic=kinetic)


def start_velocities(atoms: Atoms, temperature: float, seed: int = 0) -> None:
    """Draw velocities for a temperature in K, without net motion, and without net rotation of an open structure."""
    masses = atoms.get_masses()[:, None]
    noise = np.random.default_rng(seed).normal(size=(len(atoms), 3))
    velocities = without_net_motion(atoms, noise * np.sqrt(units.kB * temperature / masses))
    atoms.set_momenta(masses * velocities)


def without_net_motion(atoms: Atoms, velocities: np.ndarray) -> np.ndarray:
    """Velocities [N, 3] less the motion of the centre of mass, and less the rotation of an open structure."""
    if len(atoms) < 2:
        return velocities
    masses = atoms.get_masses()[:, None]
    velocities = velocities - (masses * velocities).sum(0) / masses.sum()
    if atoms.pbc.any():
        return velocities
    r = atoms.positions - atoms.get_center_of_mass()
    inertia = (masses[:, 0] * (r**2).sum(1)).sum() * np.eye(3) - (masses * r).T @ r
    # a pseudo-inverse, because nothing turns about the axis of a linear molecule
    angular = np.linalg.pinv(inertia, rcond=1e-10) @ np.cross(r, masses * velocities).sum(0)
    return velocities - np.cross(angular, r)


def run_md(
    atoms: Atoms,
    settings: MDSettings,
    *,
    trajectory: TrajectoryWriter | None = None,
    log: str | os.PathLike | None = None,
    first_step: int = 0,
    on_log: Callable[[Row], None] | None = None,
    check: Callable[[Atoms], str] | None = None,
) -> MDReport:
    """Integrate `settings.steps` steps from the positions and velocities of `atoms`, which move along.

    Frames and log lines are on disk as soon as they are written. The first Ctrl-C (or SIGTERM) ends the run after the
    current step, with a last frame to restart from. A calculation that fails, an energy that is not finite or a
    temperature beyond `max_temperature` ends it too; the frame in question is not written.

    Args:
        first_step: number of the starting step; above 0 the log is continued and the start is not written again.
        on_log: called with every log line.
        check: called after every step; a sentence it returns ends the run and becomes `stopped`.
    """
    state = _Run(atoms, settings, trajectory, log, first_step, on_log, check)
    dynamics, started = _integrator(atoms, settings, first_step), time.perf_counter()
    with Interrupt() as interrupt, state:
        step, stopped = first_step, state.begin()
        while not stopped and step < first_step + settings.steps:
            stopped = _advance(dynamics)
            step += not stopped
            stopped = stopped or state.after(step)
            if interrupt.requested and not stopped:
                state.keep(step)
                stopped = f"interrupted after step {step}"
    return MDReport(
        steps=step - first_step,
        n_atoms=len(atoms),
        seconds=time.perf_counter() - started,
        stopped=stopped,
        interrupted=bool(interrupt.requested),
        rows=state.rows,
    )


def _integrator(atoms: Atoms, settings: MDSettings, first_step: int):
    timestep = settings.timestep * units.fs
    if settings.ensemble == "nve":
        return VelocityVerlet(atoms, timestep)
    # a restarted run must not repeat the noise of its first part
    rng = np.random.default_rng([settings.seed, first_step, 1])
    friction = settings.friction / (1000 * units.fs)
    return Langevin(atoms, timestep, temperature_K=settings.temperature, friction=friction, fixcm=False, rng=rng)


def _advance(dynamics) -> str:
    """One step; a sentence if the calculator refused the structure."""
    try:
        dynamics.step()
    except (ValueError, RuntimeError) as error:
        return f"the calculation failed: {error}"
    return ""


class _Run:
    """The files of a run and the checks after each step."""

    def __init__(self, atoms, settings, trajectory, log, first_step, on_log, check) -> None:
        self.atoms, self.settings, self.trajectory = atoms, settings, trajectory
        self.first_step, self.on_log, self.log_path = first_step, on_log, Path(log) if log else None
        self.check = check or (lambda atoms: "")
        self.rows: list[Row] = []
        self.written = first_step if first_step else -1
        # Newton's dynamics keeps the net momentum, which is no heat
        conserved = 3 if settings.ensemble == "nve" and len(atoms) > 1 and not atoms.constraints else 0
        self.freedom = max(1, atoms.get_number_of_degrees_of_freedom() - conserved)

    def __enter__(self) -> _Run:
        self.log = None
        if self.log_path:
            atomic_write(self.log_path, _kept_lines(self.log_path, self.first_step))
            self.log = open(self.log_path, "a", newline="")
            self.csv = csv.writer(self.log, lineterminator="\n")
        return self

    def __exit__(self, *_exc) -> None:
        if self.log:
            self.log.close()

    def begin(self) -> str:
        try:
            self.atoms.get_forces()
        except (ValueError, RuntimeError) as error:
            return f"the calculation failed: {error}"
        return "" if self.first_step else self.after(0)

    def after(self, step: int) -> str:
        """Log, write and check one step; a sentence if the run should stop."""
        row = self._row(step)
        if not np.isfinite(row).all():
            return f"the energy is not finite at step {step}"
        limit = max(self.settings.max_temperature, 10 * self.settings.temperature)
        if row[-1] > limit:
            return (
                f"the temperature reached {row[-1]:.0f} K at step {step} (limit {limit:.0f} K): the structure has "
                "blown up. Try a shorter time step, or train on structures like the last frame"
            )
        if problem := self.check(self.atoms):
            return f"{problem} at step {step}"
        last = step == self.first_step + self.settings.steps
        if step % self.settings.log_interval == 0 or last:
            self._log(row)
        if step % self.settings.interval == 0 or last:
            self.keep(step)
        return ""

    def keep(self, step: int) -> None:
        """Write the frame unless it has been written already."""
        if self.trajectory and step > self.written:
            s = self.settings
            time_fs = step * s.timestep
            self.trajectory.write(self.atoms, step=step, time_fs=time_fs, timestep_fs=s.timestep, ensemble=s.ensemble)
            self.written = step

    def _row(self, step: int) -> Row:
        potential, kinetic = self.atoms.get_potential_energy(), self.atoms.get_kinetic_energy()
        temperature = 2 * kinetic / (self.freedom * units.kB)
        return (step, step * self.settings.timestep, potential, kinetic, potential + kinetic, temperature)

    def _log(self, row: Row) -> None:
        self.rows.append(row)
        if self.log:
            self.csv.writerow([row[0], *(repr(float(x)) for x in row[1:])])
            self.log.flush()
        if self.on_log:
            self.on_log(row)


def _kept_lines(path: Path, first_step: int) -> str:
    """The head of the log, and its lines up to the step a run is continued from."""
    head = ",".join(COLUMNS) + "\n"
    if not first_step or not path.exists():
        return head
    fields = ((line, line.split(",")) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n"))
    kept = (line for line, row in fields if len(row) == len(COLUMNS) and row[0].isdigit() and int(row[0]) <= first_step)
    return head + "".join(kept)
