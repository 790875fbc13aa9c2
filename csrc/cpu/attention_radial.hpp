// The radial part of the filters of both blocks for a tile of pairs: from a table of quintic polynomials or edge by
// edge, with the derivative along the distance, and the gradients of either.
#pragma once

#include "cpu/attention_numbers.hpp"
#include "cpu/pairs.hpp"
#include "math/quintic.hpp"

namespace pyff::PYFF_ISA {

// A row [2F] in the layout of filter panels, and back; gaps keep what they were.
template <class T>
inline void pad_columns(const AttentionLayout<T>& layout, const T* row, T* panel_row) {
  for (int b = 0; b < kBlocks; ++b)
    for_lanes<T>(layout.f, [&](std::int64_t k, auto lane) {
      lane.put(panel_row + layout.first[b] + k, lane.get(row + b * layout.f + k));
    });
}
template <class T>
inline void unpad_columns(const AttentionLayout<T>& layout, const T* panel_row, T* row) {
  for (int b = 0; b < kBlocks; ++b)
    for_lanes<T>(layout.f, [&](std::int64_t k, auto lane) {
      lane.put(row + b * layout.f + k, lane.get(panel_row + layout.first[b] + k));
    });
}

template <class T, bool kDual>
class RadialFilters {
 public:
  using G = Number<double, kDual>;

  // grad: where this thread's gradient goes, rows or coefficients; null if it is not wanted
  RadialFilters(const AttentionParams<T>& p, const AttentionLayout<T>& layout, const AttentionShared<T>& shared,
                const AttentionPanels<T>& panels, T* grad)
      : p_(p),
        layout_(layout),
        table_(layout.dense() ? p.in.radial : shared.table),
        bias_(shared.b2),
        grad_(grad),
        table_grad_(layout.dense() ? grad : panels.table_grad) {
    if (grad_ && tabulated()) clear(table_grad_, layout_.table_rows * layout_.ldw);
  }

  bool tabulated() const { return layout_.table_rows > 0; }

  // w_t with the bias of the spherical filters, and with a table dw_t/dd if slopes are wanted
  void evaluate(const Pair& q, int t, G d, const Panel<T, kDual>& w, const Panel<T, kDual>* slope) {
    if (tabulated()) return polynomial(t, d, w, slope);
    pad_columns(layout_, p_.in.radial + q.edge * 2 * layout_.f, w.values(t));
    if constexpr (kDual) pad_columns(layout_, p_.tangent.radial + q.edge * 2 * layout_.f, w.tangents(t));
    if (bias_)
      for (std::int64_t k = 0; k < layout_.ldw; k += kLanes<T>) add_lanes(w.values(t) + k, load(bias_ + k));
  }

  // Gradient of sum over channels of w_bar w: w_bar is the row of a pair that this thread counts.
  void accumulate(const Pair& q, int t, G d, const Panel<T, kDual>& w_bar) {
    if (!grad_) return;
    const T* bar = kDual ? w_bar.tangents(t) : w_bar.values(t);
    if (!tabulated()) return unpad_columns(layout_, bar, grad_ + q.edge * 2 * layout_.f);
    const WarpedPoint at = point(d);
    T* c = table_grad_ + at.interval * kTableOrder * layout_.ldw;
    for (std::int64_t k = 0; k < layout_.ldw; k += kLanes<T>) {
      Vec<T> sums[kTableOrder];
      for (int m = 0; m < kTableOrder; ++m) sums[m] = load(c + m * layout_.ldw + k);
      // the tangent of w_bar u^m is w_bar' u^m + w_bar m u^(m-1) u'
      if constexpr (kDual)
        add_quintic_gradient(sums, T(at.u), T(at.d1 * d.d), load(bar + k), load(w_bar.values(t) + k));
      else
        add_quintic_gradient(sums, T(at.u), T(0), load(bar + k), Vec<T>{});
      for (int m = 0; m < kTableOrder; ++m) store(c + m * layout_.ldw + k, sums[m]);
    }
  }

  // Writes this thread's gradient of the coefficients in the caller's layout.
  void finish() const {
    if (!grad_ || table_grad_ == grad_) return;
    for (std::int64_t row = 0; row < layout_.table_rows; ++row)
      unpad_columns(layout_, table_grad_ + row * layout_.ldw, grad_ + row * 2 * layout_.f);
  }

 private:
  WarpedPoint point(G d) const {
    const AttentionShape& s = p_.shape;
    return warped_point(value_of(d), s.start, s.spacing, s.decay, s.n_intervals);
  }

  void polynomial(int t, G d, const Panel<T, kDual>& w, const Panel<T, kDual>* slope) const {
    const WarpedPoint at = point(d);
    const T u = T(at.u), d1 = T(at.d1), d2 = T(at.d2);
    const T* c = table_ + at.interval * kTableOrder * layout_.ldw;
    for (std::int64_t k = 0; k < layout_.ldw; k += kLanes<T>) {
      Vec<T> r[kTableOrder];
      for (int m = 0; m < kTableOrder; ++m) r[m] = load(c + m * layout_.ldw + k);
      if (bias_) r[0] += load(bias_ + k);
      store(w.values(t) + k, quintic_value(r, u));
      if (!kDual && !slope) continue;
      const Vec<T> first = quintic_slope(r, u, d1);
      if (slope) store(slope->values(t) + k, first);
      if constexpr (kDual) {
        const T speed = T(d.d);
        store(w.tangents(t) + k, speed * first);
        if (slope) store(slope->tangents(t) + k, speed * (quintic_curvature(r, u, d1) + quintic_slope(r, u, d2)));
      }
    }
  }

  const AttentionParams<T>& p_;
  const AttentionLayout<T>& layout_;
  const T* table_;  // [K, 6, ldw]
  const T* bias_;   // [ldw]
  T *grad_, *table_grad_;
};

}  // namespace pyff::PYFF_ISA
