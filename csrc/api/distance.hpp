// Distances between all rows of two arrays, and radial kernels of them. Included by everything that calls the kernels.
#pragma once

#include <cstdint>

namespace pyff {

enum class DistanceKind : int {
  l1 = 0,         // sum_f |x_if - y_jf|
  l2 = 1,         // sqrt(sum_f (x_if - y_jf)^2)
  laplacian = 2,  // exp(-l1 / sigma)
  gaussian = 3,   // exp(-l2^2 / (2 sigma^2))
};

// out[i, j] = k(x_i, y_j), every element written. Where y is x (the same address, n == m) half is computed and half is
// copied. Such a matrix is symmetric bit for bit.
struct DistanceParams {
  std::int64_t n;  // rows of x
  std::int64_t m;  // rows of y
  std::int64_t n_features;
  const double* x;  // [n, F]
  const double* y;  // [m, F]
  DistanceKind kind;
  double sigma;  // of the kernels
  double* out;   // [n, m]
  int threads;
};

}  // namespace pyff
