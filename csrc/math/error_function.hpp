// The error function as Coulomb sums need it: erf(x) / x and its slope down to x = 0, where the textbook forms cancel.
#pragma once

#include "math/dual.hpp"
#include "math/elementary.hpp"

namespace pyff::PYFF_ISA {

// Coefficients of the highest power first; Horner's rule in four interleaved parts, a quarter of the latency.
template <class N, int n>
PYFF_HD N polynomial(const double (&c)[n], N x) {
  static_assert(n % 4 == 0, "parts of equal length");
  const N x2 = x * x, x4 = x2 * x2;
  N p[4];
  for (int part = 0; part < 4; ++part) {
    p[part] = Constant<N>::of(c[part]);
    for (int k = 4 + part; k < n; k += 4) p[part] = p[part] * x4 + c[k];
  }
  return (p[0] * x + p[1]) * x2 + (p[2] * x + p[3]);
}

template <class N>
struct ErrorFunction {
  N ratio;  // erf(x) / x
  N slope;  // -d(erf(x) / x) / d(x^2)
  N rest;   // erfc(x), to full relative precision
  N gauss;  // exp(-x^2)
};

// x >= 0; inverse = 1 / x, which is read for x >= 1 only. Two expansions, each within 1e-16:
// x < 1: slope K = 2/sqrt(pi) sum_n (-x^2)^n / (n! (2n + 3)) as a polynomial; erf(x)/x = 2/sqrt(pi) exp(-x^2) + 2 x^2 K,
//        a sum of positive terms;
// x >= 1: exp(x^2) erfc(x) = t P(t), t = 1 / (x + 3).
// The coefficients are Chebyshev fits made in 50-digit arithmetic.
template <class N>
PYFF_HD ErrorFunction<N> error_function(N x, N inverse) {
  constexpr double near[] = {-7.1507168917619294626e-10, 1.2514731056686148859e-8,  -1.4661772798971883485e-7,
                             1.4715687200234553576e-6,   -1.316884755678911722e-5,  1.0447920073888851448e-4,
                             -7.2331988208766426825e-4,  4.2741634947966507781e-3,  -2.0895910500019650165e-2,
                             8.0598511935300278095e-2,   -2.2567583341910055625e-1, 3.7612638903183751783e-1};
  constexpr double far[] = {22396085.888221842723,  -48819350.515515992543, 45426711.874121418962,
                            -23125684.308126066493, 6977377.5568465542171,  -1374135.9705613013662,
                            218903.98192710647292,  -16841.231556840128827, -2268.3822145166915601,
                            -1629.6139729578336224, -462.56944718250507048, 81.087471734532011551,
                            171.94032819065389033,  124.61785095984028383,  67.279546513339771241,
                            30.889380676195312615,  12.694265620553653391,  4.7956114602015196612,
                            1.6925687506431814092,  0.56418958354775631439};
  constexpr double two_over_sqrt_pi = 1.12837916709551257390;
  const N one = Constant<N>::of(1), z = x * x, gauss = exp_of(-z);
  const auto inside = x < one;
  const N y = select(inside, x, one), k = polynomial(near, y * y);  // both branches stay where they converge
  const N t = 1 / (select(inside, one, x) + 3), tail = gauss * t * polynomial(far, t);
  const N ratio = select(inside, two_over_sqrt_pi * gauss + 2 * z * k, (1 - tail) * inverse);
  const N slope = select(inside, k, (ratio - two_over_sqrt_pi * gauss) * (0.5 * inverse * inverse));
  return {ratio, slope, select(inside, 1 - x * ratio, tail), gauss};
}

}  // namespace pyff::PYFF_ISA
