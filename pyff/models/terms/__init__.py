"""Pair physics as parts of a model: modules that return the energy of each atom, in eV, float64.

Each energy already holds the factor 1/2 of the sum over directed pairs.
"""

from __future__ import annotations

from pyff.models.terms.dispersion import Dispersion
from pyff.models.terms.electrostatics import Electrostatics
from pyff.models.terms.ewald import EwaldElectrostatics
from pyff.models.terms.zbl import ZBL

__all__ = ["ZBL", "Dispersion", "Electrostatics", "EwaldElectrostatics"]
