// Activation functions with derivatives. T is a scalar or a SIMD vector (math/elementary.hpp).
#pragma once

#include "core/macros.hpp"
#include "math/cutoff.hpp"
#include "math/elementary.hpp"

namespace pyff {

enum class Activation : int {
  identity = 0,
  ssp = 1,   // shifted softplus ln(1 + e^x) - ln 2
  silu = 2,  // x sigmoid(x)
  tanh = 3,
};

}  // namespace pyff

namespace pyff::PYFF_ISA {

template <class T>
PYFF_HD Jet<T> activation(Activation kind, T x) {
  const T zero = T{};
  if (kind == Activation::identity) return {x, zero + 1, zero, zero};
  if (kind == Activation::tanh) {
    const T h = tanh_of(x), q = 1 - h * h;
    return {h, q, -2 * h * q, q * (6 * h * h - 2)};
  }
  const T e = exp_of(-abs_of(x)), r = 1 / (1 + e);  // e <= 1: no overflow
  const T s = select(x >= zero, r, e * r);           // sigmoid
  const T s1 = s * (1 - s), s2 = s1 * (1 - 2 * s);
  if (kind == Activation::ssp) {
    const T ln2 = Constant<T>::of(0.69314718055994530942);
    return {select(x > zero, x, zero) + log1p_unit(e) - ln2, s, s1, s2};
  }
  return {x * s, s + x * s1, 2 * s1 + x * s2, 3 * s2 + x * (s1 * (1 - 6 * s1))};
}

}  // namespace pyff::PYFF_ISA
