// Params of the GDML kernels (pyff/ops/gdml.py has the equations and signs). N atoms, D = N (N - 1) / 2 descriptor
// entries, pairs a > b in the order (1,0), (2,0), (2,1), (3,0), ..., P permutations. Everything is float64; lengths are
// in the caller's unit.
#pragma once

#include <cstdint>

#include "math/matern.hpp"

namespace pyff {

// ---- kernel matrices ---------------------------------------------------------------------------------------------
struct GdmlGeometries {
  std::int64_t n;   // M
  const double* x;  // [M, D] inverse distances
  const double* g;  // [M, D, 3] (r_a - r_b) / |r_a - r_b|^3
};

// out (+ energy rows and columns behind those of the forces where `energies`): covariances of the forces of `rows` and
// `columns`, K_ij = sum_p J_i^T (g1 1 - g2 t_p t_p^T) Pi_p J_j.
// upper: rows and columns are the same and perms a group; only blocks on and above the diagonal are written, of the
// energies' columns all, of the energies' block its upper triangle, and of the energies' rows no more.
struct GdmlMatrixParams {
  std::int64_t n_atoms;
  GdmlGeometries rows, columns;
  std::int64_t n_perms;
  const std::int64_t* perms;  // [P, N] of atoms
  RadialProfile profile;
  bool energies, upper;
  double* out;          // [3N M1 (+ M1), stride]
  std::int64_t stride;  // of the rows of out, at least 3N M2 (+ M2)
  double* scratch;      // the elements of cpu/gdml_memory.hpp
  int threads;
  std::int64_t begin, end;  // blocks of math/gdml_blocks.hpp of this call, by the CPU; CUDA works off all
};

// Chosen columns of that matrix, each contiguous: out [C, 3N M1 (+ M1)]. They are sorted by the geometry they belong
// to: point[q] owns first[q] .. first[q + 1] - 1 of component and target.
struct GdmlColumnsParams {
  std::int64_t n_atoms;
  GdmlGeometries rows, columns;
  std::int64_t n_perms;
  const std::int64_t* inverse_perms;  // [P, N] of atoms
  RadialProfile profile;
  bool energies;                  // rows of energies too
  std::int64_t n_points;          // Q
  const std::int64_t* point;      // [Q] index into columns
  const std::int64_t* first;      // [Q + 1]
  const std::int64_t* component;  // [C] 3 atom + axis, or 3N: the energy
  const std::int64_t* target;     // [C] row of out
  double* out;
  double* scratch;  // the elements of cpu/gdml_memory.hpp
  int threads;
  std::int64_t begin, end;  // blocks (q, row) of this call, by the CPU; CUDA works off all
};

}  // namespace pyff
