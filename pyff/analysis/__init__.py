"""What simulations and models say: vibrations from trajectories, attention per atom."""

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
from pyff.analysis.motion import Motion, read_motion, vibrational_velocities
from pyff.analysis.spectrum import Peak, Spectrum, average_spectra, power_spectrum, spectrum_panel

__all__ = [
    "AtomAttention",
    "DistanceAttention",
    "ModelAttention",
    "Motion",
    "PairAttention",
    "Peak",
    "Spectrum",
    "attention_by_distance",
    "attention_by_elements",
    "attention_panels",
    "attention_per_atom",
    "average_spectra",
    "power_spectrum",
    "read_attention",
    "read_motion",
    "spectrum_panel",
    "vibrational_velocities",
]
