// Long formulas as functions: one copy per kernel instead of one per place in an unrolled loop.
#pragma once

#include "cuda/simt.hpp"
#include "math/activation.hpp"
#include "math/radial.hpp"

namespace pyff::cuda {

namespace math = ::pyff::PYFF_ISA;

template <class T>
PYFF_DEVICE_NOINLINE math::Jet<T> activation_of(Activation kind, T x) {
  return math::activation(kind, x);
}
template <class T>
PYFF_DEVICE_NOINLINE math::Jet<T> radial_of(const RadialBasis& basis, int k, T d) {
  return math::radial_basis(basis, k, d);
}
template <class T>
PYFF_DEVICE_NOINLINE math::Jet<T> cutoff_of(const Cutoff& cutoff, T d) {
  return math::cutoff(cutoff, d);
}

}  // namespace pyff::cuda
