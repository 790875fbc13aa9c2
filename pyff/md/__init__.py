"""Molecular dynamics and relaxation with any ASE calculator, written to files as it goes, safe to stop and restart."""

from __future__ import annotations

from pyff.md.bonds import BOND_SCALE, Bonds, bonded_pairs, fragments
from pyff.md.drift import EnergyDrift, energy_drift
from pyff.md.dynamics import MDReport, MDSettings, run_md, start_velocities, without_net_motion
from pyff.md.relax import RelaxReport, quasi_newton, relax
from pyff.md.stability import (
    StabilityRun,
    StabilitySettings,
    StabilitySummary,
    measure_stability,
    stability_panel,
    summarize_stability,
)
from pyff.md.structures import read_structure
from pyff.md.trajectory import TrajectoryWriter, last_frame, repair, write_frames, write_structure

__all__ = [
    "BOND_SCALE",
    "Bonds",
    "EnergyDrift",
    "MDReport",
    "MDSettings",
    "RelaxReport",
    "StabilityRun",
    "StabilitySettings",
    "StabilitySummary",
    "TrajectoryWriter",
    "bonded_pairs",
    "energy_drift",
    "fragments",
    "last_frame",
    "measure_stability",
    "quasi_newton",
    "read_structure",
    "relax",
    "repair",
    "run_md",
    "stability_panel",
    "start_velocities",
    "summarize_stability",
    "without_net_motion",
    "write_frames",
    "write_structure",
]
