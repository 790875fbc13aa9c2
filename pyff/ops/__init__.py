"""Ops: tensors in, tensors out, differentiable to second order; each has a plain-torch twin in pyff.ops.reference."""

from __future__ import annotations

from pyff.ops.bias_activation import bias_activation
from pyff.ops.cfconv import FilterShape, cfconv, cfconv_table
from pyff.ops.edge_geometry import edge_geometry
from pyff.ops.radial import Cutoff, GaussianBasis, cutoff_function, gaussian_basis

__all__ = [
    "Cutoff", "FilterShape", "GaussianBasis", "bias_activation", "cfconv", "cfconv_table", "cutoff_function",
    "edge_geometry", "gaussian_basis",
]  # fmt: skip
