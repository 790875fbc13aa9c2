"""From one structure to the graph a model reads, step after step of a simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyff.batch import GraphBatch, Needs, System
from pyff.data.collate import collate

if TYPE_CHECKING:
    import torch

__all__ = ["GraphBuilder"]


class GraphBuilder:
    """Builds the GraphBatch of a single structure on a device; keeps nothing that a result could depend on."""

    def __init__(self, needs: Needs, device: torch.device, skin: float) -> None:
        self.needs, self.device, self.skin = needs, device, skin

    def __call__(self, system: System) -> GraphBatch:
        return collate([system], self.needs, self.device)

    def fresh(self) -> GraphBuilder:
        """A builder with the same settings and no history."""
        return GraphBuilder(self.needs, self.device, self.skin)
