// Pair search for many structures at once, on CUDA. Two calls, because the caller allocates the pairs:
//
//   count: row_ptr and the number of pairs; then the caller reads summary back and allocates
//   fill:  idx_i, idx_j, shift, edge_rev
//
// Full list of directed pairs i <- j with d < cutoff, d = |pos[j] - pos[i] + shift cell|: any cell, any pbc, atoms
// anywhere (shift refers to the positions as given), atoms on top of each other, images of the atom itself. Sorted by
// (i, j, shift), so the same pairs come in the same order on every run.
#pragma once

#include <cstdint>

#include "cuda/call.hpp"

namespace pyff::cuda {

enum NeighborFault : std::uint32_t {
  kBadPosition = 1,    // a position is NaN or infinite
  kSingularCell = 2,   // the periodic lattice vectors are linearly dependent or not finite
  kFarPosition = 4,    // an atom is so many images away that its shift is no 32-bit integer
  kTooManyImages = 8,  // the cell is so small against the cutoff that the search makes no sense
};

struct NeighborSummary {
  std::int64_t n_edges;
  std::int64_t faults;  // bits of NeighborFault; if any is set, the rows of all systems are empty
};

struct NeighborParams {
  std::int64_t n_atoms;
  std::int64_t n_systems;
  const double* pos;          // [N, 3] A
  const double* cell;         // [B, 3, 3] A, rows are lattice vectors
  const std::uint8_t* pbc;    // [B, 3]
  const std::int64_t* batch;  // [N] system of each atom
  const std::int64_t* ptr;    // [B + 1] first atom of each system
  double cutoff;              // A
  std::int64_t* row_ptr;      // [N + 1], written by count, read by fill
  NeighborSummary* summary;   // [1] out, of count
  std::int64_t n_edges;       // fill: summary->n_edges
  std::int64_t* idx_i;        // [E] out, of fill, as the following
  std::int64_t* idx_j;        // [E]
  std::int32_t* shift;        // [E, 3]
  std::int64_t* edge_rev;     // [E]
};

// Scratch of the count. It has to stay as it is until the fill, which needs it, and other scratch of its own.
std::int64_t neighbor_count_scratch(const NeighborParams& params);
void neighbor_count(const NeighborParams& params, const Call& call);

std::int64_t neighbor_fill_scratch(const NeighborParams& params);
void neighbor_fill(const NeighborParams& params, const void* count_scratch, const Call& call);

}  // namespace pyff::cuda
