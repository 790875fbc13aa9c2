// The SIMD elementary functions against the standard library's, lane by lane, over their whole range.
#include <limits>
#include <vector>

#include "check.hpp"
#include "math/elementary.hpp"
#include "math/simd.hpp"

namespace pyff::PYFF_ISA {
namespace {

// Largest relative error of f against want over `points` numbers from `from` to `to`, all lanes in use.
template <class T, class F, class Want>
long double worst_relative_error(double from, double to, int points, F&& f, Want&& want) {
  long double worst = 0;
  for (int k = 0; k < points; k += kLanes<T>) {
    Vec<T> x{};
    for (int lane = 0; lane < kLanes<T>; ++lane)
      x[lane] = static_cast<T>(from + (to - from) * (k + lane) / (points + kLanes<T> - 1));
    const Vec<T> y = f(x);
    for (int lane = 0; lane < kLanes<T>; ++lane) {
      const long double exact = want(static_cast<long double>(x[lane]));
      const long double error = std::fabs(y[lane] / exact - 1);
      worst = error <= worst ? worst : error;  // a NaN is kept
    }
  }
  return worst;
}

template <class T>
long double exp_error(double from, double to) {
  return worst_relative_error<T>(
      from, to, 400000, [](Vec<T> x) { return exp_of(x); }, [](long double x) { return std::exp(x); });
}

template <class T>
long double log1p_error(double to) {
  return worst_relative_error<T>(
      to * 1e-6, to, 400000, [](Vec<T> x) { return log1p_unit(x); }, [](long double x) { return std::log1p(x); });
}

template <class T>
void check_exp_ends(double low, double high) {
  const T inf = std::numeric_limits<T>::infinity();
  for (T x : {T(low), T(high), -inf, inf, T(-1e30), T(1e30)}) {
    const T y = exp_of(splat(x))[0];
    CHECK(std::isfinite(y) && y >= std::numeric_limits<T>::min());  // clamped, a normal number
  }
  CHECK(std::isnan(exp_of(splat(std::numeric_limits<T>::quiet_NaN()))[0]));
  CHECK_EQUAL(exp_of(splat(T(0)))[0], T(1));
  CHECK_EQUAL(log1p_unit(splat(T(0)))[0], T(0));
}

template <class T>
void check_lanes() {
  std::vector<T> memory(3 * kLanes<T> + 1);
  for (std::size_t k = 0; k < memory.size(); ++k) memory[k] = static_cast<T>(k) - 2;
  const Vec<T> a = load(memory.data() + 1);  // unaligned
  store(memory.data() + kLanes<T> + 1, -a);
  T total = 0;
  for (int k = 0; k < kLanes<T>; ++k) {
    CHECK_EQUAL(a[k], static_cast<T>(k) - 1);
    CHECK_EQUAL(memory[kLanes<T> + 1 + k], 1 - static_cast<T>(k));
    CHECK_EQUAL(abs_of(a)[k], std::fabs(a[k]));
    CHECK_EQUAL(select(a > 0, a, splat(T(9)))[k], a[k] > 0 ? a[k] : T(9));
    CHECK_EQUAL(tanh_of(a)[k], std::tanh(a[k]));
    total += a[k];
  }
  CHECK_EQUAL(sum<T>(a), total);
  CHECK_EQUAL(Constant<Vec<T>>::of(0.25)[kLanes<T> - 1], T(0.25));
}

}  // namespace

// One rounding of the result and one of the polynomial: 1.2e-7 (float) and 2.2e-16 (double) each.
TEST(exp_float_is_accurate) { CHECK_NEAR(exp_error<float>(-87, 88), 0, 2e-7); }
TEST(exp_float_is_accurate_near_zero) { CHECK_NEAR(exp_error<float>(-1, 1), 0, 2e-7); }
TEST(exp_double_is_accurate) { CHECK_NEAR(exp_error<double>(-708, 709), 0, 4e-16); }
TEST(exp_double_is_accurate_near_zero) { CHECK_NEAR(exp_error<double>(-1, 1), 0, 4e-16); }
TEST(log1p_float_is_accurate) {
  for (double to : {1.0, 1e-3, 1e-20}) CHECK_NEAR(log1p_error<float>(to), 0, 2.4e-7);
}
TEST(log1p_double_is_accurate) {
  for (double to : {1.0, 1e-3, 1e-20}) CHECK_NEAR(log1p_error<double>(to), 0, 4.4e-16);
}
TEST(exp_ends_float) { check_exp_ends<float>(-87, 88); }
TEST(exp_ends_double) { check_exp_ends<double>(-708, 709); }
TEST(lanes_float) { check_lanes<float>(); }
TEST(lanes_double) { check_lanes<double>(); }

}  // namespace pyff::PYFF_ISA
