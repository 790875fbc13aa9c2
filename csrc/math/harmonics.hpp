// Real spherical harmonics Y_lm(u), l = 1..4, m = -l..l, orthonormal on the unit sphere, as polynomials of a unit
// vector u = (x, y, z), and their pullback. With A_k + i B_k = (x + i y)^k and polynomials P_lk of z,
//   Y_l,-k = P_lk(z) B_k,   Y_l0 = P_l0(z),   Y_lk = P_lk(z) A_k.
// Y_lm(-u) = (-1)^l Y_lm(u). V is a number, a SIMD vector of them, or a Dual of either.
#pragma once

#include "core/macros.hpp"
#include "math/dual.hpp"

namespace pyff {

constexpr int kMaxDegree = 4;

constexpr int n_components(int degree) { return 2 * degree + 1; }

}  // namespace pyff

namespace pyff::PYFF_ISA {

// (x + i y)^k for k = 1 .. L; k = 0 is 1 and is written out where it occurs.
template <int L, class V>
struct Azimuth {
  V a[L + 1], b[L + 1];

  PYFF_HD Azimuth(V x, V y) {
    a[0] = Constant<V>::of(1.0);
    b[0] = Constant<V>::of(0.0);
    a[1] = x;
    b[1] = y;
    for (int k = 1; k < L; ++k) {
      a[k + 1] = x * a[k] - y * b[k];
      b[k + 1] = x * b[k] + y * a[k];
    }
  }
};

// P_lk(z) and its derivative, k = 0 .. L.
template <int L, class V>
struct Polar {
  V p[L + 1], d[L + 1];

  PYFF_HD explicit Polar(V z) {
    using C = ConstantOf<V>;
    const auto number = [](double c) { return Constant<C>::of(c); };
    const auto whole = [](double c) { return Constant<V>::of(c); };
    const V z2 = z * z;
    static_assert(L >= 1 && L <= kMaxDegree);
    if constexpr (L == 1) {
      const V c = whole(0.48860251190291992159);  // sqrt(3 / 4 pi)
      set(0, c * z, c);
      set(1, c, whole(0.0));
    } else if constexpr (L == 2) {
      const C c0 = number(0.31539156525252000603);  // sqrt(5 / pi) / 4
      const C c1 = number(1.09254843059207907054);  // sqrt(15 / pi) / 2
      set(0, c0 * (number(3) * z2 - number(1)), number(6) * c0 * z);
      set(1, c1 * z, lifted(c1));
      set(2, whole(0.54627421529603953527), whole(0.0));  // sqrt(15 / pi) / 4
    } else if constexpr (L == 3) {
      const C c0 = number(0.37317633259011539141);  // sqrt(7 / pi) / 4
      const C c1 = number(0.45704579946446573616);  // sqrt(21 / 2 pi) / 4
      const C c2 = number(1.44530572132027702769);  // sqrt(105 / pi) / 4
      set(0, c0 * z * (number(5) * z2 - number(3)), c0 * (number(15) * z2 - number(3)));
      set(1, c1 * (number(5) * z2 - number(1)), number(10) * c1 * z);
      set(2, c2 * z, lifted(c2));
      set(3, whole(0.59004358992664351035), whole(0.0));  // sqrt(35 / 2 pi) / 4
    } else {
      const C c0 = number(0.10578554691520430380);  // 3 / (16 sqrt(pi))
      const C c1 = number(0.66904654355728916795);  // 3 sqrt(5 / 2 pi) / 4
      const C c2 = number(0.47308734787878000905);  // 3 sqrt(5 / pi) / 8
      const C c3 = number(1.77013076977993053104);  // 3 sqrt(35 / 2 pi) / 4
      set(0, c0 * ((number(35) * z2 - number(30)) * z2 + number(3)), c0 * z * (number(140) * z2 - number(60)));
      set(1, c1 * z * (number(7) * z2 - number(3)), c1 * (number(21) * z2 - number(3)));
      set(2, c2 * (number(7) * z2 - number(1)), number(14) * c2 * z);
      set(3, c3 * z, lifted(c3));
      set(4, whole(0.62583573544917613459), whole(0.0));  // 3 sqrt(35 / pi) / 16
    }
  }

 private:
  static PYFF_HD V lifted(ConstantOf<V> c) { return Constant<V>::of(0.0) + c; }
  PYFF_HD void set(int k, V value, V slope) {
    p[k] = value;
    d[k] = slope;
  }
};

// y[2 L + 1]
template <int L, class V>
PYFF_HD void harmonics(const V (&u)[3], V* y) {
  const Azimuth<L, V> c(u[0], u[1]);
  const Polar<L, V> z(u[2]);
  y[L] = z.p[0];
  for (int k = 1; k <= L; ++k) {
    y[L - k] = z.p[k] * c.b[k];
    y[L + k] = z.p[k] * c.a[k];
  }
}

// u_bar += sum_m y_bar[m] dY_m / du, the derivatives of the polynomials: project out u for those on the sphere.
template <int L, class V>
PYFF_HD void harmonics_pullback(const V (&u)[3], const V* y_bar, V (&u_bar)[3]) {
  const Azimuth<L, V> c(u[0], u[1]);
  const Polar<L, V> z(u[2]);
  V bar_z = y_bar[L] * z.d[0];
  for (int k = 1; k <= L; ++k) {  // dA_k/dx = dB_k/dy = k A_k-1, dB_k/dx = -dA_k/dy = k B_k-1
    const V sine = y_bar[L - k], cosine = y_bar[L + k], p = Constant<ConstantOf<V>>::of(k) * z.p[k];
    if (k == 1) {
      u_bar[0] += p * cosine;
      u_bar[1] += p * sine;
    } else {
      u_bar[0] += p * (cosine * c.a[k - 1] + sine * c.b[k - 1]);
      u_bar[1] += p * (sine * c.a[k - 1] - cosine * c.b[k - 1]);
    }
    if (k < L) bar_z += z.d[k] * (cosine * c.a[k] + sine * c.b[k]);  // P_LL is a constant
  }
  u_bar[2] += bar_z;
}

// The same for a degree known at run time.
template <class V>
PYFF_HD void harmonics(int degree, const V (&u)[3], V* y) {
  switch (degree) {
    case 1:
      return harmonics<1>(u, y);
    case 2:
      return harmonics<2>(u, y);
    case 3:
      return harmonics<3>(u, y);
    default:
      return harmonics<4>(u, y);
  }
}
template <class V>
PYFF_HD void harmonics_pullback(int degree, const V (&u)[3], const V* y_bar, V (&u_bar)[3]) {
  switch (degree) {
    case 1:
      return harmonics_pullback<1>(u, y_bar, u_bar);
    case 2:
      return harmonics_pullback<2>(u, y_bar, u_bar);
    case 3:
      return harmonics_pullback<3>(u, y_bar, u_bar);
    default:
      return harmonics_pullback<4>(u, y_bar, u_bar);
  }
}

}  // namespace pyff::PYFF_ISA
