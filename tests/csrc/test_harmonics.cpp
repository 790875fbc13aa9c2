// Dual numbers against Taylor arithmetic; spherical harmonics against associated Legendre functions in long double,
// by their integrals over the sphere, and their pullback against dual numbers.
#include "math/harmonics.hpp"

#include <limits>
#include <vector>

#include "check.hpp"
#include "math/activation.hpp"
#include "math/dual.hpp"
#include "taylor.hpp"

namespace pyff::PYFF_ISA {
namespace {

constexpr long double kPi = 3.141592653589793238462643383279502884L;

// dual numbers

template <class T>
void check_dual(Dual<T> got, const Taylor& want, int units = 8) {
  const long double eps = std::numeric_limits<T>::epsilon();
  CHECK_NEAR(got.v, derivative(want, 0), units * eps * (1 + std::fabs(derivative(want, 0))));
  CHECK_NEAR(got.d, derivative(want, 1), units * eps * (1 + std::fabs(derivative(want, 1))));
}

template <class T>
void check_dual_arithmetic() {
  for (T at : {T(0.25), T(0.75), T(1.5)}) {
    const Dual<T> x{at, T(1)}, y = x * x + 2;
    const Taylor s = variable(at), t = s * s + constant(2);
    check_dual(y, t);
    check_dual(-y, -t);
    check_dual(x - y, s - t);
    check_dual(x * y, s * t);
    check_dual(x / y, s / t);
    check_dual(3 - x, 3 - s);
    check_dual(x - T(0.5), s - constant(0.5));
    check_dual(1 / y, constant(1) / t);
    check_dual(y / 4, 0.25L * t);
    check_dual(exp_of(x), exp(s));
    check_dual(log1p_unit(x / 2), log1p(0.5L * s));
    check_dual(abs_of(-x), s);
    check_dual(sqrt_of(y * y), t);
    const Taylor e = exp(2 * s);
    check_dual(tanh_of(x), (e - constant(1)) / (e + constant(1)));
    check_dual(select(x > T(1), x, y), at > 1 ? s : t);
    check_dual(select(x <= y, x, y), s);
    Dual<T> z = x;
    z += y;
    z *= 2;
    z -= x;
    z /= y;
    check_dual(z, (s + 2 * t) / t);
  }
}

template <class T>
void check_dual_of_vectors() {
  const Dual<Vec<T>> x{splat(T(0.5)), splat(T(1))};
  for (Activation kind : {Activation::identity, Activation::ssp, Activation::silu, Activation::tanh}) {
    const Jet<Dual<Vec<T>>> dual = activation(kind, x);
    const Jet<T> jet = activation(kind, T(0.5));
    const T tolerance = 8 * std::numeric_limits<T>::epsilon();
    for (int lane : {0, kLanes<T> - 1}) {
      CHECK_NEAR(dual.v.v[lane], jet.v, tolerance);
      CHECK_NEAR(dual.v.d[lane], jet.d1, tolerance);
      CHECK_NEAR(dual.d1.d[lane], jet.d2, tolerance);
      CHECK_NEAR(dual.d2.d[lane], jet.d3, tolerance);
    }
  }
}

// spherical harmonics

// P_l^m(z) without the sign (-1)^m, by the recursion in l.
long double legendre(int l, int m, long double z) {
  long double p = 1, below = 0;
  for (int k = 1; k <= m; ++k) p *= (2 * k - 1) * std::sqrt(1 - z * z);
  for (int k = m + 1; k <= l; ++k) {
    const long double next = ((2 * k - 1) * z * p - (k + m - 1) * below) / (k - m);
    below = p;
    p = next;
  }
  return p;
}

long double exact(int l, int m, long double z, long double angle) {
  const int k = std::abs(m);
  long double norm = (2 * l + 1) / (4 * kPi);
  for (int f = l - k + 1; f <= l + k; ++f) norm /= f;
  const long double value = std::sqrt(norm) * legendre(l, k, z);
  return m == 0 ? value : std::sqrt(2.0L) * value * (m > 0 ? std::cos(k * angle) : std::sin(k * angle));
}

struct Direction {
  long double z, angle, weight;
};

// Gauss-Legendre nodes in z, equal angles: integrates polynomials of degree 9 exactly.
std::vector<Direction> sphere() {
  constexpr int n = 5, turns = 12;
  std::vector<Direction> out;
  for (int k = 0; k < n; ++k) {
    long double z = std::cos(kPi * (k + 0.75L) / (n + 0.5L)), slope = 1;
    for (int step = 0; step < 50; ++step) {
      slope = n * (z * legendre(n, 0, z) - legendre(n - 1, 0, z)) / (z * z - 1);
      z -= legendre(n, 0, z) / slope;
    }
    for (int t = 0; t < turns; ++t)
      out.push_back({z, 2 * kPi * (t + 0.3L) / turns, 2 / ((1 - z * z) * slope * slope) * 2 * kPi / turns});
  }
  return out;
}

template <class V>
struct Unit {
  V u[3];
};

template <class V>
Unit<V> unit(const Direction& at) {
  const long double r = std::sqrt(1 - at.z * at.z);
  return {{V(r * std::cos(at.angle)), V(r * std::sin(at.angle)), V(at.z)}};
}

template <class T>
void check_harmonics() {
  const long double tolerance = 16 * std::numeric_limits<T>::epsilon();
  for (int l = 1; l <= kMaxDegree; ++l)
    for (const Direction& at : sphere()) {
      T y[2 * kMaxDegree + 1], back[2 * kMaxDegree + 1];
      harmonics(l, unit<T>(at).u, y);
      const T opposite[3] = {-unit<T>(at).u[0], -unit<T>(at).u[1], -unit<T>(at).u[2]};
      harmonics(l, opposite, back);
      for (int m = -l; m <= l; ++m) {
        CHECK_NEAR(y[l + m], exact(l, m, at.z, at.angle), tolerance);
        CHECK_EQUAL(back[l + m], l % 2 ? -y[l + m] : y[l + m]);
      }
    }
}

template <class T>
void check_pullback() {
  const long double tolerance = 64 * std::numeric_limits<T>::epsilon();
  for (int l = 1; l <= kMaxDegree; ++l)
    for (const Direction& at : sphere()) {
      const Unit<T> u = unit<T>(at);
      T bar[2 * kMaxDegree + 1], got[3] = {1, 2, 3};  // adds to what is there
      for (int m = 0; m <= 2 * l; ++m) bar[m] = T(std::sin(1.7 * m + 0.4));
      harmonics_pullback(l, u.u, bar, got);
      for (int k = 0; k < 3; ++k) {
        Dual<T> along[3] = {{u.u[0], T(k == 0)}, {u.u[1], T(k == 1)}, {u.u[2], T(k == 2)}}, y[2 * kMaxDegree + 1];
        harmonics(l, along, y);
        long double want = k + 1;
        for (int m = 0; m <= 2 * l; ++m) want += static_cast<long double>(bar[m]) * y[m].d;
        CHECK_NEAR(got[k], want, tolerance);
      }
    }
}

}  // namespace

TEST(dual_arithmetic_float) { check_dual_arithmetic<float>(); }
TEST(dual_arithmetic_double) { check_dual_arithmetic<double>(); }
TEST(dual_of_float_vectors) { check_dual_of_vectors<float>(); }
TEST(dual_of_double_vectors) { check_dual_of_vectors<double>(); }

TEST(harmonics_float_equal_legendre_functions) { check_harmonics<float>(); }
TEST(harmonics_double_equal_legendre_functions) { check_harmonics<double>(); }
TEST(harmonics_pullback_float_equals_dual_numbers) { check_pullback<float>(); }
TEST(harmonics_pullback_double_equals_dual_numbers) { check_pullback<double>(); }

TEST(harmonics_are_orthonormal) {
  constexpr int n = 24;
  std::vector<double> overlap(n * n);
  for (const Direction& at : sphere()) {
    double y[n];
    int first = 0;
    for (int l = 1; l <= kMaxDegree; first += n_components(l), ++l) harmonics(l, unit<double>(at).u, y + first);
    for (int a = 0; a < n; ++a)
      for (int b = 0; b < n; ++b) overlap[a * n + b] += static_cast<double>(at.weight) * y[a] * y[b];
  }
  for (int a = 0; a < n; ++a)
    for (int b = 0; b < n; ++b) CHECK_NEAR(overlap[a * n + b], a == b ? 1 : 0, 1e-14);
}

TEST(harmonics_of_vectors_equal_those_of_their_lanes) {
  const auto directions = sphere();
  DoubleVec u[3] = {}, y[2 * kMaxDegree + 1];
  for (int lane = 0; lane < kLanes<double>; ++lane)
    for (int k = 0; k < 3; ++k) u[k][lane] = unit<double>(directions[lane]).u[k];
  for (int l = 1; l <= kMaxDegree; ++l) {
    harmonics(l, u, y);
    for (int lane = 0; lane < kLanes<double>; ++lane) {
      double one[2 * kMaxDegree + 1];
      harmonics(l, unit<double>(directions[lane]).u, one);
      for (int m = 0; m <= 2 * l; ++m) CHECK_NEAR(y[m][lane], one[m], 1e-15);
    }
  }
}

}  // namespace pyff::PYFF_ISA
