// The one formula of a pair's vector, in the order of operations that makes it exactly antisymmetric:
// D = (pos_j - pos_i) + ((S_0 a + S_1 b) + S_2 c), d = sqrt((D_x^2 + D_y^2) + D_z^2).
// Files that use it are compiled with -ffp-contract=off: the decision d < cutoff and the d that is written must agree.
#pragma once

#include <cmath>

#include "api/pyff.hpp"
#include "math/elementary.hpp"

namespace pyff::PYFF_ISA {
namespace {

struct PairVector {
  double d[3];
  double distance;
  std::int32_t shift[3];
};

inline PairVector pair_vector(const NeighborParticle& i, const NeighborParticle& j, const NeighborRule& rule) {
  PairVector out;
  double s[3];
  for (int k = 0; k < 3; ++k) {
    out.shift[k] = j.shift[k] - i.shift[k];
    s[k] = out.shift[k];
  }
  for (int c = 0; c < 3; ++c) {
    const double translation = (s[0] * rule.cell[c] + s[1] * rule.cell[3 + c]) + s[2] * rule.cell[6 + c];
    out.d[c] = (j.pos[c] - i.pos[c]) + translation;
  }
  out.distance = std::sqrt((out.d[0] * out.d[0] + out.d[1] * out.d[1]) + out.d[2] * out.d[2]);
  return out;
}

// Of each unordered pair, (i, j) with i < j, and of an atom and its image, the lexicographically positive shift.
inline bool is_chosen_half(std::int64_t i, std::int64_t j, const std::int32_t* s) {
  if (i != j) return i < j;
  if (s[0] != 0) return s[0] > 0;
  if (s[1] != 0) return s[1] > 0;
  return s[2] >= 0;
}

}  // namespace
}  // namespace pyff::PYFF_ISA
