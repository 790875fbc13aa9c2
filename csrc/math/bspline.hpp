// Cardinal B-splines M_n, piecewise polynomials of degree n - 1 on [0, n], and their first two derivatives.
// Source: Essmann et al., J. Chem. Phys. 103, 8577 (1995), eqs. 4.1 and 4.2.
#pragma once

#include "core/macros.hpp"

namespace pyff::PYFF_ISA {

template <int Order>
struct SplineWeights {  // of the Order mesh points around w in [0, 1): entry t is M(w + Order - 1 - t)
  double v[Order], d1[Order], d2[Order];
};

template <int Order>
PYFF_HD SplineWeights<Order> spline_weights(double w) {
  static_assert(Order >= 4, "a second derivative needs three recursions");
  SplineWeights<Order> s;
  double m[Order] = {w, 1 - w};  // M_2(w + j)
  for (int n = 3; n <= Order; ++n) {
    if (n == Order - 1)  // M_n'' from M_(n-2), M_n' from M_(n-1): differences of neighbors
      for (int j = 0; j < Order; ++j) {
        const double at = j < Order - 2 ? m[j] : 0.0, below = j >= 1 && j - 1 < Order - 2 ? m[j - 1] : 0.0;
        s.d2[Order - 1 - j] = at - 2 * below + (j >= 2 ? m[j - 2] : 0.0);
      }
    if (n == Order)
      for (int j = 0; j < Order; ++j)
        s.d1[Order - 1 - j] = (j < Order - 1 ? m[j] : 0.0) - (j >= 1 ? m[j - 1] : 0.0);
    const double over = 1.0 / (n - 1);
    m[n - 1] = over * (1 - w) * m[n - 2];
    for (int j = n - 2; j >= 1; --j) m[j] = over * ((w + j) * m[j] + (n - j - w) * m[j - 1]);
    m[0] *= over * w;
  }
  for (int j = 0; j < Order; ++j) s.v[Order - 1 - j] = m[j];
  return s;
}

}  // namespace pyff::PYFF_ISA
