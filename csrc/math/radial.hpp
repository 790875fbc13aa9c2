// Radial basis functions g_k(d) with derivatives.
#pragma once

#include <cmath>

#include "core/macros.hpp"
#include "math/cutoff.hpp"

namespace pyff {

// Gaussians exp(-gamma (d - mu_k)^2) with centres mu_k = start + k spacing, k = 0 .. size - 1.
struct GaussianBasis {
  double start;
  double spacing;
  double gamma;
  int size;
};

}  // namespace pyff

namespace pyff::PYFF_ISA {

template <class T>
PYFF_HD Jet<T> gaussian(const GaussianBasis& b, int k, T d) {
  const T x = d - T(b.start + k * b.spacing), c = T(b.gamma);
  const T g = std::exp(-c * x * x), s = -2 * c * x;
  // g' = s g, s' = -2c
  return {g, s * g, (s * s - 2 * c) * g, (s * s - 6 * c) * s * g};
}

}  // namespace pyff::PYFF_ISA
