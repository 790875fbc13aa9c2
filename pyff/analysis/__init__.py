"""What simulations and models say: vibrations and diffusion from trajectories, attention per atom.

Free energies over two angles are in `pyff.analysis.free_energy`, energies along a path in `pyff.analysis.scan`.
"""

from __future__ import annotations

from pyff.analysis.attention import (
    AtomAttention,
    DistanceAttention,
    PairAttention,
    attention_by_distance,
    attention_by_elements,
    attention_panels,
    attention_per_atom,
)
from pyff.analysis.attention_read import ModelAttention, read_attention
from pyff.analysis.diffusion import (
    Arrhenius,
    Diffusion,
    arrhenius,
    arrhenius_panel,
    diffusion,
    mean_square_displacement,
    msd_panel,
)
from pyff.analysis.motion import Motion, read_motion, vibrational_velocities
from pyff.analysis.spectrum import Peak, Spectrum, average_spectra, power_spectrum, spectrum_panel

__all__ = [
    "Arrhenius",
    "AtomAttention",
    "Diffusion",
    "DistanceAttention",
    "ModelAttention",
    "Motion",
    "PairAttention",
    "Peak",
    "Spectrum",
    "arrhenius",
    "arrhenius_panel",
    "attention_by_distance",
    "attention_by_elements",
    "attention_panels",
    "attention_per_atom",
    "average_spectra",
    "diffusion",
    "mean_square_displacement",
    "msd_panel",
    "power_spectrum",
    "read_attention",
    "read_motion",
    "spectrum_panel",
    "vibrational_velocities",
]
