"""Molecular dynamics and relaxation with any ASE calculator, written to files as it goes, safe to stop and restart."""

from __future__ import annotations

from pyff.md.drift import EnergyDrift, energy_drift
from pyff.md.dynamics import MDReport, MDSettings, run_md, start_velocities
from pyff.md.relax import RelaxReport, relax
from pyff.md.structures import read_structure
from pyff.md.trajectory import TrajectoryWriter, last_frame, repair, write_structure

__all__ = [
    "EnergyDrift",
    "MDReport",
    "MDSettings",
    "RelaxReport",
    "TrajectoryWriter",
    "energy_drift",
    "last_frame",
    "read_structure",
    "relax",
    "repair",
    "run_md",
    "start_velocities",
    "write_structure",
]
