"""Kernel force fields of the GDML family."""

from __future__ import annotations

from pyff.models.gdml.model import GDML, CompositionError, GDMLConfig, composition_difference

__all__ = ["GDML", "CompositionError", "GDMLConfig", "composition_difference"]
