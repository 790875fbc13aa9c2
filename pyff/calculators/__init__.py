"""Calculators: a trained model as an ASE calculator."""

from __future__ import annotations

from pyff.calculators.calculator import Calculator

__all__ = ["Calculator"]
