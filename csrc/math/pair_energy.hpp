// Energies of pairs of atoms, e(r; a, b) = e(r; b, a), with hand-written first derivatives; run on Dual numbers they
// give second derivatives. r in A, energies in eV. Every law is smooth at its cutoff (erfc: small there) and is
// evaluated for r < cutoff only.
#pragma once

#include "core/macros.hpp"
#include "math/cutoff.hpp"
#include "math/dual.hpp"
#include "math/elementary.hpp"
#include "math/error_function.hpp"

namespace pyff {

enum class PairKind : int {
  point = 0,       // k qa qb / r; with a cutoff: shifted force
  damped = 1,      // k qa qb erf(r / length) / r; with a cutoff: shifted, with shifted force towards the cutoff
  erfc = 2,        // k qa qb erfc(r / length) / r, truncated at the cutoff: the real-space part of Ewald sums
  softened = 3,    // k qa qb (f / sqrt(r^2 + 1 A^2) + (1 - f) / r), f = step(r; length / 4, 3 length / 4)
  dispersion = 4,  // quantum Drude oscillators
  zbl = 5,         // screened nuclear repulsion
};

struct PairLaw {
  int kind;              // PairKind
  double strength;       // charges: Coulomb constant, eV A; dispersion: Hartree, eV
  double length;         // A. damped: sigma; erfc: 1 / alpha; softened: the local cutoff; dispersion: the Bohr radius
  double cutoff;         // A, pairs from here on have no energy; infinity: none
  double width;          // A. dispersion: switched off from cutoff - width on; zbl: repulsion ends here (infinity: not)
  double scale;          // dispersion: of the damping radius
  double radius_factor;  // dispersion: van der Waals radius / alpha^(1/7), atomic units
  Cutoff local;          // zbl: the model's cutoff function
};

}  // namespace pyff

namespace pyff::PYFF_ISA {

// x^(-1/7) for positive normal x: with e = 1 - x y^7 the exact value is y (1 - e)^(-1/7), twice to enough terms.
template <class V>
PYFF_HD V inverse_seventh_root(V x) {
  V y = inverse_seventh_root_guess(x);  // |e| < 0.22
  V y2 = y * y, y4 = y2 * y2, e = 1 - x * (y4 * (y2 * y));
  y = y + y * e * (((0.0458 * e + 0.0583) * e + 4.0 / 49) * e + 1.0 / 7);  // |e| < 1.5e-4
  y2 = y * y, y4 = y2 * y2, e = 1 - x * (y4 * (y2 * y));
  return y + y * e * ((20.0 / 343 * e + 4.0 / 49) * e + 1.0 / 7);
}
template <class V>
PYFF_HD Dual<V> inverse_seventh_root(Dual<V> x) {
  const V y = inverse_seventh_root(x.v), y2 = y * y, y4 = y2 * y2;
  return {y, x.d * (y4 * y4) * (-1.0 / 7)};
}

// What a law makes of a pair at r, given 1 / r too: e, (de/dr) / r, de/d(parameters of the receiver), de/d(parameters of the law).
template <class N, int Atom, int Law>
struct PairTerms {
  N energy, pull;
  N atom[Atom];
  N law[Law > 0 ? Law : 1];
};

template <class N>
struct Step {
  N v, rest, slope;  // f, 1 - f without cancellation, df/dr
};

// 1 up to `on`, 0 from `off`, smooth: f = s(1-c) / (s(1-c) + s(c)), s(c) = exp(-1/c), c = (r - on) / (off - on), as
// 1 / (1 + exp(1/(1-c) - 1/c)). cutoff(CutoffKind::smooth) is the same function with more derivatives, for scalars.
template <class N>
PYFF_HD Step<N> smooth_step(N r, double on, double off) {
  constexpr double edge = 1.0 / 300;  // f or 1 - f is exp(-300) there, and its derivatives have room in the exponent
  const double k = 1 / (off - on);
  const N x = (r - on) * k, low = Constant<N>::of(edge), high = Constant<N>::of(1 - edge);
  const N one = Constant<N>::of(1), zero = Constant<N>::of(0);
  const N c = select(x < low, low, select(x > high, high, x));
  const N rest = 1 - c, inverse = 1 / (c * rest), a = rest * inverse, b = c * inverse;
  const N e = exp_of(b - a), f = 1 / (1 + e), g = e * f;
  const N slope = -k * (f * g) * (a * a + b * b);
  const auto before = x < low, after = x > high;
  return {select(before, one, select(after, zero, f)), select(before, zero, select(after, one, g)),
          select(before, zero, select(after, zero, slope))};
}

// A function of r and its derivative divided by r.
template <class N>
struct Radial {
  N v, pull;
};

// b - b(R) - b'(R) (r - R), for b given at r and at R
template <class N>
PYFF_HD Radial<N> shifted(const Radial<N>& b, const Radial<double>& end, double R, N r, N inverse) {
  const double slope = end.pull * R;
  return {b.v - end.v - slope * (r - R), b.pull - slope * inverse};
}

template <class N>
PYFF_HD Radial<N> inverse_distance(N inverse) {
  return {inverse, -(inverse * inverse * inverse)};
}

template <class N>
PYFF_HD Radial<N> softened_distance(N r) {  // 1 / sqrt(r^2 + 1 A^2)
  return inverse_distance(1 / sqrt_of(r * r + 1));
}

template <class N>
PYFF_HD Radial<N> damped_distance(N r, N inverse, double sigma) {  // erf(r / sigma) / r
  const double a = 1 / sigma;
  const ErrorFunction<N> erf = error_function(r * a, inverse * sigma);
  return {a * erf.ratio, -2 * a * a * a * erf.slope};
}

template <class N>
PYFF_HD Radial<N> screened_distance(N r, N inverse, double length) {  // erfc(r / length) / r
  const double a = 1 / length;
  const ErrorFunction<N> erf = error_function(r * a, inverse * length);
  const N v = erf.rest * inverse;
  return {v, -(v + 1.12837916709551257390 * a * erf.gauss) * (inverse * inverse)};
}

// Charges a[0] in e. The four kinds differ in the function of r that multiplies k qa qb.
template <class N, PairKind kind>
struct Coulomb {
  static constexpr int kAtom = 1, kLaw = 0;

  double strength, length, cutoff;
  bool cut;
  Radial<double> end, soft_end;  // at the cutoff

  PYFF_HD Coulomb(const PairLaw& p, const N*)
      : strength(p.strength), length(p.length), cutoff(p.cutoff), cut(p.cutoff < 1e300), end{0, 0}, soft_end{0, 0} {
    if (!cut) return;
    if (kind == PairKind::damped) end = damped_distance(cutoff, 1 / cutoff, length);
    if (kind == PairKind::point || kind == PairKind::softened) end = inverse_distance(1 / cutoff);
    soft_end = softened_distance(cutoff);
  }

  PYFF_HD Radial<N> radial(N r, N inverse) const {
    if constexpr (kind == PairKind::erfc) return screened_distance(r, inverse, length);
    if constexpr (kind == PairKind::damped) return damped(r, inverse);
    Radial<N> b = inverse_distance(inverse);
    if (cut) b = shifted(b, end, cutoff, r, inverse);
    if constexpr (kind == PairKind::point) return b;
    Radial<N> soft = softened_distance(r);
    if (cut) soft = shifted(soft, soft_end, cutoff, r, inverse);
    const Step<N> f = smooth_step(r, 0.25 * length, 0.75 * length);
    return {f.v * soft.v + f.rest * b.v,
            f.v * soft.pull + f.rest * b.pull + f.slope * (soft.v - b.v) * inverse};
  }

  // f (b - b(R)) + (1 - f) (b - b(R) - b'(R) (r - R)), f = step(r; 0.45 R, R)
  PYFF_HD Radial<N> damped(N r, N inverse) const {
    const Radial<N> b = damped_distance(r, inverse, length);
    if (!cut) return b;
    const Step<N> f = smooth_step(r, 0.45 * cutoff, cutoff);
    const N x = r - cutoff;
    const double slope = end.pull * cutoff;
    return {b.v - end.v - slope * (f.rest * x), b.pull - slope * ((f.rest - f.slope * x) * inverse)};
  }

  PYFF_HD PairTerms<N, 1, 0> operator()(N r, N inverse, const N* a, const N* b) const {
    const Radial<N> h = radial(r, inverse);
    const N kb = strength * b[0], k = kb * a[0];
    return {k * h.v, k * h.pull, {kb * h.v}, {}};
  }
};

// Polarizability a[0] and C6 coefficient a[1] in atomic units. With rho = r / Bohr and the mixed alpha and C6
//   e = -Ha C6 [1/(rho^6 + p^6) + 10 s^2/(rho^8 + p^8) + 122.5 s^4/(rho^10 + p^10)],
// s a cubic in the van der Waals radius R = f alpha^(1/7), p = scale 2 2.54 alpha^(1/7): C8 = 5 C6 / gamma and
// C10 = 245/8 C6 / gamma^2 with gamma = 1 / (2 s^2).
template <class N>
struct Dispersion {
  static constexpr int kAtom = 2, kLaw = 0;

  double hartree, bohr, cutoff, width, damping, factor;
  bool cut;

  PYFF_HD Dispersion(const PairLaw& p, const N*)
      : hartree(p.strength), bohr(p.length), cutoff(p.cutoff), width(p.width), damping(p.scale * 2 * 2.54),
        factor(p.radius_factor), cut(p.cutoff < 1e300) {}

  struct Mixed {
    N c6, by_alpha, by_c6;  // C6 of the pair and its derivatives with respect to the receiver's alpha and C6
  };

  // 2 Ca Cb alpha_a alpha_b / (alpha_a^2 Cb + alpha_b^2 Ca)
  static PYFF_HD Mixed mixed(const N* a, const N* b) {
    const N u = a[0] * a[0] * b[1], w = b[0] * b[0] * a[1], inverse = 1 / (u + w);
    const N top = 2 * b[0] * b[1] * inverse, c6 = top * a[0] * a[1];
    return {c6, top * a[1] * (w - u) * inverse, top * a[0] * u * inverse};
  }

  struct Series {
    N v, slope, by_root;  // the bracket; its derivatives with respect to rho^2 and to alpha^(1/7)
  };

  PYFF_HD Series series(N rho2, N root) const {
    const N R = factor * root, s = ((-0.00078893 * R + 0.04125273) * R + 0.24428889) * R - 0.00433008;
    const N ds = factor * ((-3 * 0.00078893 * R + 2 * 0.04125273) * R + 0.24428889), s2 = s * s;
    const N p = damping * root, p2 = p * p, p4 = p2 * p2, rho4 = rho2 * rho2;
    const N d6 = rho4 * rho2 + p4 * p2, d8 = rho4 * rho4 + p4 * p4, d10 = rho4 * rho4 * rho2 + p4 * p4 * p2;
    const N d68 = d6 * d8, inverse = 1 / (d68 * d10);  // one division for three
    const N a6 = d8 * d10 * inverse, a8 = d6 * d10 * inverse, a10 = d68 * inverse;
    const N b8 = 10 * s2 * a8, b10 = 122.5 * s2 * s2 * a10;
    // d/d(x^2) of 1/(x^2n + y^2n) is -n x^(2n-2) / (x^2n + y^2n)^2
    const N c6 = 3 * a6 * a6, c8 = 4 * b8 * a8, c10 = 5 * b10 * a10;
    const N slope = -(rho4 * (c6 + rho2 * c8 + rho4 * c10)), by_p2 = -(p4 * (c6 + p2 * c8 + p4 * c10));
    const N by_s = 20 * s * a8 + 490 * s2 * s * a10;
    return {a6 + b8 + b10, slope, by_p2 * 2 * p * damping + by_s * ds};
  }

  PYFF_HD PairTerms<N, 2, 0> operator()(N r, N inverse, const N* a, const N* b) const {
    const Mixed m = mixed(a, b);
    const N alpha = 0.5 * (a[0] + b[0]), y = inverse_seventh_root(alpha), y2 = y * y, y6 = y2 * y2 * y2;
    const double per_bohr = 1 / bohr;
    const N rho = r * per_bohr;
    const Series s = series(rho * rho, alpha * y6);
    N w = Constant<N>::of(-hartree), pull = 2 * per_bohr * per_bohr * s.slope;
    pull = w * pull;
    if (cut) {
      const Step<N> f = smooth_step(r, cutoff - width, cutoff);
      pull = pull * f.v - hartree * f.slope * inverse * s.v;
      w = w * f.v;
    }
    const N by_alpha = m.by_alpha * s.v + m.c6 * s.by_root * y6 * (1.0 / 14);
    return {w * m.c6 * s.v, m.c6 * pull, {w * by_alpha, w * m.by_c6 * s.v}, {}};
  }
};

// Cutoff function and its derivatives for numbers of any type; on dual numbers the third is not right, and not used.
template <class V>
PYFF_HD Jet<V> cutoff_jet(const Cutoff& c, V r) {
  if constexpr (std::is_arithmetic_v<V>) {
    return cutoff(c, r);
  } else {
    Jet<V> out{};
    for (unsigned k = 0; k < sizeof(V) / sizeof(r[0]); ++k) {
      const auto lane = cutoff(c, r[k] + 0);
      out.v[k] = lane.v, out.d1[k] = lane.d1, out.d2[k] = lane.d2, out.d3[k] = lane.d3;
    }
    return out;
  }
}
template <class V>
PYFF_HD Jet<Dual<V>> cutoff_jet(const Cutoff& c, Dual<V> r) {
  const Jet<V> f = cutoff_jet(c, r.v);
  return {{f.v, f.d1 * r.d}, {f.d1, f.d2 * r.d}, {f.d2, f.d3 * r.d}, Constant<Dual<V>>::of(0)};
}

// Nuclear charge a[0] and inverse screening length a[1] (D Z^p, 1/A); the law's parameters are the four exponents a_k
// and the four weights c_k:
//   e = k Za Zb / r phi(r) step(r; 0, width) sum_k c_k exp(-a_k r (sa + sb)).
template <class N>
struct Zbl {
  static constexpr int kAtom = 2, kLaw = 8;

  double strength, width;
  bool ends;
  Cutoff local;
  N a[4], c[4];

  PYFF_HD Zbl(const PairLaw& p, const N* law)
      : strength(p.strength), width(p.width), ends(p.width < 1e300), local(p.local), a{}, c{} {
    for (int k = 0; k < 4; ++k) a[k] = law[k], c[k] = law[4 + k];
  }

  PYFF_HD PairTerms<N, 2, 8> operator()(N r, N inverse, const N* x, const N* y) const {
    const N s = x[1] + y[1], one = Constant<N>::of(1);
    N screening = Constant<N>::of(0), decay = Constant<N>::of(0), by_c[4];
    for (int k = 0; k < 4; ++k) {
      by_c[k] = exp_of(-(a[k] * (r * s)));
      screening = screening + c[k] * by_c[k];
      decay = decay + a[k] * c[k] * by_c[k];
    }
    const Jet<N> phi = cutoff_jet(local, r);
    Step<N> w{one, one - one, one - one};
    if (ends) w = smooth_step(r, 0.0, width);
    const N f = phi.v * w.v, df = phi.d1 * w.v + phi.v * w.slope, ky = strength * y[0] * inverse, k = ky * x[0];
    PairTerms<N, 2, 8> out;
    out.energy = k * f * screening;
    out.pull = k * inverse * ((df - f * inverse) * screening - f * s * decay);
    out.atom[0] = ky * f * screening;
    out.atom[1] = -(k * f * (r * decay));
    for (int n = 0; n < 4; ++n) {
      out.law[n] = -(k * f * (r * s * (c[n] * by_c[n])));
      out.law[4 + n] = k * f * by_c[n];
    }
    return out;
  }
};

// body(tag) with tag a Law type chosen by kind: Coulomb<N, ...>, Dispersion<N>, Zbl<N>
template <class N, class Body>
inline void with_pair_law(const PairLaw& p, const N* law, Body&& body) {
  switch (static_cast<PairKind>(p.kind)) {
    case PairKind::point:
      return body(Coulomb<N, PairKind::point>(p, law));
    case PairKind::damped:
      return body(Coulomb<N, PairKind::damped>(p, law));
    case PairKind::erfc:
      return body(Coulomb<N, PairKind::erfc>(p, law));
    case PairKind::softened:
      return body(Coulomb<N, PairKind::softened>(p, law));
    case PairKind::dispersion:
      return body(Dispersion<N>(p, law));
    case PairKind::zbl:
      return body(Zbl<N>(p, law));
  }
}

}  // namespace pyff::PYFF_ISA
