// The blocks of a kernel matrix, one per pair of geometries, in the order in which they are worked off.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/macros.hpp"

namespace pyff::PYFF_ISA {

// Blocks row by row: all of them, or those on and above the diagonal.
struct GdmlBlocks {
  std::int64_t m1, m2;
  bool upper;

  PYFF_HD std::int64_t count() const { return first_of(m1); }
  PYFF_HD std::int64_t first_of(std::int64_t row) const { return row * m2 - (upper ? row * (row - 1) / 2 : 0); }
  PYFF_HD std::int64_t first_column(std::int64_t row) const { return upper ? row : 0; }
  PYFF_HD std::int64_t row_of(std::int64_t block) const {
    if (!upper) return block / m2;
    const double middle = static_cast<double>(m2) + 0.5;
    auto row = static_cast<std::int64_t>(middle - std::sqrt(middle * middle - 2.0 * static_cast<double>(block)));
    while (first_of(row) > block) --row;
    while (first_of(row + 1) <= block) ++row;
    return row;
  }
};

}  // namespace pyff::PYFF_ISA
