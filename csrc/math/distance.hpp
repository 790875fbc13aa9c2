// The sums over features and the functions of them in the matrices of api/distance.hpp.
#pragma once

#include "api/distance.hpp"
#include "math/elementary.hpp"

namespace pyff::PYFF_ISA {

// A feature's part of a sum: |a - b| or (a - b)^2.
template <bool squared, class T>
PYFF_HD T add_feature(T sum, T a, T b) {
  const T d = a - b;
  if constexpr (squared)
    return sum + d * d;
  else
    return sum + abs_of(d);
}

template <DistanceKind kind>
constexpr bool kSquared = kind == DistanceKind::l2 || kind == DistanceKind::gaussian;

// What the exponentials' arguments are multiplied with.
inline double inverse_scale(DistanceKind kind, double sigma) {
  return kind == DistanceKind::gaussian ? 0.5 / (sigma * sigma) : 1 / sigma;
}

template <DistanceKind kind, class T>
PYFF_HD T of_sum(T sum, double scale) {
  if constexpr (kind == DistanceKind::l1)
    return sum;
  else if constexpr (kind == DistanceKind::l2)
    return sqrt_of(sum);
  else
    return exp_of(sum * -scale);
}

}  // namespace pyff::PYFF_ISA
