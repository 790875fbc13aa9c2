// The GDML kernel: see pyff/ops/gdml.py for equations and signs. Shape letters: B queries, M training points, N atoms,
// D = N (N - 1) / 2 descriptor entries, P permutations. Everything is double; lengths and energies are in the unit of
// the caller's data.
#pragma once

#include <cstdint>

#include "math/descriptor.hpp"
#include "math/matern.hpp"

namespace pyff {

// ---- descriptors -----------------------------------------------------------------------------------------------------
// x_k = 1 / |v_k|, v_k = r_a - r_b, pairs a > b in the order (1,0), (2,0), (2,1), ...; g_k = v_k / |v_k|^3 = dx_k/dr_b.
struct GdmlDescriptorParams {
  std::int64_t n_structures;  // B
  std::int64_t n_atoms;
  const double* pos;   // [B, N, 3]
  const double* cell;  // [3, 3], rows; null: open structures
  ImageSearch images;
  double* x;  // [B, D]
  double* g;  // [B, D, 3]
  int threads;
};

// Forward, J v: (J v)_k = g_k . (v_b - v_a). Backward, J^T u: the sum of +g_k u_k at b and -g_k u_k at a.
struct GdmlJacobianParams {
  std::int64_t n_structures;
  std::int64_t n_atoms;
  const double* g;  // [B, D, 3]
  double* v;        // [B, N, 3] input of forward, output of backward
  double* u;        // [B, D] output of forward, input of backward
  int threads;
};

// ---- expansions ------------------------------------------------------------------------------------------------------
// A training set, arranged for the kernel. Descriptors are centred: what is stored is x - centre, which keeps
// |q|^2 + |x|^2 - 2 q x as exact as the sum of squared differences.
//
// The arrays are packed in blocks of 16 training points (the last one filled up with zeros). A block is [2 + D', 2, 16]:
// a row of |x|^2 / 2 and x . a, a row of energy coefficients and zeros, then x and a entry by entry; D' is D rounded up
// to a multiple of 4, with zeros.
constexpr std::int64_t kGdmlPoints = 16;

struct GdmlExpansion {
  RadialProfile profile;
  bool energies;  // whether energy coefficients are there
  std::int64_t n_blocks;
  std::int64_t n_pairs;  // D
  std::int64_t n_perms;
  const double* packed;        // [n_blocks, 2 + D', 2, 16]
  const double* centre;        // [D]
  const std::int64_t* orders;  // [P, D] inverse permutations of descriptors: row p of a query x is x[orders[p]]
};

// f [B, D] and E [B] of the expansion for descriptors.
struct GdmlProductParams {
  GdmlExpansion expansion;
  std::int64_t n_queries;
  const double* query;  // [B, D]
  double* f;            // [B, D]
  double* energy;       // [B]
  double* scratch;      // cpu/gdml_product_memory.hpp says how much
  int threads;
};

// Energies, forces and dE/dstrain of positions.
struct GdmlPredictParams {
  GdmlExpansion expansion;
  std::int64_t n_queries;
  std::int64_t n_atoms;
  const double* pos;         // [B, N, 3]
  const double* cell;        // [3, 3] or [B, 3, 3], rows; null: open structures
  std::int64_t cell_stride;  // 0 for one cell, 9 for one per structure
  ImageSearch images;
  double constant;  // added to the energies
  double* energy;   // [B]
  double* forces;   // [B, N, 3]
  double* virial;   // [B, 3, 3] or null
  double* scratch;
  int threads;
};

}  // namespace pyff
