"""Relaxation: move atoms, and the cell if wanted, downhill until the forces vanish."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS, FIRE, LBFGS

from pyff._interrupt import Interrupt
from pyff.md.trajectory import TrajectoryWriter

__all__ = ["RelaxReport", "quasi_newton", "relax"]

_OPTIMIZERS = {"bfgs": BFGS, "lbfgs": LBFGS, "fire": FIRE}


@dataclass(frozen=True)
class RelaxReport:
    """What a relaxation did: energies in eV, largest remaining force in eV/A; stopped says why it ended early."""

    converged: bool
    steps: int
    energy_start: float
    energy: float
    fmax: float
    seconds: float
    stopped: str = ""
    interrupted: bool = False


def relax(
    atoms: Atoms,
    *,
    fmax: float = 0.01,
    steps: int = 500,
    cell: bool = False,
    optimizer: Literal["bfgs", "lbfgs", "fire"] = "bfgs",
    trajectory: TrajectoryWriter | None = None,
    on_step: Callable[[int, float, float], None] | None = None,
) -> RelaxReport:
    """Relax `atoms` in place until no force exceeds `fmax` eV/A.

    Args:
        cell: relax the cell vectors too (needs a periodic structure); the stress counts as a force.
        optimizer: "bfgs" (few steps), "lbfgs" (the same for hundreds of atoms) or "fire" (slower, robust far from a
            minimum).
        on_step: called with step, energy (eV), largest force (eV/A).

    Raises:
        ValueError: a setting out of range, or cell=True for an open structure.
    """
    if optimizer not in _OPTIMIZERS:
        raise ValueError(f"optimizer must be bfgs, lbfgs or fire; received {optimizer!r}")
    if not fmax > 0 or steps < 0:
        raise ValueError(f"fmax must be positive and steps not negative; received {fmax} and {steps}")
    if cell and not atoms.pbc.any():
        raise ValueError("cell relaxation needs a periodic structure; this one is open")
    target = FrechetCellFilter(atoms, mask=_strain_mask(atoms)) if cell else atoms
    search, started = _OPTIMIZERS[optimizer](target, logfile=None), time.perf_counter()
    energy_start, stopped, largest = atoms.get_potential_energy(), "", np.inf
    with Interrupt() as interrupt:
        for step in range(steps + 1):
            try:
                largest = float(np.linalg.norm(target.get_forces(), axis=1).max())
                if trajectory:
                    trajectory.write(atoms, step=step)
                if on_step:
                    on_step(step, atoms.get_potential_energy(), largest)
                if largest <= fmax or step == steps or interrupt.requested:
                    break
                search.step()
            except (ValueError, RuntimeError) as error:
                stopped = f"the calculation failed: {error}"
                break
    if not stopped and largest > fmax:
        stopped = "interrupted" if interrupt.requested else f"not converged after {step} steps"
    return RelaxReport(
        converged=not stopped,
        steps=step,
        energy_start=energy_start,
        energy=float("nan") if stopped.startswith("the calculation") else atoms.get_potential_energy(),
        fmax=largest,
        seconds=time.perf_counter() - started,
        stopped=stopped,
        interrupted=bool(interrupt.requested),
    )


def quasi_newton(atoms: Atoms) -> Literal["bfgs", "lbfgs"]:
    """BFGS, which is safe where the curvature is negative; beyond 200 atoms its matrix costs more than the forces."""
    return "bfgs" if len(atoms) <= 200 else "lbfgs"


def _strain_mask(atoms: Atoms) -> np.ndarray:
    """Strain only between periodic axes: the vacuum of a slab has no length to relax."""
    return np.outer(atoms.pbc, atoms.pbc).astype(float)
