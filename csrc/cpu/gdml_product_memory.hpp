// Sizes of the tiles of GDML products, and how much scratch they take; the caller owns it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "api/gdml_product.hpp"
#include "core/macros.hpp"

namespace pyff::PYFF_ISA {

// Rows are permuted queries. What one thread works on: kGroupRows rows, whose entries and sums stay in the L2 cache,
// against a tile of training points, kRows rows at a time, whose weights stay in the L1 cache.
constexpr std::int64_t kGdmlRows = 6, kGdmlGroupRows = 48, kGdmlTileBlocks = 16;

inline std::int64_t gdml_width(std::int64_t n_pairs) { return (n_pairs + 3) / 4 * 4; }

// Queries whose rows make up a group.
inline std::int64_t gdml_group_queries(const GdmlExpansion& e) {
  return std::max<std::int64_t>(1, kGdmlGroupRows / e.n_perms);
}

// Doubles that a thread needs: entries and sums of the rows, their squares, sums of weights and energies, the weights
// of a tile; and for the queries of a group: descriptors and their gradients, f, energies.
inline std::int64_t gdml_scratch_per_thread(const GdmlExpansion& e) {
  const std::int64_t rows = kGdmlGroupRows, queries = gdml_group_queries(e);
  return rows * (2 * gdml_width(e.n_pairs) + 3) + kGdmlTileBlocks * kGdmlRows * 2 * kGdmlPoints +
         queries * (5 * e.n_pairs + 1) + 8;
}

}  // namespace pyff::PYFF_ISA
