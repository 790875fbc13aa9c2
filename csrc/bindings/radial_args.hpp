// A radial basis as Python passes it.
#pragma once

#include <tuple>

#include "math/radial.hpp"

using BasisArgs = std::tuple<int, double, double, double, int>;  // kind, start, spacing, gamma, size

inline pyff::RadialBasis basis_from(const BasisArgs& a) {
  return {std::get<0>(a), std::get<1>(a), std::get<2>(a), std::get<3>(a), std::get<4>(a)};
}
