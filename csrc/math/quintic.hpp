// The polynomial of one table interval (math/hermite.hpp): W = sum_m c_m u^m, u = (d - d_k) / spacing.
#pragma once

#include "core/macros.hpp"
#include "math/cutoff.hpp"
#include "math/hermite.hpp"

namespace pyff::PYFF_ISA {

// W and its derivatives with respect to d; inv = 1 / spacing. V is a number or, on the CPU, a vector of features.
template <class V, class T>
PYFF_HD V quintic_value(const V (&c)[kTableOrder], T u) {
  return c[0] + u * (c[1] + u * (c[2] + u * (c[3] + u * (c[4] + u * c[5]))));
}
template <class V, class T>
PYFF_HD V quintic_slope(const V (&c)[kTableOrder], T u, T inv) {
  return inv * (c[1] + u * (2 * c[2] + u * (3 * c[3] + u * (4 * c[4] + u * (5 * c[5])))));
}
template <class V, class T>
PYFF_HD V quintic_curvature(const V (&c)[kTableOrder], T u, T inv) {
  return inv * inv * (2 * c[2] + u * (6 * c[3] + u * (12 * c[4] + u * (20 * c[5]))));
}

// Adds the cotangents of c_m, value_bar u^m + slope_bar m u^(m-1) inv, given those of W and W'.
template <class V, class T>
PYFF_HD void add_quintic_gradient(V (&c_bar)[kTableOrder], T u, T inv, V value_bar, V slope_bar) {
  T power = T(1), below = T(0);
  const V slope = slope_bar * inv;
  for (int m = 0; m < kTableOrder; ++m) {
    c_bar[m] += value_bar * power + slope * (T(m) * below);
    below = power;
    power *= u;
  }
}

// Beyond the last interval a tabulated filter is zero.
PYFF_HD bool table_covers(double d, double start, double spacing, std::int64_t n_intervals) {
  return d < start + spacing * static_cast<double>(n_intervals);
}

}  // namespace pyff::PYFF_ISA
