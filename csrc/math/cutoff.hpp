// Cutoff functions C(d), 1 at d = 0 and 0 at and beyond the cutoff, with derivatives.
#pragma once

#include <cmath>

#include "core/macros.hpp"

namespace pyff {

enum class CutoffKind : int {
  none = 0,    // 1 inside, 0 outside: the list is truncated (2017 SchNet; never for periodic systems)
  cosine = 1,  // (1 + cos(pi d / rc)) / 2: C1 at rc
  mollifier = 2,  // exp(1 - 1 / (1 - (d / rc)^2)) = exp(-d^2 / ((rc - d) (rc + d))): smooth
  smooth = 3,  // f(1-x) / (f(x) + f(1-x)), f(x) = exp(-1/x), x = (d - onset) / (rc - onset): 1 up to onset, smooth
  // 1 - (p+1)(p+2)/2 t^p + p(p+2) t^(p+1) - p(p+1)/2 t^(p+2), t = d / rc: C2 at rc (DimeNet)
  polynomial3 = 4,  // p = 3: 1 - 10 t^3 + 15 t^4 - 6 t^5 (SO3LR)
  polynomial6 = 5,  // p = 6: 1 - 28 t^6 + 48 t^7 - 21 t^8
};

struct Cutoff {
  int kind;
  double radius;
  double onset;
};

}  // namespace pyff

namespace pyff::PYFF_ISA {

template <class T>
struct Jet {  // value, first, second and third derivative with respect to the distance
  T v, d1, d2, d3;
};

// exp(-1/x) and three derivatives, for x in (0, 1). Below 1/700 the value underflows, and so does every derivative.
template <class T>
PYFF_HD Jet<T> bump(T x) {
  if (x < T(1) / T(700)) return {T(0), T(0), T(0), T(0)};
  const T r = T(1) / x, r2 = r * r, f = std::exp(-r);
  return {f, f * r2, f * r2 * r2 - 2 * f * r2 * r, f * r2 * r2 * r2 - 6 * f * r2 * r2 * r + 6 * f * r2 * r2};
}

template <class T>
PYFF_HD Jet<T> smooth_switch(T x) {  // 1 at x = 0, 0 at x = 1
  const Jet<T> f = bump(x), g = bump(T(1) - x);
  const Jet<T> n{g.v, -g.d1, g.d2, -g.d3};
  const Jet<T> s{f.v + n.v, f.d1 + n.d1, f.d2 + n.d2, f.d3 + n.d3};
  // q = n / s by the product rule n = q s
  const T i = T(1) / s.v;
  const T q = n.v * i;
  const T q1 = (n.d1 - q * s.d1) * i;
  const T q2 = (n.d2 - q * s.d2 - 2 * q1 * s.d1) * i;
  const T q3 = (n.d3 - q * s.d3 - 3 * q1 * s.d2 - 3 * q2 * s.d1) * i;
  return {q, q1, q2, q3};
}

// 1 - a t^p (1/p - 2t/(p+1) + t^2/(p+2)) with a = p(p+1)(p+2)/2 and slope -a t^(p-1) (1 - t)^2. Near t = 1 that sum
// cancels: there its other form, (1 - t)^3 times the series of (1 - t)^-3 up to t^(p-1).
template <class T>
PYFF_HD Jet<T> polynomial_switch(int p, T t, T rest) {  // rest = 1 - t
  T series = T(0), power = T(1);  // power = t^(p-3)
  for (int j = p - 1; j >= 0; --j) series = series * t + T((j + 1) * (j + 2) / 2);
  for (int j = 3; j < p; ++j) power *= t;
  const T a = T(p * (p + 1) * (p + 2) / 2) * power, q = T(p - 1);
  const T left = 1 - a * t * t * t * (T(1) / T(p) + t * (t / T(p + 2) - T(2) / T(p + 1)));
  return {t < T(0.5) ? left : rest * rest * rest * series, -a * t * t * rest * rest, -a * t * rest * (q * rest - 2 * t),
          -a * (q * T(p - 2) * rest * rest - 4 * q * t * rest + 2 * t * t)};
}

template <class T>
PYFF_HD Jet<T> cutoff(const Cutoff& c, T d) {
  const T rc = T(c.radius);
  if (!(d < rc)) return {T(0), T(0), T(0), T(0)};
  switch (static_cast<CutoffKind>(c.kind)) {
    case CutoffKind::none:
      return {T(1), T(0), T(0), T(0)};
    case CutoffKind::cosine: {
      const T k = T(3.14159265358979323846) / rc, cs = std::cos(k * d), sn = std::sin(k * d);
      return {T(0.5) * (T(1) + cs), T(-0.5) * k * sn, T(-0.5) * k * k * cs, T(0.5) * k * k * k * sn};
    }
    case CutoffKind::mollifier: {
      const T x = d / rc, y = T(1) - x * x;
      if (y < T(1) / T(700)) return {T(0), T(0), T(0), T(0)};
      // phi = 1 - 1/y; d/dx of -1/y is -2x / y^2
      const T i = T(1) / y, i2 = i * i, k = T(1) / rc;
      const T p1 = -2 * x * i2, p2 = -2 * i2 - 8 * x * x * i2 * i, p3 = -24 * x * i2 * i - 48 * x * x * x * i2 * i2;
      const T f = std::exp(T(1) - i);
      return {f, f * p1 * k, f * (p2 + p1 * p1) * k * k, f * (p3 + 3 * p1 * p2 + p1 * p1 * p1) * k * k * k};
    }
    case CutoffKind::smooth: {
      const T k = T(1) / T(c.radius - c.onset), x = (d - T(c.onset)) * k;
      if (!(x > T(0))) return {T(1), T(0), T(0), T(0)};
      const Jet<T> s = smooth_switch(x);
      return {s.v, s.d1 * k, s.d2 * k * k, s.d3 * k * k * k};
    }
    case CutoffKind::polynomial3:
    case CutoffKind::polynomial6: {
      const T k = T(1) / rc;
      const int p = c.kind == static_cast<int>(CutoffKind::polynomial3) ? 3 : 6;
      const Jet<T> s = polynomial_switch(p, d * k, (rc - d) * k);
      return {s.v, s.d1 * k, s.d2 * k * k, s.d3 * k * k * k};
    }
  }
  return {T(0), T(0), T(0), T(0)};
}

}  // namespace pyff::PYFF_ISA
