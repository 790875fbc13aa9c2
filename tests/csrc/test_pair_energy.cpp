// Error function, smooth step and pair laws: values against long double, hand-written derivatives against dual numbers,
// scalars against vectors; compiled once per instruction set.
#include <limits>
#include <vector>

#include "check.hpp"
#include "math/pair_energy.hpp"
#include "math/simd.hpp"

namespace pyff::PYFF_ISA {
namespace {

constexpr double kEps = 2.3e-16;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Lane 0 of a vector whose other lanes hold other numbers.
DoubleVec lanes(double x, double others) {
  DoubleVec v = splat(others);
  v[0] = x;
  return v;
}

// error function

struct Exact {
  long double ratio, slope, rest;
};

Exact exact_error_function(long double x) {
  const long double two = 1.12837916709551257389615890312154517L, z = x * x;
  Exact e{std::erf(x) / x, 0, std::erfc(x)};
  e.slope = (e.ratio - two * std::exp(-z)) / (2 * z);
  if (x < 0.3L) {  // the closed form cancels: the series
    long double term = two, sum = 0;
    for (int n = 0; n < 30; ++n, term *= -z / n) sum += term / (2 * n + 3);
    e.slope = sum;
  }
  return e;
}

template <class N>
void check_error_function(double x, const ErrorFunction<N>& got) {
  const Exact want = exact_error_function(x);
  const auto at = [](N v) -> double {
    if constexpr (std::is_same_v<N, double>)
      return v;
    else
      return v[0];
  };
  CHECK_NEAR(at(got.ratio) / want.ratio, 1, 4 * kEps);
  CHECK_NEAR(at(got.slope) / want.slope, 1, 12 * kEps);
  // exp(-x^2) carries x^2 roundings of x^2
  if (want.rest > 1e-290L) CHECK_NEAR(at(got.rest) / want.rest, 1, (8 + 2 * x * x) * kEps);
}

// seventh root

void check_seventh_root(double x) {
  const double want = static_cast<double>(1 / std::pow(static_cast<long double>(x), 1.0L / 7));
  CHECK_NEAR(inverse_seventh_root(x) / want, 1, 2 * kEps);
  CHECK_NEAR(inverse_seventh_root(lanes(x, 3.0))[0] / want, 1, 2 * kEps);
  if (x > 1e-30 && x < 1e30) CHECK_NEAR(inverse_seventh_root(Dual<double>{x, 7 * x}).d / want, -1, 16 * kEps);
}

// laws

PairLaw law_of(PairKind kind, double cutoff) {
  PairLaw p{static_cast<int>(kind), 14.4, 4.0, cutoff, kInfinity, 1.0, 1.0, {1, 6.0, 0.0}};
  if (kind == PairKind::dispersion) p = {4, 27.2, 0.529, cutoff, 2.0, 1.2, 2.55, {1, 6.0, 0.0}};
  if (kind == PairKind::zbl) p.width = 5.0;
  return p;
}

const double kLawParameters[8] = {3.2, 0.94, 0.4, 0.2, 0.18, 0.51, 0.28, 0.03};
const double kAtoms[2][2] = {{12.0, 46.6}, {5.4, 15.6}};
constexpr PairKind kKinds[] = {PairKind::point,    PairKind::damped,     PairKind::erfc,
                               PairKind::softened, PairKind::dispersion, PairKind::zbl};
const double kDistances[] = {0.35, 0.999, 1.0, 1.5, 2.9, 3.1, 3.99, 4.01, 4.6, 5.2, 6.5, 7.9};

// The dual numbers of one direction: 0 the distance, then the receiver's parameters, then the law's.
template <class Body>
void with_direction(const PairLaw& p, double r, int direction, Body&& body) {
  using D = Dual<double>;
  D law[8], a[2], b[2];
  for (int k = 0; k < 8; ++k) law[k] = {kLawParameters[k], direction == 3 + k ? 1.0 : 0.0};
  for (int k = 0; k < 2; ++k) a[k] = {kAtoms[0][k], direction == 1 + k ? 1.0 : 0.0}, b[k] = {kAtoms[1][k], 0};
  with_pair_law(p, law, [&](const auto& f) {
    const D x{r, direction == 0 ? 1.0 : 0.0};
    body(f(x, 1 / x, a, b));
  });
}

void check_derivatives(const PairLaw& p, double r) {
  int n_atom = 0, n_law = 0;
  double energy = 0, largest = 0;
  std::vector<double> by_hand(11), by_dual(11);
  with_pair_law(p, kLawParameters, [&](const auto& f) {
    n_atom = std::decay_t<decltype(f)>::kAtom, n_law = std::decay_t<decltype(f)>::kLaw;
    const auto terms = f(r, 1 / r, kAtoms[0], kAtoms[1]), swapped = f(r, 1 / r, kAtoms[1], kAtoms[0]);
    energy = terms.energy;
    CHECK_NEAR(swapped.energy, energy, 8 * kEps * std::fabs(energy));
    CHECK_NEAR(swapped.pull, terms.pull, 40 * kEps * std::fabs(terms.pull));
    by_hand[0] = terms.pull * r;
    for (int k = 0; k < n_atom; ++k) by_hand[1 + k] = terms.atom[k];
    for (int k = 0; k < n_law; ++k) by_hand[3 + k] = terms.law[k];
  });
  for (int k = 0; k < 11; ++k)
    with_direction(p, r, k, [&](const auto& terms) {
      CHECK_NEAR(terms.energy.v, energy, 8 * kEps * std::fabs(energy));
      by_dual[k] = terms.energy.d;
      largest = std::fmax(largest, std::fabs(by_dual[k]));
    });
  for (int k = 0; k < 11; ++k)
    CHECK_NEAR(by_hand[k], by_dual[k], 1e-13 * std::fabs(by_dual[k]) + 1e-14 * largest);
}

void check_vectors(const PairLaw& p, double r) {
  DoubleVec law[8];
  for (int k = 0; k < 8; ++k) law[k] = splat(kLawParameters[k]);
  const DoubleVec a[2] = {splat(kAtoms[0][0]), splat(kAtoms[0][1])}, b[2] = {splat(kAtoms[1][0]), splat(kAtoms[1][1])};
  double energy = 0, pull = 0;
  with_pair_law(p, kLawParameters, [&](const auto& f) {
    const auto terms = f(r, 1 / r, kAtoms[0], kAtoms[1]);
    energy = terms.energy, pull = terms.pull;
  });
  with_pair_law(p, law, [&](const auto& f) {
    const auto terms = f(lanes(r, 2.5), 1 / lanes(r, 2.5), a, b);
    CHECK_NEAR(terms.energy[0], energy, 1e-13 * std::fabs(energy) + 1e-16);
    CHECK_NEAR(terms.pull[0], pull, 1e-12 * std::fabs(pull) + 1e-15);
  });
}

template <class Check>
void for_laws(Check&& check) {
  for (PairKind kind : kKinds)
    for (double cutoff : {8.0, kInfinity})
      for (double r : kDistances) {
        const PairLaw p = law_of(kind, cutoff);
        if (kind != PairKind::zbl || r < 5) check(p, r);
      }
}

}  // namespace

TEST(error_function_is_accurate) {
  for (int k = 1; k <= 26000; ++k) {
    const double x = k * 1e-3;
    check_error_function(x, error_function(x, 1 / x));
    if (k % 7 == 0) check_error_function(x, error_function(lanes(x, 0.4), 1 / lanes(x, 0.4)));
  }
  for (double x : {1e-12, 1e-6, std::nextafter(1.0, 0.0), std::nextafter(1.0, 2.0)})
    check_error_function(x, error_function(x, 1 / x));
}

TEST(error_function_is_finite_at_its_ends) {
  const double two = 1.12837916709551257390;
  const ErrorFunction<double> zero = error_function(0.0, 1e100), far = error_function(1e100, 1e-100);
  CHECK_NEAR(zero.ratio, two, 2 * kEps);
  CHECK_NEAR(zero.slope, two / 3, 2 * kEps);
  CHECK_NEAR(zero.rest, 1, 0);
  CHECK_NEAR(far.ratio, 1e-100, 1e-115);
  CHECK_NEAR(far.rest, 0, 1e-300);
}

TEST(seventh_root_is_accurate) {
  for (int k = -60000; k <= 60000; ++k) check_seventh_root(std::exp(k * 0.001));
  for (double x : {1e-300, 1.0, 1e300}) check_seventh_root(x);
}

TEST(smooth_step_equals_the_smooth_cutoff) {
  const Cutoff c{static_cast<int>(CutoffKind::smooth), 7.0, 3.0};
  for (int k = 0; k <= 4000; ++k) {
    const double r = 2.5 + k * 0.00125;
    const Step<double> got = smooth_step(r, 3.0, 7.0);
    const Jet<double> want = cutoff(c, r);
    CHECK_NEAR(got.v, want.v, 8 * kEps);
    CHECK_NEAR(got.rest, 1 - want.v, 8 * kEps);
    CHECK_NEAR(got.slope, want.d1, 16 * kEps);
    const Step<DoubleVec> vector = smooth_step(lanes(r, 5.0), 3.0, 7.0);
    CHECK_NEAR(vector.v[0], got.v, 4 * kEps);
    CHECK_NEAR(vector.slope[0], got.slope, 16 * kEps);
  }
}

TEST(smooth_step_has_finite_second_derivatives) {
  for (double near : {3.0, 7.0})
    for (double h : {0.0, 1e-300, 1e-12, 1e-3, 0.0133, 0.0134, 0.05})
      for (double r : {near - h, near + h}) {
        const Step<Dual<double>> s = smooth_step(Dual<double>{r, 50.0}, 3.0, 7.0);
        CHECK(std::isfinite(s.v.d) && std::isfinite(s.rest.d) && std::isfinite(s.slope.d));
        CHECK_NEAR(s.v.d, 50 * s.slope.v, 1e-12);
      }
}

TEST(pair_laws_have_the_derivatives_of_their_energy) { for_laws(check_derivatives); }
TEST(pair_laws_of_vectors_equal_those_of_scalars) { for_laws(check_vectors); }

}  // namespace pyff::PYFF_ISA
