"""Training of GDML models: one linear system, whose only hyper-parameters are a length scale and a ridge."""

from __future__ import annotations

from pyff.train.gdml.sampling import stratified_sample

__all__ = ["stratified_sample"]
