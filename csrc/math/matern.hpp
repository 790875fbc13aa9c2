// Radial profiles of kernels on descriptors, k(|t|), with what derivatives by t need:
//   grad k = -g1 t,  -Hessian = g1 1 - g2 t t^T,   g1 = -k'(r) / r,  g2 = (k'' - k' / r) / r^2,  r = |t|
// Functions of r^2, all three finite at 0.
#pragma once

#include "core/macros.hpp"
#include "math/elementary.hpp"

namespace pyff {

enum class RadialProfileKind : int {
  matern52 = 0,  // (1 + d/s + d^2/(3 s^2)) exp(-d/s), d = sqrt(5) r
  rbf = 1,       // exp(-r^2 / (2 s^2))
};

struct RadialProfile {
  int kind;
  double sigma;  // s, the length scale
};

}  // namespace pyff

namespace pyff::PYFF_ISA {

template <class T>
struct ProfileTerms {
  T k, g1, g2;
};

struct Matern52 {
  double rate, scale;  // sqrt(5) / s and its square over 3

  explicit PYFF_HD Matern52(double sigma) : rate(2.2360679774997896964 / sigma), scale(5 / (3 * sigma * sigma)) {}

  template <class T>
  PYFF_HD ProfileTerms<T> operator()(T r2) const {
    const T u = rate * sqrt_of(r2), e = exp_of(-u), first = scale * (1 + u) * e;
    return {(1 + u + (1.0 / 3) * (u * u)) * e, first, scale * rate * rate * e};
  }
};

struct Gaussian {
  double rate;  // 1 / s^2

  explicit PYFF_HD Gaussian(double sigma) : rate(1 / (sigma * sigma)) {}

  template <class T>
  PYFF_HD ProfileTerms<T> operator()(T r2) const {
    const T k = exp_of((-0.5 * rate) * r2);
    return {k, rate * k, (rate * rate) * k};
  }
};

// body(profile), with the kind as a type.
template <class Body>
inline void with_radial_profile(const RadialProfile& p, Body&& body) {
  switch (static_cast<RadialProfileKind>(p.kind)) {
    case RadialProfileKind::matern52:
      return body(Matern52(p.sigma));
    case RadialProfileKind::rbf:
      return body(Gaussian(p.sigma));
  }
}

}  // namespace pyff::PYFF_ISA
