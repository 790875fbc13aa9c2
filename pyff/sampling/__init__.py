"""Exploring energy surfaces: minima hopping here, Langevin dynamics of beads in `pyff.sampling.langevin`."""

from __future__ import annotations

from pyff.sampling.fingerprint import Fingerprint, fingerprint
from pyff.sampling.minima_hopping import HopSettings, HopState, Minimum, Visit, hop_minima
from pyff.sampling.minima_log import MinimaLog
from pyff.sampling.minima_plot import discovery_panel, visit_panel

__all__ = [
    "Fingerprint",
    "HopSettings",
    "HopState",
    "MinimaLog",
    "Minimum",
    "Visit",
    "discovery_panel",
    "fingerprint",
    "hop_minima",
    "visit_panel",
]
