"""`pyff md`: molecular dynamics with a model file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ase import Atoms

from pyff.cli import INTERRUPTED
from pyff.cli.console import Console
from pyff.cli.output import XYZ, require_output
from pyff.cli.start import Start, described
from pyff.cli.threads import threads_for
from pyff.data.from_ase import total_charge, unpaired_electrons
from pyff.errors import PyffError
from pyff.md import (
    MDReport,
    MDSettings,
    TrajectoryWriter,
    last_frame,
    repair,
    run_md,
    start_velocities,
)
from pyff.models.identity import model_identity, require_same_model

__all__ = ["MDOptions", "run_md_command"]


@dataclass(frozen=True)
class MDOptions:
    """Options of the command; time and equilibrate in ps, timestep in fs."""

    time: float
    ensemble: str
    temperature: float
    timestep: float
    friction: float
    equilibrate: float
    out: Path
    every: int
    seed: int
    resume: bool
    overwrite: bool

    @property
    def log(self) -> Path:
        return self.out.with_suffix(".csv")

    def settings(self, picoseconds: float) -> MDSettings:
        if not self.timestep > 0:
            raise PyffError(f"--timestep must be positive; received {self.timestep}")
        return MDSettings(
            steps=round(1000 * picoseconds / self.timestep),
            ensemble=self.ensemble,
            temperature=self.temperature,
            timestep=self.timestep,
            friction=self.friction,
            interval=self.every,
            seed=self.seed,
        )


def run_md_command(console: Console, model: Path, start: Start, options: MDOptions) -> int:
    """Run, with files; the exit code."""
    require_output(
        options.out, XYZ, beside=(options.log,), overwrite=options.overwrite or options.resume,
        ways="--resume to continue it, --overwrite,",
    )  # fmt: skip
    production = options.settings(options.time)
    begin = start.atoms()
    calculator = start.calculator(console, model, begin)
    identity = model_identity(model, calculator.model)
    atoms, first_step = _starting_point(console, begin, identity, options)
    production = replace(production, steps=max(0, production.steps - first_step))
    atoms.calc = calculator
    atoms.info.update(identity)  # every frame says which model made it
    with threads_for(len(atoms)):
        return _run(console, atoms, production, options, first_step)


def _run(console: Console, atoms: Atoms, production: MDSettings, options: MDOptions, first_step: int) -> int:
    calc, log = atoms.calc, options.log
    console.say(
        f"{described(atoms)}, {calc.model_name} in {calc.dtype} on {calc.device}: "
        f"{options.ensemble}, {production.steps} steps of {options.timestep} fs"
    )
    if options.equilibrate and not options.resume:
        for old in (options.out, log):  # with --overwrite; an interruption must not leave them to be continued
            old.unlink(missing_ok=True)
        report = equilibrate(console, atoms, options)
        if report.stopped:
            return _ended(console, report, options, log)
    with TrajectoryWriter(options.out, append=first_step > 0) as trajectory:
        report = simulate(console, atoms, production, trajectory, log, first_step)
    if not options.out.stat().st_size:  # failed at the first frame: the next try needs no --overwrite
        options.out.unlink()
        log.unlink(missing_ok=True)
    _summary(console, report, options)
    return _ended(console, report, options, log)


def _starting_point(
    console: Console, begin: Atoms, identity: Mapping[str, Any], options: MDOptions
) -> tuple[Atoms, int]:
    """Atoms with velocities, and the number of the step they are at. begin: the starting structure."""
    if options.resume:
        if not options.out.is_file() or not repair(options.out):
            raise PyffError(f"--resume needs the frames of the earlier run in {options.out}; there are none")
        atoms = last_frame(options.out)
        step = int(atoms.info.get("step", -1))
        if step < 0 or not atoms.has("momenta"):
            raise PyffError(f"{options.out} was not written by pyff md: its last frame has no step or no velocities")
        _require_same_run(atoms, begin, options)
        require_same_model(atoms.info, identity, options.out)
        console.say(f"continuing {options.out} after step {step}")
        return atoms, step
    if not begin.has("momenta"):
        start_velocities(begin, options.temperature, options.seed)
    return begin, 0


def _require_same_run(atoms: Atoms, begin: Atoms, options: MDOptions) -> None:
    """Give the frame to go on from the constraints of the starting structure, which trajectories do not keep.

    Raises PyffError if it is not a frame of that structure, or if charge, spin or time step are others.
    """
    if list(atoms.numbers) != list(begin.numbers):
        raise PyffError(
            f"--resume needs the starting structure of the earlier run, {atoms.get_chemical_formula()} in the order of "
            f"{options.out}; received {begin.get_chemical_formula()}"
        )
    for name, read in (("charge", total_charge), ("spin", unpaired_electrons)):
        was, now = read(atoms), read(begin)
        if abs(was - now) > 1e-4:
            raise PyffError(f"--{name} must stay {was:g} to continue {options.out}; received {now:g}")
    before = atoms.info.get("timestep_fs", options.timestep)
    if abs(before - options.timestep) > 1e-9 * before:
        raise PyffError(
            f"--timestep must stay {before:g} fs to continue {options.out}; received {options.timestep:g} fs. Start "
            "from its last frame with another --out"
        )
    atoms.set_constraint(begin.constraints)


def equilibrate(console: Console, atoms: Atoms, options: MDOptions) -> MDReport:
    """Langevin dynamics that is not written."""
    console.say(f"equilibrating for {options.equilibrate} ps at {options.temperature:g} K")
    settings = replace(options.settings(options.equilibrate), ensemble="langevin", seed=options.seed + 1)
    return simulate(console, atoms, settings, None, None)


def simulate(
    console: Console,
    atoms: Atoms,
    settings: MDSettings,
    trajectory: TrajectoryWriter | None = None,
    log: Path | None = None,
    first_step: int = 0,
) -> MDReport:
    """run_md with a progress bar."""
    with console.progress(first_step + settings.steps) as show:

        def on_log(row) -> None:
            step, time, potential, _, total, temperature = row
            show(
                step, f"{time / 1000:.3f} ps  {temperature:4.0f} K  potential {potential:.4f} eV  total {total:.4f} eV"
            )

        return run_md(atoms, settings, trajectory=trajectory, log=log, first_step=first_step, on_log=on_log)


def _summary(console: Console, report: MDReport, options: MDOptions) -> None:
    if not report.rows:
        return
    speed = report.steps / report.seconds if report.seconds > 0 else float("nan")
    rows = [
        ("simulated", f"{report.steps * options.timestep / 1000:g} ps in {report.seconds:.1f} s, {speed:.0f} steps/s"),
        ("temperature", f"{report.column('temperature_K').mean():.0f} K on average"),
    ]
    if options.ensemble == "nve" and report.drift:
        rows.append(("energy drift", f"{report.drift.slope:+.4f} meV/atom/ps"))
        rows.append(("energy noise", f"{100 * report.drift.relative:.2f} % of the kinetic energy's"))
    console.facts(rows)


def _ended(console: Console, report: MDReport, options: MDOptions, log: Path) -> int:
    drift, written = report.drift, options.out.is_file()
    console.result(
        trajectory=options.out if written else None,
        log=log if written else None,
        steps=report.steps,
        seconds=report.seconds,
        stopped=report.stopped or None,
        temperature_K=float(report.column("temperature_K").mean()) if report.rows else None,
        drift_meV_per_atom_per_ps=drift.slope if drift and options.ensemble == "nve" else None,
    )
    if report.interrupted:
        again = "the same command with --resume goes on" if written else "nothing was written yet, start again"
        console.warn(f"{report.stopped}; {again}")
        return INTERRUPTED
    if report.stopped:
        raise PyffError(f"stopped after {report.steps} steps: {report.stopped}")
    console.say(f"trajectory in {options.out}, log in {log}")
    return 0
