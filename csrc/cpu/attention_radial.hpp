// The radial part of the filters of both blocks for a tile of pairs: from a table of quintic polynomials or edge by
// edge, with the derivative along the distance, and the gradients of either.
#pragma once

#include "cpu/attention_numbers.hpp"
#include "cpu/pairs.hpp"
#include "math/quintic.hpp"

namespace pyff::PYFF_ISA {

template <class T, bool kDual>
class RadialFilters {
 public:
  using G = Number<double, kDual>;

  // grad: where this thread's gradient goes; null if it is not wanted
  RadialFilters(const AttentionParams<T>& p, const AttentionLayout<T>& layout, T* row, T* grad)
      : p_(p),
        layout_(layout),
        columns_(2 * layout.f),
        ldr_(padded<T>(columns_)),
        bias_(layout.s > 0 ? p.in.bs2 : nullptr),
        row_(row),
        grad_(grad) {}

  bool tabulated() const { return p_.shape.n_intervals > 0; }

  // w_t with the bias of the spherical filters, and with a table dw_t/dd if slopes are wanted
  void evaluate(const Pair& q, int t, G d, const Panel<T, kDual>& w, const Panel<T, kDual>* slope) {
    if (!tabulated()) {
      add_bias(p_.in.radial + q.edge * columns_, row_);
      scatter(row_, w.values(t));
      if constexpr (kDual) scatter(p_.tangent.radial + q.edge * columns_, w.tangents(t));
      return;
    }
    const TablePoint at = point(d);
    const T* c = p_.in.radial + at.interval * kTableOrder * columns_;
    if constexpr (!kDual) {
      if (columns_ == layout_.ldw) return polynomial(c, T(at.u), {w.values(t), slope ? slope->values(t) : nullptr});
    }
    polynomial(c, T(at.u), {row_, kDual || slope ? row_ + ldr_ : nullptr, kDual && slope ? row_ + 2 * ldr_ : nullptr});
    scatter(row_, w.values(t));
    if (slope) scatter(row_ + ldr_, slope->values(t));
    if constexpr (kDual) {
      scatter(row_ + ldr_, w.tangents(t), T(d.d));
      if (slope) scatter(row_ + 2 * ldr_, slope->tangents(t), T(d.d));
    }
  }

  // Gradient of sum over channels of w_bar w: w_bar is the row of a pair that this thread counts.
  void accumulate(const Pair& q, int t, G d, const Panel<T, kDual>& w_bar) {
    if (!grad_) return;
    const T* value = emitted_row(w_bar, t);
    if (!tabulated()) return gather(value, grad_ + q.edge * columns_);
    const TablePoint at = point(d);
    T* c = grad_ + at.interval * kTableOrder * columns_;
    const T u = T(at.u), inv = T(1.0 / p_.shape.spacing);
    gather(value, row_);
    // the tangent of w_bar u^m is w_bar' u^m + w_bar m u^(m-1) u'
    if constexpr (kDual) {
      gather(w_bar.values(t), row_ + ldr_);
      const T speed = T(d.d);
      for_lanes<T>(columns_, [&](std::int64_t k, auto lane) {
        add(c + k, u, inv, lane, lane.get(row_ + k), speed * lane.get(row_ + ldr_ + k));
      });
    } else {
      for_lanes<T>(columns_, [&](std::int64_t k, auto lane) {
        const auto bar = lane.get(row_ + k);
        add(c + k, u, inv, lane, bar, bar * T(0));
      });
    }
  }

 private:
  template <class V>
  struct Coefficients {
    V c[kTableOrder];
  };

  TablePoint point(G d) const {
    const AttentionShape& s = p_.shape;
    return table_point(value_of(d), s.start, 1.0 / s.spacing, s.n_intervals);
  }
  static const T* emitted_row(const Panel<T, kDual>& w_bar, int t) {
    return kDual ? w_bar.tangents(t) : w_bar.values(t);
  }

  struct Orders {  // where values, slopes and curvatures go; null if they are not wanted
    T *value, *slope = nullptr, *curvature = nullptr;
  };

  void polynomial(const T* c, T u, const Orders& out) const {
    const T inv = T(1.0 / p_.shape.spacing);
    for_lanes<T>(columns_, [&](std::int64_t k, auto lane) {
      Coefficients<decltype(lane.get(c))> r;
      for (int m = 0; m < kTableOrder; ++m) r.c[m] = lane.get(c + m * columns_ + k);
      if (bias_) r.c[0] += lane.get(bias_ + k);
      lane.put(out.value + k, quintic_value(r.c, u));
      if (out.slope) lane.put(out.slope + k, quintic_slope(r.c, u, inv));
      if (out.curvature) lane.put(out.curvature + k, quintic_curvature(r.c, u, inv));
    });
  }

  template <class Lane, class V>
  void add(T* c, T u, T inv, Lane lane, V value, V slope) const {
    Coefficients<V> r;
    for (int m = 0; m < kTableOrder; ++m) r.c[m] = lane.get(c + m * columns_);
    add_quintic_gradient(r.c, u, inv, value, slope);
    for (int m = 0; m < kTableOrder; ++m) lane.put(c + m * columns_, r.c[m]);
  }

  void add_bias(const T* row, T* out) const {
    for_lanes<T>(columns_, [&](std::int64_t k, auto lane) {
      lane.put(out + k, bias_ ? lane.get(row + k) + lane.get(bias_ + k) : lane.get(row + k));
    });
  }

  // Dense row [2F] to padded row, times a factor; padding keeps what it was.
  void scatter(const T* row, T* w, T factor = T(1)) const {
    for_pieces([&](std::int64_t dense, std::int64_t column, std::int64_t n) {
      for_lanes<T>(n, [&](std::int64_t k, auto lane) { lane.put(w + column + k, factor * lane.get(row + dense + k)); });
    });
  }
  void gather(const T* w, T* row) const {
    for_pieces([&](std::int64_t dense, std::int64_t column, std::int64_t n) {
      for_lanes<T>(n, [&](std::int64_t k, auto lane) { lane.put(row + dense + k, lane.get(w + column + k)); });
    });
  }
  // body(dense column, padded column, length) for the longest runs that are consecutive in both
  template <class Body>
  void for_pieces(Body&& body) const {
    for (int b = 0; b < kBlocks; ++b) {
      const HeadLayout& h = layout_.block[b];
      if (h.dense()) {
        body(b * layout_.f, layout_.first[b], layout_.f);
        continue;
      }
      for (std::int64_t k = 0; k < h.heads; ++k)
        body(b * layout_.f + k * h.size, layout_.first[b] + k * h.stride, h.size);
    }
  }

  const AttentionParams<T>& p_;
  const AttentionLayout<T>& layout_;
  std::int64_t columns_, ldr_;
  const T* bias_;
  T* row_;
  T* grad_;
};

}  // namespace pyff::PYFF_ISA
