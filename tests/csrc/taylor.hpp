// Taylor series to third order in long double: derivatives of a formula by another route than the closed forms under
// test. Write the function in Taylor arithmetic at variable(x); value and derivatives are jet().
#pragma once

#include <cmath>

#include "core/macros.hpp"

namespace pyff::PYFF_ISA {

struct Taylor {
  long double c[4];  // f(x + h) = sum_k c[k] h^k
};

inline Taylor constant(long double x) { return {{x, 0, 0, 0}}; }
inline Taylor variable(long double x) { return {{x, 1, 0, 0}}; }

inline Taylor operator+(const Taylor& a, const Taylor& b) {
  Taylor r;
  for (int k = 0; k < 4; ++k) r.c[k] = a.c[k] + b.c[k];
  return r;
}
inline Taylor operator*(const Taylor& a, const Taylor& b) {
  Taylor r = constant(0);
  for (int k = 0; k < 4; ++k)
    for (int j = 0; j <= k; ++j) r.c[k] += a.c[j] * b.c[k - j];
  return r;
}
inline Taylor operator/(const Taylor& a, const Taylor& b) {  // a = r b, solved for r
  Taylor r;
  for (int k = 0; k < 4; ++k) {
    long double rest = a.c[k];
    for (int j = 0; j < k; ++j) rest -= r.c[j] * b.c[k - j];
    r.c[k] = rest / b.c[0];
  }
  return r;
}
inline Taylor operator-(const Taylor& a) { return constant(-1) * a; }
inline Taylor operator-(const Taylor& a, const Taylor& b) { return a + (-b); }
inline Taylor operator+(long double a, const Taylor& b) { return constant(a) + b; }
inline Taylor operator-(long double a, const Taylor& b) { return constant(a) - b; }
inline Taylor operator*(long double a, const Taylor& b) { return constant(a) * b; }

inline Taylor exp(const Taylor& a) {  // e' = a' e
  Taylor e = constant(std::exp(a.c[0]));
  for (int k = 1; k < 4; ++k)
    for (int j = 1; j <= k; ++j) e.c[k] += j * a.c[j] * e.c[k - j] / k;
  return e;
}
inline Taylor log1p(const Taylor& a) {  // l' (1 + a) = a'
  Taylor l = constant(std::log1p(a.c[0]));
  for (int k = 1; k < 4; ++k) {
    long double rest = k * a.c[k];
    for (int j = 1; j < k; ++j) rest -= j * l.c[j] * a.c[k - j];
    l.c[k] = rest / (k * (1 + a.c[0]));
  }
  return l;
}
inline Taylor cos(const Taylor& a) {  // with s' = a' c, c' = -a' s
  Taylor c = constant(std::cos(a.c[0])), s = constant(std::sin(a.c[0]));
  for (int k = 1; k < 4; ++k)
    for (int j = 1; j <= k; ++j) {
      s.c[k] += j * a.c[j] * c.c[k - j] / k;
      c.c[k] -= j * a.c[j] * s.c[k - j] / k;
    }
  return c;
}

// k-th derivative of the series, k = 0 .. 3.
inline long double derivative(const Taylor& a, int k) { return a.c[k] * (k == 3 ? 6 : k == 2 ? 2 : 1); }

}  // namespace pyff::PYFF_ISA
