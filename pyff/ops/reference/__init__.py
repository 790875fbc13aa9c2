"""Plain-torch twins of the ops: the same signatures, the obvious expressions, any number of derivatives.

They are what the kernels are tested against, and what to read to understand an op.
"""

from __future__ import annotations

from pyff.ops.reference.atom_matching import match_atoms
from pyff.ops.reference.cfconv import cfconv, cfconv_flat, cfconv_table, filter_nodes, filter_nodes_flat
from pyff.ops.reference.derivatives import double_backward
from pyff.ops.reference.distance_matrix import distance_matrix, kernel_matrix
from pyff.ops.reference.equivariant_attention import equivariant_attention, equivariant_attention_flat
from pyff.ops.reference.ewald import ewald_energy
from pyff.ops.reference.gdml import (
    gdml_columns,
    gdml_matrix,
    gdml_product,
    inverse_distances,
    jacobian_product,
    jacobian_transpose_product,
)
from pyff.ops.reference.geometry import edge_geometry
from pyff.ops.reference.harmonics import spherical_harmonics
from pyff.ops.reference.mesh import mesh_gather, mesh_spread
from pyff.ops.reference.neighbor_list import neighbor_list
from pyff.ops.reference.pair_energy import coulomb_energy, dispersion_energy, zbl_energy
from pyff.ops.reference.pointwise import bias_activation, cutoff_function, radial_basis

__all__ = [
    "bias_activation",
    "cfconv",
    "cfconv_flat",
    "cfconv_table",
    "coulomb_energy",
    "cutoff_function",
    "dispersion_energy",
    "distance_matrix",
    "double_backward",
    "edge_geometry",
    "equivariant_attention",
    "equivariant_attention_flat",
    "ewald_energy",
    "filter_nodes",
    "filter_nodes_flat",
    "gdml_columns",
    "gdml_matrix",
    "gdml_product",
    "inverse_distances",
    "jacobian_product",
    "jacobian_transpose_product",
    "kernel_matrix",
    "match_atoms",
    "mesh_gather",
    "mesh_spread",
    "neighbor_list",
    "radial_basis",
    "spherical_harmonics",
    "zbl_energy",
]
