// Distances, cutoff weights and spherical harmonics of a tile of pairs in float64, and their pullback to edge vectors.
#pragma once

#include "cpu/attention_numbers.hpp"
#include "cpu/pairs.hpp"
#include "math/harmonics.hpp"

namespace pyff::PYFF_ISA {

template <class T, bool kDual>
class PairGeometry {
 public:
  using G = Number<double, kDual>;
  using Lanes = Number<DoubleVec, kDual>;
  static constexpr int kTile = kAttentionTile;

  explicit PairGeometry(const AttentionParams<T>& p) : p_(p), shape_(p.shape) {}

  const double* distances() const { return d_[0]; }
  G distance(int t) const { return number(d_, t); }
  G weight(int t) const { return number(weight_, t); }       // phi(d) / nc
  G weight_slope(int t) const { return number(slope_, t); }  // and its derivative

  void evaluate(const Pair* pairs, int n, const Panel<T, kDual>& y) {
    for (int t = 0; t < n; ++t) {
      const G x[3] = {component(pairs[t].edge, 0), component(pairs[t].edge, 1), component(pairs[t].edge, 2)};
      const G d = sqrt_of(x[0] * x[0] + x[1] * x[1] + x[2] * x[2]), inv = 1.0 / d;
      put(d_, t, d);
      put(inv_, t, inv);
      for (int k = 0; k < 3; ++k) put(u_[k], t, x[k] * inv);
      const Jet<double> phi = cutoff(shape_.cutoff, value_of(d));
      const double scale = 1.0 / shape_.normalization;
      put(weight_, t, along(scale * phi.v, scale * phi.d1, d));
      put(slope_, t, along(scale * phi.d1, scale * phi.d2, d));
    }
    for (int t = 0; t < n; t += kLanes<double>)
      for (int degree = 1; degree <= kMaxDegree; ++degree)
        if (first_of(degree) < shape_.n_degrees) harmonics_of(degree, t, n, y);
  }

  // vec_bar of each pair on its edge i <- j, given the cotangents of its distance and of its harmonics. Of a pair that
  // two threads visit, the one that owns the smaller edge writes; the others were set to zero.
  void pullback(const Pair* pairs, int n, const G* d_bar, const Panel<T, kDual>& y_bar, double* vec_bar) const {
    for (int t = 0; t < n; t += kLanes<double>) {
      Lanes u[3] = {lanes(u_[0], t), lanes(u_[1], t), lanes(u_[2], t)}, u_bar[3] = {};
      for (int degree = 1; degree <= kMaxDegree; ++degree)
        if (first_of(degree) < shape_.n_degrees) harmonics_bar(degree, t, n, y_bar, u, u_bar);
      const Lanes radial = u[0] * u_bar[0] + u[1] * u_bar[1] + u[2] * u_bar[2], inv = lanes(inv_, t);
      double out[3][kLanes<double>];
      for (int k = 0; k < 3; ++k) store(out[k], emitted((u_bar[k] - u[k] * radial) * inv));
      for (int lane = 0; lane < kLanes<double> && t + lane < n; ++lane) {
        const Pair& q = pairs[t + lane];
        if (q.edge > q.reversed) continue;
        for (int k = 0; k < 3; ++k)
          vec_bar[3 * q.edge + k] = out[k][lane] + emitted(number(u_[k], t + lane) * d_bar[t + lane]);
      }
    }
  }

 private:
  using Array = double[2][kTile];  // values, tangents

  G component(std::int64_t edge, int k) const {
    const double x = p_.in.vec[3 * edge + k];
    if constexpr (kDual)
      return {x, p_.tangent.vec[3 * edge + k]};
    else
      return x;
  }
  static G along(double value, double slope, G d) {
    if constexpr (kDual)
      return {value, slope * d.d};
    else
      return (void)slope, (void)d, value;
  }
  static void put(Array& a, int t, G x) {
    a[0][t] = value_of(x);
    if constexpr (kDual) a[1][t] = x.d;
  }
  static G number(const Array& a, int t) {
    if constexpr (kDual)
      return {a[0][t], a[1][t]};
    else
      return a[0][t];
  }
  static Lanes lanes(const Array& a, int t) {
    if constexpr (kDual)
      return {load(&a[0][t]), load(&a[1][t])};
    else
      return load(&a[0][t]);
  }

  int first_of(int degree) const {
    int l = 0;
    while (l < shape_.n_degrees && shape_.degrees[l] != degree) ++l;
    return l;
  }

  // body(offset) for each head of this degree
  template <class Body>
  void for_heads(int degree, Body&& body) const {
    std::int64_t offset = 0;
    for (int l = 0; l < shape_.n_degrees; offset += n_components(shape_.degrees[l]), ++l)
      if (shape_.degrees[l] == degree) body(offset);
  }

  void harmonics_of(int degree, int t, int n, const Panel<T, kDual>& y) const {
    const Lanes u[3] = {lanes(u_[0], t), lanes(u_[1], t), lanes(u_[2], t)};
    Lanes value[n_components(kMaxDegree)];
    harmonics(degree, u, value);
    double v[n_components(kMaxDegree)][kLanes<double>], d[n_components(kMaxDegree)][kLanes<double>];
    for (int m = 0; m < n_components(degree); ++m) {
      store(v[m], value_of(value[m]));
      if constexpr (kDual) store(d[m], value[m].d);
    }
    for_heads(degree, [&](std::int64_t offset) {
      for (int lane = 0; lane < kLanes<double> && t + lane < n; ++lane)
        for (int m = 0; m < n_components(degree); ++m) {
          y.values(t + lane)[offset + m] = static_cast<T>(v[m][lane]);
          if constexpr (kDual) y.tangents(t + lane)[offset + m] = static_cast<T>(d[m][lane]);
        }
    });
  }

  void harmonics_bar(int degree, int t, int n, const Panel<T, kDual>& y_bar, const Lanes (&u)[3],
                     Lanes (&u_bar)[3]) const {
    double v[n_components(kMaxDegree)][kLanes<double>] = {}, d[n_components(kMaxDegree)][kLanes<double>] = {};
    for_heads(degree, [&](std::int64_t offset) {
      for (int lane = 0; lane < kLanes<double> && t + lane < n; ++lane)
        for (int m = 0; m < n_components(degree); ++m) {
          v[m][lane] += y_bar.values(t + lane)[offset + m];
          if constexpr (kDual) d[m][lane] += y_bar.tangents(t + lane)[offset + m];
        }
    });
    Lanes bar[n_components(kMaxDegree)];
    for (int m = 0; m < n_components(degree); ++m) {
      if constexpr (kDual)
        bar[m] = {load(v[m]), load(d[m])};
      else
        bar[m] = load(v[m]);
    }
    harmonics_pullback(degree, u, bar, u_bar);
  }

  const AttentionParams<T>& p_;
  const AttentionShape& shape_;
  Array d_ = {}, inv_ = {}, weight_ = {}, slope_ = {}, u_[3] = {};
};

}  // namespace pyff::PYFF_ISA
