"""Models: physics over the ops. Every model is a Potential: `needs`, and `forward(batch, want) -> Output`."""

from __future__ import annotations

from pyff.models.base import DirectModel, EnergyModel
from pyff.models.coulomb_krr import CoulombKRR, CoulombKRRConfig
from pyff.models.gdml import GDML, GDMLConfig
from pyff.models.registry import ARCHITECTURES, register
from pyff.models.schnet import SchNet, SchNetConfig
from pyff.models.so3krates import SO3krates, SO3kratesConfig

__all__ = [
    "ARCHITECTURES", "GDML", "CoulombKRR", "CoulombKRRConfig", "DirectModel", "EnergyModel", "GDMLConfig", "SO3krates",
    "SO3kratesConfig", "SchNet", "SchNetConfig", "register",
]  # fmt: skip
