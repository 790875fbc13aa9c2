"""Ops: tensors in, tensors out, differentiable to second order; each has a plain-torch twin in pyff.ops.reference."""

from __future__ import annotations

from pyff.ops.atom_matching import match_atoms
from pyff.ops.bias_activation import bias_activation
from pyff.ops.cfconv import FilterShape, cfconv, cfconv_table, filter_nodes
from pyff.ops.distance_matrix import distance_matrix, kernel_matrix
from pyff.ops.edge_geometry import edge_geometry, strained
from pyff.ops.equivariant_attention import AttentionShape, equivariant_attention
from pyff.ops.ewald import EwaldSplit, ewald_energy, ewald_split
from pyff.ops.gdml import (
    GdmlKernel,
    descriptor_permutations,
    gdml_product,
    inverse_distances,
    jacobian_product,
    jacobian_transpose_product,
)
from pyff.ops.gdml_expansion import GdmlCovariance, GdmlExpansion
from pyff.ops.gdml_matrix import gdml_columns, gdml_diagonal, gdml_gram, gdml_matrix
from pyff.ops.mesh import mesh_gather, mesh_spread
from pyff.ops.neighbor_list import NeighborList, neighbor_list
from pyff.ops.pair_energy import coulomb_energy, dispersion_energy, zbl_energy
from pyff.ops.radial import (
    BernsteinBasis,
    BesselBasis,
    Cutoff,
    ExpGaussianBasis,
    GaussianBasis,
    RadialBasis,
    cutoff_function,
    radial_basis,
)
from pyff.ops.spherical_harmonics import spherical_harmonics
from pyff.ops.verlet_list import VerletList, within_cutoff

__all__ = [
    "AttentionShape",
    "BernsteinBasis",
    "BesselBasis",
    "Cutoff",
    "EwaldSplit",
    "ExpGaussianBasis",
    "FilterShape",
    "GaussianBasis",
    "GdmlCovariance",
    "GdmlExpansion",
    "GdmlKernel",
    "NeighborList",
    "RadialBasis",
    "VerletList",
    "bias_activation",
    "cfconv",
    "cfconv_table",
    "coulomb_energy",
    "cutoff_function",
    "descriptor_permutations",
    "dispersion_energy",
    "distance_matrix",
    "edge_geometry",
    "equivariant_attention",
    "ewald_energy",
    "ewald_split",
    "filter_nodes",
    "gdml_columns",
    "gdml_diagonal",
    "gdml_gram",
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
    "strained",
    "within_cutoff",
    "zbl_energy",
]
