// Cardinal B-splines: weights and two derivatives against the recursion in Taylor arithmetic, and their sums.
#include "check.hpp"
#include "math/bspline.hpp"
#include "taylor.hpp"

namespace {

using namespace pyff::PYFF_ISA;

// M_n(x), Essmann's equation 4.1
Taylor cardinal(int n, const Taylor& x) {
  if (n == 2) {
    if (x.c[0] < 0 || x.c[0] > 2) return constant(0);
    return x.c[0] < 1 ? x : constant(2) - x;
  }
  const long double over = 1.0L / (n - 1);
  return over * (x * cardinal(n - 1, x) + (constant(n) - x) * cardinal(n - 1, x - constant(1)));
}

template <int Order>
void check_weights() {
  for (const double w : {0.0, 0.125, 0.5, 0.9, 1 - 1e-9}) {
    const auto s = spline_weights<Order>(w);
    double sum = 0, sum1 = 0, sum2 = 0;
    for (int t = 0; t < Order; ++t) {
      // from the right at w = 0, where pieces meet
      const Taylor want = cardinal(Order, variable(static_cast<long double>(w) + Order - 1 - t + (w == 0 ? 1e-18L : 0)));
      CHECK_NEAR(s.v[t], derivative(want, 0), 1e-15);
      CHECK_NEAR(s.d1[t], derivative(want, 1), 2e-15);
      CHECK_NEAR(s.d2[t], derivative(want, 2), 4e-15);
      sum += s.v[t];
      sum1 += s.d1[t];
      sum2 += s.d2[t];
    }
    CHECK_NEAR(sum, 1, 1e-15);
    CHECK_NEAR(sum1, 0, 1e-15);
    CHECK_NEAR(sum2, 0, 2e-15);
  }
}

}  // namespace

TEST(spline_weights_of_order_4) { check_weights<4>(); }
TEST(spline_weights_of_order_6) { check_weights<6>(); }

TEST(spline_weights_by_hand) {
  const auto s = spline_weights<4>(0.0);  // M_4 at 3, 2, 1, 0
  CHECK_NEAR(s.v[0], 1.0 / 6, 1e-16);
  CHECK_NEAR(s.v[1], 2.0 / 3, 1e-16);
  CHECK_NEAR(s.v[2], 1.0 / 6, 1e-16);
  CHECK_EQUAL(s.v[3], 0.0);
  CHECK_NEAR(s.d1[2], 0.5, 1e-16);
  CHECK_NEAR(s.d2[1], -2.0, 1e-15);
}
