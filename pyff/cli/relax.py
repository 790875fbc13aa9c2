"""`pyff relax`: relaxation with a model file."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from pyff.cli import INTERRUPTED
from pyff.cli.console import Console
from pyff.cli.output import XYZ, require_output
from pyff.cli.start import Start, described, warn_of_moving_cell
from pyff.cli.threads import threads_for
from pyff.errors import PyffError
from pyff.md import TrajectoryWriter, relax, write_structure

__all__ = ["RelaxOptions", "run_relax"]


@dataclass(frozen=True)
class RelaxOptions:
    """Options of the command; fmax in eV/A."""

    fmax: float
    cell: bool
    optimizer: str
    steps: int
    out: Path
    trajectory: Path | None
    overwrite: bool


def run_relax(console: Console, model: Path, start: Start, options: RelaxOptions) -> int:
    """Relax and write; the exit code, 1 where the forces did not become small enough."""
    require_output(options.out, XYZ, overwrite=options.overwrite)
    if options.trajectory:
        require_output(options.trajectory, XYZ, option="--trajectory", overwrite=options.overwrite)
    atoms = start.atoms()
    atoms.calc = calc = start.calculator(console, model, atoms)
    if options.cell:
        warn_of_moving_cell(console, calc.model)
    console.say(f"{described(atoms)}, {calc.model_name} in {calc.dtype} on {start.device}")
    with contextlib.ExitStack() as stack:
        stack.enter_context(threads_for(len(atoms)))
        trajectory = stack.enter_context(TrajectoryWriter(options.trajectory)) if options.trajectory else None
        show = stack.enter_context(console.progress(options.steps))
        report = relax(
            atoms,
            fmax=options.fmax,
            steps=options.steps,
            cell=options.cell,
            optimizer=options.optimizer,
            trajectory=trajectory,
            on_step=lambda step, energy, force: show(step, f"{energy:.6f} eV  largest force {force:.4f} eV/A"),
        )
    written = not report.stopped.startswith("the calculation")
    if written:
        write_structure(options.out, atoms)
    console.result(structure=options.out, **vars(report))
    if report.interrupted:
        console.warn(f"interrupted after {report.steps} steps; the structure so far is in {options.out}")
        return INTERRUPTED
    if not report.converged:
        rest = f". Give more --steps, or go on from the structure in {options.out}" if written else ""
        raise PyffError(f"{report.stopped}: the largest force is {report.fmax:.4f} eV/A, wanted {options.fmax}{rest}")
    console.say(
        f"relaxed in {report.steps} steps: {report.energy_start:.6f} -> {report.energy:.6f} eV, largest force "
        f"{report.fmax:.4f} eV/A; structure in {options.out}"
    )
    return 0
