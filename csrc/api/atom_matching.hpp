// Params of the matching of atoms between geometries of one molecule.
#pragma once

#include <cstdint>

namespace pyff {

// For pairs (i, j) of geometries: the permutation p that minimizes the spectral cost
//   sum_a C(a, p(a)),  C(a, b) = -sum_k |V_jak| |V_ibk|,   atoms of other species excluded,
// and score = |distance_i[p][:, p] - distance_j|, the Frobenius norm; where the identity's is not larger, the identity.
struct AtomMatchingParams {
  std::int64_t n_atoms, n_pairs;
  const double* distance;     // [M, N, N]
  const double* vectors;      // [M, N, N] magnitudes of eigenvectors, one a row
  const std::int64_t* Z;      // [N]
  const std::int64_t* pairs;  // [K, 2]
  double* score;              // [K]
  std::int64_t* perms;        // [K, N] or null
  double* scratch;            // threads x (N (N + 3))
  std::int64_t* indices;      // threads x 4 N
  int threads;
};

}  // namespace pyff
