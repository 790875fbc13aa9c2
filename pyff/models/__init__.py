"""Models: physics over the ops. Every model is a Potential: `needs`, and `forward(batch, want) -> Output`."""

from __future__ import annotations

from pyff.models.base import EnergyModel
from pyff.models.registry import ARCHITECTURES, register
from pyff.models.schnet import SchNet, SchNetConfig

__all__ = ["ARCHITECTURES", "EnergyModel", "SchNet", "SchNetConfig", "register"]
