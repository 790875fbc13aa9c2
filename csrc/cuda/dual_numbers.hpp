// Number types of kernels whose double backward is the backward with tangents: plain numbers, and Dual ones there.
// What a call on dual numbers writes is the tangent of what the plain call writes.
#pragma once

#include <type_traits>

#include "cuda/simt.hpp"
#include "math/dual.hpp"

namespace pyff::cuda {

namespace math = ::pyff::PYFF_ISA;

template <class X, bool kDual>
using Number = std::conditional_t<kDual, math::Dual<X>, X>;

// Element k of an array and of its tangents.
template <bool kDual, class X>
PYFF_DEVICE Number<X, kDual> number(const X* value, const X* tangent, std::int64_t k) {
  if constexpr (kDual)
    return {value[k], tangent[k]};
  else
    return value[k];
}

// f(x), given f, f' and the tangent of x
template <bool kDual, class X, class Y>
PYFF_DEVICE Number<X, kDual> along(X value, X slope, Y tangent) {
  if constexpr (kDual)
    return {value, slope * static_cast<X>(tangent)};
  else
    return value;
}

// What a call writes.
template <class X>
PYFF_DEVICE X emitted(X x) {
  return x;
}
template <class X>
PYFF_DEVICE X emitted(math::Dual<X> x) {
  return x.d;
}

template <class X>
PYFF_DEVICE X tangent_of(X) {
  return X(0);
}
template <class X>
PYFF_DEVICE X tangent_of(math::Dual<X> x) {
  return x.d;
}

// The same number with another precision.
template <class To, class X>
PYFF_DEVICE To converted(X x) {
  return static_cast<To>(x);
}
template <class To, class X>
PYFF_DEVICE math::Dual<To> converted(math::Dual<X> x) {
  return {static_cast<To>(x.v), static_cast<To>(x.d)};
}

template <class X>
PYFF_DEVICE X sum_of_lanes(const simt::Block& block, X x) {
  return simt::warp_sum(block, x);
}
template <class X>
PYFF_DEVICE math::Dual<X> sum_of_lanes(const simt::Block& block, math::Dual<X> x) {
  const X v = simt::warp_sum(block, x.v);
  return {v, simt::warp_sum(block, x.d)};
}

}  // namespace pyff::cuda
