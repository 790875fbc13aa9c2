// Radial basis functions g_k(d), k = 0 .. size - 1, with derivatives.
#pragma once

#include <cmath>

#include "core/macros.hpp"
#include "math/cutoff.hpp"

namespace pyff {

enum class RadialKind : int {
  gaussian = 0,      // exp(-gamma (d - mu_k)^2), mu_k = start + k spacing
  exp_gaussian = 1,  // exp(-gamma (e^-d - mu_k)^2), mu_k = start + k spacing (PhysNet)
  bernstein = 2,     // C(n, k) x^k (1 - x)^(n-k), x = e^(-gamma d), n = size - 1 (SpookyNet, SO3LR)
  bessel = 3,        // sin((k + 1) gamma d) / d, gamma = pi / cutoff (DimeNet)
};

struct RadialBasis {
  int kind;
  double start;    // centres; 0 where the kind has none
  double spacing;  // likewise
  double gamma;
  int size;
};

}  // namespace pyff

namespace pyff::PYFF_ISA {

template <class T>
PYFF_HD Jet<T> gaussian(T x, T c) {  // exp(-c x^2): g' = s g with s' = -2c
  const T g = std::exp(-c * x * x), s = -2 * c * x;
  return {g, s * g, (s * s - 2 * c) * g, (s * s - 6 * c) * s * g};
}

template <class T>
PYFF_HD Jet<T> exp_gaussian(T d, T centre, T c) {  // a Gaussian of x = e^-d: x' = -x
  const T x = std::exp(-d);
  const Jet<T> g = gaussian(x - centre, c);
  return {g.v, -x * g.d1, x * (x * g.d2 + g.d1), -x * (x * (x * g.d3 + 3 * g.d2) + g.d1)};
}

// C(n, k) as a product of small factors: every partial product is C(n - j, k - j), j < min(k, n - k).
template <class T>
PYFF_HD T binomial(int n, int k) {
  const int m = k < n - k ? k : n - k;
  T c = T(1);
  for (int j = 1; j <= m; ++j) c *= T(n - m + j) / T(j);
  return c;
}

// With m = n - k and t_j = C x^(k+j) (1 - x)^(m-j), D t_j = gamma (-(k+j) t_j + (m-j) t_(j+1)). The derivatives are sums
// of t_0 .. t_3, which all stay finite as 1 - x goes to 0 with the distance.
template <class T>
PYFF_HD Jet<T> bernstein(int n, int k, T d, T c) {
  const int m = n - k, lowest = m < 3 ? 0 : m - 3;
  const T x = std::exp(-c * d), y = -std::expm1(-c * d);
  // exp(-k c d) and not x^k, which would multiply the rounding error of x by k
  T term = binomial<T>(n, k) * std::exp(-c * k * d) * std::pow(y, T(lowest));
  T t[4], power[4] = {T(1), y, y * y, y * y * y};
  for (int j = 0; j < 4; ++j) {
    t[j] = j > m ? T(0) : term * power[m - j - lowest];
    term *= x;
  }
  const T kt = T(k), mt = T(m), m2 = mt * (mt - 1), m3 = m2 * (mt - 2);
  return {t[0], c * (mt * t[1] - kt * t[0]), c * c * (kt * kt * t[0] - mt * (2 * kt + 1) * t[1] + m2 * t[2]),
          c * c * c * (mt * (3 * kt * (kt + 1) + 1) * t[1] - kt * kt * kt * t[0] - 3 * m2 * (kt + 1) * t[2] + m3 * t[3])};
}

// sin(t) / t. The closed forms of its derivatives lose a factor 1/t^3 to cancellation: below 1 the series.
template <class T>
PYFF_HD Jet<T> sinc(T t) {
  if (t < T(1)) {
    const T z = t * t;
    T v = T(0), d1 = T(0), d2 = T(0), d3 = T(0), c = T(1);  // c = (-1)^n / (2n + 1)!, summed by Horner from n = 10 down
    for (int n = 1; n <= 10; ++n) c /= -T(2 * n) * T(2 * n + 1);
    for (int n = 10; n >= 0; --n) {
      const T p = T(2 * n);
      v = v * z + c;
      if (n >= 1) d1 = d1 * z + p * c;
      if (n >= 1) d2 = d2 * z + p * (p - 1) * c;
      if (n >= 2) d3 = d3 * z + p * (p - 1) * (p - 2) * c;
      c *= -T(2 * n) * T(2 * n + 1);
    }
    return {v, d1 * t, d2, d3 * t};
  }
  const T s = std::sin(t), co = std::cos(t), i = T(1) / t;  // (t f)' = cos t, (t f)'' = -sin t, (t f)''' = -cos t
  const T v = s * i, d1 = (co - v) * i, d2 = -(s + 2 * d1) * i;
  return {v, d1, d2, -(co + 3 * d2) * i};
}

template <class T>
PYFF_HD Jet<T> radial_basis(const RadialBasis& b, int k, T d) {
  const T c = T(b.gamma), centre = T(b.start + k * b.spacing);
  switch (static_cast<RadialKind>(b.kind)) {
    case RadialKind::gaussian:
      return gaussian(d - centre, c);
    case RadialKind::exp_gaussian:
      return exp_gaussian(d, centre, c);
    case RadialKind::bernstein:
      return bernstein(b.size - 1, k, d, c);
    case RadialKind::bessel: {
      const T w = T((k + 1) * b.gamma), w2 = w * w;
      const Jet<T> s = sinc(w * d);
      return {w * s.v, w2 * s.d1, w2 * w * s.d2, w2 * w2 * s.d3};
    }
  }
  return {T(0), T(0), T(0), T(0)};
}

}  // namespace pyff::PYFF_ISA
