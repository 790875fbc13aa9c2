// The elementary functions that formulas are written in. These overloads serve scalars on host and device;
// math/simd.hpp adds overloads for SIMD vectors, so that a formula templated on its number type runs on all three.
#pragma once

#include <cmath>

#include "core/macros.hpp"

namespace pyff::PYFF_ISA {

// A number as a T: for vectors, in every lane.
template <class T>
struct Constant {
  static PYFF_HD T of(double value) { return T(value); }
};

PYFF_HD float exp_of(float x) { return std::exp(x); }
PYFF_HD double exp_of(double x) { return std::exp(x); }
PYFF_HD float tanh_of(float x) { return std::tanh(x); }
PYFF_HD double tanh_of(double x) { return std::tanh(x); }
PYFF_HD float abs_of(float x) { return std::fabs(x); }
PYFF_HD double abs_of(double x) { return std::fabs(x); }
PYFF_HD float sqrt_of(float x) { return std::sqrt(x); }
PYFF_HD double sqrt_of(double x) { return std::sqrt(x); }
// ln(1 + y) for y in [0, 1]
PYFF_HD float log1p_unit(float y) { return std::log1p(y); }
PYFF_HD double log1p_unit(double y) { return std::log1p(y); }
// 8/7 of the exponent's bias, less what makes the error of inverse_seventh_root_guess smallest
constexpr double kSeventhRootBits = 8.0 / 7 * (1023 - 0.0523) * 4503599627370496.0;
PYFF_HD double inverse_seventh_root_guess(double x) { return std::pow(x, -1.0 / 7); }
PYFF_HD float select(bool condition, float a, float b) { return condition ? a : b; }
PYFF_HD double select(bool condition, double a, double b) { return condition ? a : b; }

}  // namespace pyff::PYFF_ISA

// Formulas are templates, and a vector type has no namespace in which its overloads would be looked up later: they
// have to be declared before the formulas.
#if !defined(__CUDACC__)
#include "math/simd.hpp"
#endif
