// Tables of quintic polynomials: W(d) = sum_m c[k][m] u^m with k = floor((d - start) / spacing), u in [0, 1].
#pragma once

#include <cmath>
#include <cstdint>

#include "core/macros.hpp"

namespace pyff {

constexpr int kTableOrder = 6;  // coefficients per interval and feature

}  // namespace pyff

namespace pyff::PYFF_ISA {

struct TablePoint {
  std::int64_t interval;
  double u;
};

// Where distance d falls. The interval is clamped, so d at the far end belongs to the last one with u = 1.
PYFF_HD TablePoint table_point(double d, double start, double inv_spacing, std::int64_t n_intervals) {
  const double x = (d - start) * inv_spacing;
  std::int64_t k = static_cast<std::int64_t>(x);
  k = k < 0 ? 0 : (k >= n_intervals ? n_intervals - 1 : k);
  return {k, x - static_cast<double>(k)};
}

// Where a distance falls in a table with even nodes in s(d) = (1 - e^(-decay (d - start))) / decay, which is d - start
// for decay 0, and the first two derivatives of u along d.
struct WarpedPoint {
  std::int64_t interval;
  double u, d1, d2;
};

PYFF_HD WarpedPoint warped_point(double d, double start, double spacing, double decay, std::int64_t n_intervals) {
  const double inv = 1.0 / spacing;
  double s = d - start, slope = inv;
  if (decay > 0) {
    const double e = std::expm1(-decay * s);
    s = -e / decay;
    slope = (1 + e) * inv;
  }
  const TablePoint at = table_point(s, 0.0, inv, n_intervals);
  return {at.interval, at.u, slope, -decay * slope};
}

}  // namespace pyff::PYFF_ISA
