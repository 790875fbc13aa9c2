// Radial profiles of kernels against Taylor arithmetic in long double, and at r = 0.
#include <limits>

#include "check.hpp"
#include "math/matern.hpp"
#include "taylor.hpp"

namespace pyff::PYFF_ISA {
namespace {

constexpr long double kRoot5 = 2.236067977499789696409173668731276235L;
constexpr double kUnits = 16 * std::numeric_limits<double>::epsilon();

Taylor reference(const RadialProfile& p, long double r) {
  const Taylor x = variable(r);
  if (p.kind == static_cast<int>(RadialProfileKind::rbf)) return exp(-0.5L / (p.sigma * (long double)p.sigma) * x * x);
  const Taylor u = kRoot5 / p.sigma * x;
  return (1 + u + 1.0L / 3 * u * u) * exp(-1 * u);
}

template <class T>
T lane(T x) {
  return x;
}
double lane(DoubleVec x) { return x[kLanes<double> - 1]; }

// got(r^2) -> {k, g1, g2}
template <class T, class Profile>
void check_profile(const Profile& profile, const RadialProfile& p, double r) {
  const Taylor want = reference(p, r);
  const auto got = profile(Constant<T>::of(r * r));
  const long double d1 = want.c[1], d2 = 2 * want.c[2], g1 = -d1 / r, g2 = (d2 - d1 / r) / (r * (long double)r);
  CHECK_NEAR(lane(got.k), want.c[0], kUnits * want.c[0]);
  CHECK_NEAR(lane(got.g1), g1, kUnits * g1);
  // the reference cancels at small r
  CHECK_NEAR(lane(got.g2), g2, kUnits * g2 + 1e-18L / (p.sigma * r * r * (long double)r));
}

}  // namespace

TEST(radial_profiles_and_their_derivatives) {
  for (int kind : {0, 1})
    for (double sigma : {0.7, 1.0, 47.195}) {
      const RadialProfile p{kind, sigma};
      with_radial_profile(p, [&](const auto& profile) {
        for (double r : {1e-3, 0.1, 0.5, 1.0, 3.0, 6.0}) {
          check_profile<double>(profile, p, r * sigma);
          check_profile<DoubleVec>(profile, p, r * sigma);
        }
      });
    }
}

TEST(radial_profiles_at_zero) {
  const double s = 1.7;
  with_radial_profile({0, s}, [&](const auto& profile) {
    const auto got = profile(0.0);
    CHECK_EQUAL(got.k, 1.0);
    CHECK_NEAR(got.g1, 5 / (3 * s * s), kUnits);
    CHECK_NEAR(got.g2, 25 / (3 * s * s * s * s), kUnits);
  });
  with_radial_profile({1, s}, [&](const auto& profile) {
    const auto got = profile(0.0);
    CHECK_EQUAL(got.k, 1.0);
    CHECK_NEAR(got.g1, 1 / (s * s), kUnits);
    CHECK_NEAR(got.g2, 1 / (s * s * s * s), kUnits);
  });
}

}  // namespace pyff::PYFF_ISA
