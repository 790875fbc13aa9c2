// Cutoffs, radial basis, activations, table addressing: values and three derivatives against Taylor arithmetic in long
// double, closed-form tables, and the places where formulas break.
#include <limits>
#include <vector>

#include "check.hpp"
#include "math/activation.hpp"
#include "math/cutoff.hpp"
#include "math/hermite.hpp"
#include "math/radial.hpp"
#include "taylor.hpp"

namespace pyff::PYFF_ISA {
namespace {

constexpr long double kPi = 3.141592653589793238462643383279502884L;

// Rounding units of T that a derivative may be off, relative to the largest magnitude of that derivative on the grid.
// The formulas are a few dozen operations; the smooth switch divides sums of them three times.
constexpr int kUnits = 64;

template <class T>
long double part(const Jet<T>& jet, int order) {
  const T parts[] = {jet.v, jet.d1, jet.d2, jet.d3};
  return parts[order];
}

template <class T>
std::vector<T> grid(double from, double to, int points) {
  std::vector<T> x(points);
  for (int k = 0; k < points; ++k) x[k] = static_cast<T>(from + (to - from) * k / (points - 1));
  return x;
}

// got(x) is a Jet, want(long double x) a Taylor series.
template <class T, class Got, class Want>
void check_derivatives(const std::vector<T>& points, Got&& got, Want&& want, int units = kUnits) {
  for (int order = 0; order < 4; ++order) {
    long double scale = 0;
    for (T x : points) scale = std::fmax(scale, std::fabs(derivative(want(x), order)));
    const long double tolerance = units * std::numeric_limits<T>::epsilon() * scale;
    for (T x : points) CHECK_NEAR(part(got(x), order), derivative(want(x), order), tolerance);
  }
}

template <class T>
void check_finite(const Jet<T>& jet) {
  for (int order = 0; order < 4; ++order) CHECK(std::isfinite(part(jet, order)));
}

// cutoffs

constexpr Cutoff cutoff_of(CutoffKind kind) { return {static_cast<int>(kind), 5.0, 3.5}; }
constexpr CutoffKind kSmoothKinds[] = {CutoffKind::cosine, CutoffKind::mollifier, CutoffKind::smooth,
                                       CutoffKind::polynomial3, CutoffKind::polynomial6};
constexpr CutoffKind kAllKinds[] = {CutoffKind::none,   CutoffKind::cosine,      CutoffKind::mollifier,
                                    CutoffKind::smooth, CutoffKind::polynomial3, CutoffKind::polynomial6};

Taylor cutoff_reference(const Cutoff& c, long double x) {
  const Taylor d = variable(x);
  switch (static_cast<CutoffKind>(c.kind)) {
    case CutoffKind::none:
      return constant(1);
    case CutoffKind::cosine: {
      const Taylor half = cos(kPi / (2 * c.radius) * d);
      return half * half;
    }
    case CutoffKind::mollifier:
      return exp(constant(1) - c.radius * c.radius * constant(1) / (c.radius * c.radius - d * d));
    case CutoffKind::smooth: {
      if (x <= c.onset) return constant(1);
      const Taylor t = (d - constant(c.onset)) / constant(c.radius - c.onset);
      // f(1-t) / (f(t) + f(1-t)) = 1 / (1 + exp(1/(1-t) - 1/t))
      return constant(1) / (1 + exp(constant(1) / (1 - t) - constant(1) / t));
    }
    case CutoffKind::polynomial3:
    case CutoffKind::polynomial6: {
      // from its other end, t = 1 - s: a sum without cancellation near the cutoff
      const Taylor s = (constant(c.radius) - d) / constant(c.radius), cube = s * s * s;
      if (static_cast<CutoffKind>(c.kind) == CutoffKind::polynomial3)
        return cube * (constant(10) - 15 * s + 6 * (s * s));
      return cube * (constant(56) - 210 * s + 336 * (s * s) - 280 * cube + 120 * (cube * s) - 21 * (cube * s * s));
    }
  }
  return constant(0);
}

template <class T>
void check_cutoff_derivatives() {
  for (CutoffKind kind : kAllKinds) {
    const Cutoff c = cutoff_of(kind);
    check_derivatives<T>(
        grid<T>(0.0, 4.99, 997), [&](T d) { return cutoff(c, d); },
        [&](long double d) { return cutoff_reference(c, d); });
  }
}

template <class T>
void check_cutoff_ends() {
  const T inf = std::numeric_limits<T>::infinity(), tiny = std::numeric_limits<T>::min();
  for (CutoffKind kind : kAllKinds) {
    const Cutoff c = cutoff_of(kind);
    const T rc = static_cast<T>(c.radius), onset = static_cast<T>(c.onset);
    for (T d : {T(0), tiny, std::nextafter(onset, T(0)), onset, std::nextafter(onset, inf), std::nextafter(rc, T(0)),
                rc, std::nextafter(rc, inf), T(100), inf})
      check_finite(cutoff(c, d));
    CHECK_EQUAL(cutoff(c, T(0)).v, T(1));
    CHECK_EQUAL(cutoff(c, tiny).v, T(1));
    for (T d : {rc, std::nextafter(rc, inf), inf})
      for (int order = 0; order < 4; ++order) CHECK_EQUAL(part(cutoff(c, d), order), 0.0L);
  }
  for (CutoffKind kind : kSmoothKinds) {
    const Cutoff c = cutoff_of(kind);
    const Jet<T> inside = cutoff(c, std::nextafter(static_cast<T>(c.radius), T(0)));
    // value and slope meet 0 at the cutoff; the curvature too but for the cosine's
    CHECK_NEAR(inside.v, 0, std::numeric_limits<T>::epsilon());
    CHECK_NEAR(inside.d1, 0, 4 * std::numeric_limits<T>::epsilon());
    // the curvature of the polynomials falls linearly, by at most 336 / rc^2 per unit of t
    if (kind != CutoffKind::cosine) CHECK_NEAR(inside.d2, 0, 16 * std::numeric_limits<T>::epsilon());
  }
  CHECK_EQUAL(cutoff(cutoff_of(CutoffKind::none), std::nextafter(T(5), T(0))).v, T(1));
}

// radial bases

// 20 centres on [0, 5] with the width of one spacing, as the SchNet presets use
RadialBasis gaussians() {
  const double spacing = 5.0 / 19;
  return {static_cast<int>(RadialKind::gaussian), 0.0, spacing, 0.5 / (spacing * spacing), 20};
}
RadialBasis exp_gaussians() {  // PhysNet's for a cutoff of 5
  const double span = 1 - std::exp(-5.0), width = span / 16;
  return {static_cast<int>(RadialKind::exp_gaussian), std::exp(-5.0), span / 31, 1 / (width * width), 32};
}
constexpr RadialBasis bernsteins(int size) {
  return {static_cast<int>(RadialKind::bernstein), 0.0, 0.0, 0.9448630629184640, size};
}
RadialBasis bessels() { return {static_cast<int>(RadialKind::bessel), 0.0, 0.0, static_cast<double>(kPi) / 5, 20}; }

Taylor power(const Taylor& x, int n) {
  Taylor p = constant(1);
  for (int k = 0; k < n; ++k) p = p * x;
  return p;
}

// The parameters are those the formula holds in T: their rounding is the basis, not an error.
template <class T>
Taylor basis_reference(const RadialBasis& b, int k, long double at) {
  const long double centre = static_cast<T>(b.start + k * b.spacing), gamma = static_cast<T>(b.gamma);
  const Taylor d = variable(at);
  switch (static_cast<RadialKind>(b.kind)) {
    case RadialKind::gaussian:
    case RadialKind::exp_gaussian: {
      const Taylor x = (static_cast<RadialKind>(b.kind) == RadialKind::gaussian ? d : exp(-d)) - constant(centre);
      return exp(-(gamma * (x * x)));
    }
    case RadialKind::bernstein: {
      const int n = b.size - 1;
      long double choose = 1;
      for (int j = 1; j <= k; ++j) choose = choose * (n - k + j) / j;
      const Taylor x = exp(-(gamma * d));
      return choose * (power(x, k) * power(1 - x, n - k));
    }
    case RadialKind::bessel: {
      const long double w = static_cast<T>((k + 1) * b.gamma);
      return cos(w * d - constant(kPi / 2)) / d;
    }
  }
  return constant(0);
}

template <class T>
void check_basis(const RadialBasis& basis) {
  const bool bessel = basis.kind == static_cast<int>(RadialKind::bessel);
  // sin(x) / x by Taylor arithmetic loses its own digits at small x: the series there has a test of its own
  const auto points = grid<T>(bessel ? 0.3 : 0.0, 5.0, 501);
  // 128 Bernstein polynomials have exponents k gamma d of 100 and more, whose rounding costs as many units
  for (int k : {0, 1, 7, basis.size - 2, basis.size - 1}) {
    check_derivatives<T>(
        points, [&](T d) { return radial_basis(basis, k, d); },
        [&](long double d) { return basis_reference<T>(basis, k, d); }, 2 * kUnits);
    for (T d : {T(0), std::numeric_limits<T>::min(), T(1e-4), T(1000)}) check_finite(radial_basis(basis, k, d));
  }
}

template <class T>
void check_bases() {
  for (const RadialBasis& basis : {gaussians(), exp_gaussians(), bernsteins(32), bernsteins(5), bernsteins(128), bessels()})
    check_basis<T>(basis);
}

// sin(x) / x and derivatives by their series in long double, where the closed forms cancel.
template <class T>
void check_sinc_series() {
  for (T x : grid<T>(0.0, 1.5, 151)) {
    long double want[4] = {}, c = 1;  // c = (-1)^n / (2n + 1)!
    for (int n = 0; n < 16; ++n, c /= -(2.0L * n) * (2 * n + 1)) {
      const long double t = x;
      long double falling = c;
      for (int order = 0; order < 4 && order <= 2 * n; falling *= 2 * n - order, ++order)
        want[order] += falling * std::pow(t, 2 * n - order);
    }
    const Jet<T> got = sinc(x);
    for (int order = 0; order < 4; ++order)
      CHECK_NEAR(part(got, order), want[order], 32 * std::numeric_limits<T>::epsilon());
  }
}

// activations

Taylor activation_reference(Activation kind, long double at) {
  const Taylor x = variable(at);
  const bool right = at >= 0;
  const Taylor e = exp(right ? -x : x);  // never large
  switch (kind) {
    case Activation::identity:
      return x;
    case Activation::ssp:
      return (right ? x : constant(0)) + log1p(e) - constant(std::log(2.0L));
    case Activation::silu:
      return (right ? x : x * e) / (1 + e);
    case Activation::tanh: {
      const Taylor q = (1 - e * e) / (1 + e * e);
      return right ? q : -q;
    }
  }
  return constant(0);
}

constexpr Activation kActivations[] = {Activation::identity, Activation::ssp, Activation::silu, Activation::tanh};

// Lane 0 of a vector call whose other lanes hold other numbers.
template <class T>
Jet<T> vector_activation(Activation kind, T x) {
  Vec<T> v = splat(T(0.5));
  v[0] = x;
  const Jet<Vec<T>> jet = activation(kind, v);
  return {jet.v[0], jet.d1[0], jet.d2[0], jet.d3[0]};
}

template <class T>
void check_activations() {
  for (Activation kind : kActivations) {
    const auto want = [&](long double x) { return activation_reference(kind, x); };
    const auto points = grid<T>(-30.0, 30.0, 1201);
    check_derivatives<T>(points, [&](T x) { return activation(kind, x); }, want);
    check_derivatives<T>(points, [&](T x) { return vector_activation(kind, x); }, want);
    const T tiny = std::numeric_limits<T>::min();
    for (T x : {T(0), -T(0), tiny, -tiny, T(1e4), T(-1e4)}) {
      check_finite(activation(kind, x));
      check_finite(vector_activation(kind, x));
    }
  }
}

// The tail of ssp' = sigmoid keeps its digits: a relative check where an absolute one sees only zeros.
template <class T>
void check_sigmoid_tail(double last) {
  for (T x : grid<T>(-last, -1.0, 300)) {
    const long double want = 1 / (1 + std::exp(-static_cast<long double>(x)));
    const long double tolerance = 16 * std::numeric_limits<T>::epsilon() * want;
    CHECK_NEAR(activation(Activation::ssp, x).d1, want, tolerance);
    CHECK_NEAR(vector_activation(Activation::ssp, x).d1, want, tolerance);
  }
}

}  // namespace

TEST(cutoff_table) {
  // 0.5 (1 + cos(pi x)) at x = 0, 1/3, 1/2, 2/3
  const Cutoff cosine{static_cast<int>(CutoffKind::cosine), 6.0, 0.0};
  CHECK_NEAR(cutoff(cosine, 0.0).v, 1.0, 0);
  CHECK_NEAR(cutoff(cosine, 2.0).v, 0.75, 1e-15);
  CHECK_NEAR(cutoff(cosine, 3.0).v, 0.5, 1e-15);
  CHECK_NEAR(cutoff(cosine, 4.0).v, 0.25, 1e-15);
  CHECK_NEAR(cutoff(cosine, 3.0).d1, -kPi / 12, 1e-15);
  // exp(1 - 1 / (1 - 1/4)) = exp(-1/3)
  const Cutoff mollifier{static_cast<int>(CutoffKind::mollifier), 6.0, 0.0};
  CHECK_NEAR(cutoff(mollifier, 3.0).v, std::exp(-1.0L / 3), 1e-15);
  // half way between onset and cutoff the switch is one half, by symmetry, with slope -2 / (rc - onset)
  const Cutoff smooth{static_cast<int>(CutoffKind::smooth), 6.0, 4.0};
  CHECK_NEAR(cutoff(smooth, 5.0).v, 0.5, 1e-15);
  CHECK_NEAR(cutoff(smooth, 5.0).d1, -1.0, 1e-14);
  CHECK_EQUAL(cutoff(smooth, 4.0).v, 1.0);
  // 1 - 10/8 + 15/16 - 6/32 and 1 - 28/64 + 48/128 - 21/256
  const Cutoff p3{static_cast<int>(CutoffKind::polynomial3), 6.0, 0.0};
  CHECK_NEAR(cutoff(p3, 3.0).v, 0.5, 1e-15);
  CHECK_NEAR(cutoff(p3, 3.0).d1, -30.0 / 16 / 6, 1e-15);
  const Cutoff p6{static_cast<int>(CutoffKind::polynomial6), 6.0, 0.0};
  CHECK_NEAR(cutoff(p6, 3.0).v, 219.0 / 256, 1e-15);
}

TEST(the_mollifier_is_the_exponential_cutoff) {
  const Cutoff c{static_cast<int>(CutoffKind::mollifier), 6.0, 0.0};
  for (double d : grid<double>(0.0, 5.9, 60))
    CHECK_NEAR(cutoff(c, d).v, std::exp(-d * d / ((6.0L - d) * (6.0L + d))), 1e-14);
}

TEST(cutoff_derivatives_float) { check_cutoff_derivatives<float>(); }
TEST(cutoff_derivatives_double) { check_cutoff_derivatives<double>(); }
TEST(cutoff_ends_float) { check_cutoff_ends<float>(); }
TEST(cutoff_ends_double) { check_cutoff_ends<double>(); }

TEST(cutoffs_decrease) {
  for (CutoffKind kind : kSmoothKinds)
    for (double d : grid<double>(0.0, 5.0, 2001)) {
      const Jet<double> c = cutoff(cutoff_of(kind), d);
      CHECK(c.d1 <= 0 && c.v >= 0 && c.v <= 1);
    }
}

TEST(an_unknown_distance_weighs_nothing) {
  for (CutoffKind kind : kAllKinds)
    CHECK_EQUAL(cutoff(cutoff_of(kind), std::numeric_limits<double>::quiet_NaN()).v, 0.0);
}

TEST(radial_basis_table) {
  const RadialBasis gauss{static_cast<int>(RadialKind::gaussian), 1.0, 0.5, 2.0, 4};
  CHECK_EQUAL(radial_basis(gauss, 2, 2.0).v, 1.0);
  CHECK_EQUAL(radial_basis(gauss, 2, 2.0).d1, 0.0);
  CHECK_EQUAL(radial_basis(gauss, 2, 2.0).d2, -4.0);
  CHECK_NEAR(radial_basis(gauss, 0, 2.0).v, std::exp(-2.0L), 1e-16);
  const RadialBasis exp_gauss{static_cast<int>(RadialKind::exp_gaussian), 0.0, 0.5, 2.0, 3};
  CHECK_NEAR(radial_basis(exp_gauss, 1, std::log(4.0)).v, std::exp(-0.125L), 1e-16);
  // x = 1/2 makes C(3, k) / 8
  const RadialBasis bernstein{static_cast<int>(RadialKind::bernstein), 0.0, 0.0, 2.0, 4};
  const double half = std::log(2.0) / 2;
  for (int k = 0; k < 4; ++k) CHECK_NEAR(radial_basis(bernstein, k, half).v, k % 3 ? 0.375 : 0.125, 1e-15);
  // at d = 0: b_n = 1 with slope -gamma n, b_(n-1) = 0 with slope gamma n, b_0 of order d^n
  CHECK_EQUAL(radial_basis(bernstein, 3, 0.0).v, 1.0);
  CHECK_EQUAL(radial_basis(bernstein, 3, 0.0).d1, -6.0);
  CHECK_EQUAL(radial_basis(bernstein, 2, 0.0).d1, 6.0);
  CHECK_EQUAL(radial_basis(bernstein, 0, 0.0).d3, 48.0);
  const RadialBasis bessel{static_cast<int>(RadialKind::bessel), 0.0, 0.0, static_cast<double>(kPi) / 4, 3};
  CHECK_NEAR(radial_basis(bessel, 0, 2.0).v, 0.5, 1e-15);
  CHECK_NEAR(radial_basis(bessel, 1, 2.0).v, 0, 1e-15);
  CHECK_NEAR(radial_basis(bessel, 2, 0.0).v, 3 * kPi / 4, 1e-15);
}

TEST(bernsteins_sum_to_one) {
  for (double d : grid<double>(0.0, 6.0, 61)) {
    double sum = 0, slope = 0;
    for (int k = 0; k < 128; ++k) {
      sum += radial_basis(bernsteins(128), k, d).v;
      slope += radial_basis(bernsteins(128), k, d).d1;
    }
    CHECK_NEAR(sum, 1, 1e-13);
    CHECK_NEAR(slope, 0, 1e-12);
  }
}

TEST(radial_basis_derivatives_float) { check_bases<float>(); }
TEST(radial_basis_derivatives_double) { check_bases<double>(); }
TEST(sinc_near_zero_float) { check_sinc_series<float>(); }
TEST(sinc_near_zero_double) { check_sinc_series<double>(); }

TEST(activation_table) {
  const long double ln2 = std::log(2.0L);
  CHECK_NEAR(activation(Activation::ssp, 0.0).v, 0, 1e-16);
  CHECK_NEAR(activation(Activation::ssp, 0.0).d1, 0.5, 0);
  CHECK_NEAR(activation(Activation::ssp, 0.0).d2, 0.25, 0);
  CHECK_NEAR(activation(Activation::ssp, 700.0).v, 700 - ln2, 1e-12);
  CHECK_NEAR(activation(Activation::ssp, -700.0).v, -ln2, 1e-15);
  CHECK_NEAR(activation(Activation::silu, 0.0).d1, 0.5, 0);
  CHECK_NEAR(activation(Activation::silu, 0.0).d2, 0.5, 0);
  CHECK_NEAR(activation(Activation::silu, 1.0).v, 0.73105857863000487925L, 1e-15);
  CHECK_NEAR(activation(Activation::tanh, 1.0).v, 0.76159415595576488812L, 1e-15);
  CHECK_NEAR(activation(Activation::tanh, 1.0).d1, 0.41997434161402606940L, 1e-15);
}

TEST(activation_derivatives_float) { check_activations<float>(); }
TEST(activation_derivatives_double) { check_activations<double>(); }
TEST(sigmoid_tail_float) { check_sigmoid_tail<float>(80); }
TEST(sigmoid_tail_double) { check_sigmoid_tail<double>(700); }

TEST(table_point_addresses_the_interval) {
  const auto at = [](double d) { return table_point(d, 1.0, 4.0, 8); };  // 1 .. 3 in steps of 1/4
  CHECK_EQUAL(at(1.0).interval, std::int64_t{0});
  CHECK_EQUAL(at(1.0).u, 0.0);
  CHECK_EQUAL(at(1.375).interval, std::int64_t{1});
  CHECK_EQUAL(at(1.375).u, 0.5);
  CHECK_EQUAL(at(2.75).interval, std::int64_t{7});
  CHECK_EQUAL(at(3.0).interval, std::int64_t{7});
  CHECK_EQUAL(at(3.0).u, 1.0);
  CHECK_EQUAL(at(0.75).interval, std::int64_t{0});
  CHECK_EQUAL(at(0.75).u, -1.0);
}

TEST(warped_point_without_decay_is_the_table_point) {
  for (const double d : {0.75, 1.0, 1.375, 2.75, 3.0}) {
    const TablePoint even = table_point(d, 1.0, 4.0, 8);
    const WarpedPoint at = warped_point(d, 1.0, 0.25, 0.0, 8);
    CHECK_EQUAL(at.interval, even.interval);
    CHECK_EQUAL(at.u, even.u);
    CHECK_EQUAL(at.d1, 4.0);
    CHECK_EQUAL(at.d2, 0.0);
  }
}

// k + u = (e^-start - e^-d) e^start / spacing: a hundred intervals over lengths from 0.4 to 5
TEST(warped_point_is_even_in_the_exponential_of_the_distance) {
  const double start = 0.4, spacing = (1 - std::exp(-4.6)) / 100;
  const auto total = [&](double d) {
    const WarpedPoint at = warped_point(d, start, spacing, 1.0, 100);
    return static_cast<double>(at.interval) + at.u;
  };
  for (const double d : {0.4, 0.5, 1.7, 4.99}) {
    const WarpedPoint at = warped_point(d, start, spacing, 1.0, 100);
    CHECK_NEAR(total(d), (std::exp(-start) - std::exp(-d)) * std::exp(start) / spacing, 1e-11);
    const double h = 1e-4;
    CHECK_NEAR(at.d1, (total(d + h) - total(d - h)) / (2 * h), 1e-5);
    CHECK_NEAR(at.d2, (total(d + h) - 2 * total(d) + total(d - h)) / (h * h), 1e-3);
  }
  CHECK_NEAR(total(5.0), 100.0, 1e-11);
}

}  // namespace pyff::PYFF_ISA
