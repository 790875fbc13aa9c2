// The spherical part of the filters of both blocks, ws2 act(ws1 tau + bs1) + bs2, for a tile of pairs: matrix products
// forward and backward, and the gradients of the weights.
#pragma once

#include "cpu/attention_numbers.hpp"
#include "cpu/gemm.hpp"
#include "cpu/pairs.hpp"
#include "math/activation.hpp"

namespace pyff::PYFF_ISA {

template <class T, bool kDual>
class SphericalFilters {
 public:
  using P = Panel<T, kDual>;
  using S = Number<T, kDual>;

  SphericalFilters(const AttentionParams<T>& p, const AttentionLayout<T>& layout, const AttentionShared<T>& shared,
                   const AttentionPanels<T>& panels)
      : shape_(p.shape),
        layout_(layout),
        shared_(shared),
        panels_(panels),
        degrees_(p.shape.n_degrees),
        ev_{p.in.ev, p.tangent.ev},
        tau_{panels.tau, layout.ldl},
        tau_bar_{panels.tau_bar, layout.ldl},
        pre_{panels.pre, 2 * layout.lds},
        hidden_{panels.hidden, 2 * layout.lds},
        hidden_bar_{panels.hidden_bar, 2 * layout.lds} {
    clear(panels.tau, rows() * layout.ldl);  // padding takes part in the products: it must be finite
  }

  void clear_gradients() {
    clear(panels_.w2_grad, layout_.s * layout_.ldw);
    clear(panels_.b2_grad, layout_.ldw);
    clear(panels_.w1_grad, 2 * layout_.lds * layout_.ldl);
    clear(panels_.b1_grad, 2 * layout_.lds);
  }

  // w += the spherical part but bs2, which RadialFilters have added
  void add_to(const P& w, const Pair* pairs, int n) {
    for (int t = 0; t < n; ++t) invariants(pairs[t], t);
    product(n, tau_, {shared_.w1_forward, degrees_, 2 * layout_.lds, 2 * layout_.lds}, pre_, false);
    for (int t = 0; t < n; ++t) activate(t);
    for (int b = 0; b < kBlocks; ++b) {
      const P in{panels_.hidden + b * layout_.lds, hidden_.ld}, out{w.data + layout_.first[b], w.ld};
      product(n, in, {shared_.w2_forward + layout_.first[b], layout_.s, layout_.ldf, layout_.ldw}, out, true);
    }
  }

  // Follows add_to() of the same tile: cotangents of the invariants, from those of w.
  void pullback(const P& w_bar, int n) {
    for (int b = 0; b < kBlocks; ++b) {
      const P in{w_bar.data + layout_.first[b], w_bar.ld}, out{panels_.hidden_bar + b * layout_.lds, hidden_bar_.ld};
      product(n, in, {shared_.w2_backward + layout_.first[b] * layout_.lds, layout_.f, layout_.lds, layout_.lds}, out,
              false);
    }
    for (int t = 0; t < n; ++t)
      for (std::int64_t k = 0; k < 2 * layout_.lds; k += kLanes<T>)
        hidden_bar_.put(t, k, hidden_bar_.row(t).lanes(k) * activation(shape_.activation, pre_.row(t).lanes(k)).d1);
    product(n, hidden_bar_, {shared_.w1_backward, 2 * layout_.lds, layout_.ldl, layout_.ldl}, tau_bar_, false);
  }

  // Follows pullback(): adds the cotangents of ev_j - ev_i; an atom that another thread owns has a null row.
  void add_ev_gradient(const Pair& q, int t, T* bar_i, T* bar_j) const {
    const auto ei = ev_.at(q.i * layout_.m), ej = ev_.at(q.j * layout_.m);
    std::int64_t m = 0;
    for (int l = 0; l < degrees_; ++l) {
      const S bar = (2 * scale(l)) * tau_bar_.row(t).one(l);
      for (int k = 0; k < components(l); ++k, ++m) {
        const T x = emitted(bar * (ej.one(m) - ei.one(m)));
        bar_i[m] -= x;
        if (bar_j) bar_j[m] += x;
      }
    }
  }

  // Follows pullback(): adds the gradients of the weights over the pairs that this thread counts. Spoils the panels.
  void accumulate(const P& w_bar, const Pair* pairs, int n) {
    for (int t = 0; t < n; ++t)
      if (pairs[t].edge > pairs[t].reversed) {  // the other thread counts it
        forget(hidden_, t, 2 * layout_.lds);
        forget(hidden_bar_, t, 2 * layout_.lds);
        forget(w_bar, t, layout_.ldw);
      }
    for (int b = 0; b < kBlocks; ++b) {
      const P a{panels_.hidden + b * layout_.lds, hidden_.ld}, c{w_bar.data + layout_.first[b], w_bar.ld};
      outer(a, layout_.s, c, layout_.ldf, panels_.w2_grad + layout_.first[b], layout_.ldw, n);
    }
    outer(hidden_bar_, 2 * layout_.lds, tau_, layout_.ldl, panels_.w1_grad, layout_.ldl, n);
    add_rows(w_bar, n, layout_.ldw, panels_.b2_grad);
    add_rows(hidden_bar_, n, 2 * layout_.lds, panels_.b1_grad);
  }

  // Writes this thread's gradients in the caller's layout.
  void write_gradients(const AttentionTensors<T, double>& grad, int thread) const {
    const std::int64_t s = layout_.s, f = layout_.f, l = degrees_;
    T *ws1 = grad.ws1 + thread * 2 * s * l, *bs1 = grad.bs1 + thread * 2 * s;
    T *ws2 = grad.ws2 + thread * 2 * f * s, *bs2 = grad.bs2 + thread * 2 * f;
    for (int b = 0; b < kBlocks; ++b) {
      for (std::int64_t r = 0; r < s; ++r) {
        const std::int64_t row = b * layout_.lds + r;
        for (std::int64_t k = 0; k < l; ++k) ws1[(b * s + r) * l + k] = panels_.w1_grad[row * layout_.ldl + k];
        bs1[b * s + r] = panels_.b1_grad[row];
      }
      for (std::int64_t c = 0; c < f; ++c) {
        const std::int64_t column = layout_.first[b] + c;
        for (std::int64_t r = 0; r < s; ++r) ws2[(b * f + c) * s + r] = panels_.w2_grad[r * layout_.ldw + column];
        bs2[b * f + c] = panels_.b2_grad[column];
      }
    }
  }

 private:
  static constexpr int rows() { return (kDual ? 2 : 1) * kAttentionTile; }
  int components(int l) const { return 2 * shape_.degrees[l] + 1; }
  T scale(int l) const { return T(1.0 / std::sqrt(static_cast<double>(components(l)))); }

  void invariants(const Pair& q, int t) {
    const auto ei = ev_.at(q.i * layout_.m), ej = ev_.at(q.j * layout_.m);
    std::int64_t m = 0;
    for (int l = 0; l < degrees_; ++l) {
      S norm{};
      for (int k = 0; k < components(l); ++k, ++m) {
        const S x = ej.one(m) - ei.one(m);
        norm += x * x;
      }
      tau_.put(t, l, scale(l) * norm);
    }
  }

  void activate(int t) {
    for (std::int64_t k = 0; k < 2 * layout_.lds; k += kLanes<T>) {
      const auto x = pre_.row(t).lanes(k) + load(shared_.b1 + k);
      pre_.put(t, k, x);
      hidden_.put(t, k, activation(shape_.activation, x).v);
    }
  }

  struct Weights {  // [k, n], without tangents
    const T* data;
    std::int64_t k, n, ld;
  };

  // out (+)= in weights
  static void product(int rows, const P& in, const Weights& w, const P& out, bool accumulate) {
    gemm<T>({rows, w.n, w.k}, {in.values(), in.ld, 1}, w.data, w.ld, out.values(), out.ld, accumulate);
    if constexpr (kDual)
      gemm<T>({rows, w.n, w.k}, {in.tangents(), in.ld, 1}, w.data, w.ld, out.tangents(), out.ld, accumulate);
  }

  // sum over the tile of a^T c, or its tangent
  static void outer(const P& a, std::int64_t m, const P& c, std::int64_t n, T* out, std::int64_t ldo, int rows) {
    gemm<T>({m, n, rows}, {a.values(), 1, a.ld}, kDual ? c.tangents() : c.values(), c.ld, out, ldo, true);
    if constexpr (kDual) gemm<T>({m, n, rows}, {a.tangents(), 1, a.ld}, c.values(), c.ld, out, ldo, true);
  }

  static void add_rows(const P& x, int rows, std::int64_t n, T* out) {
    for (int t = 0; t < rows; ++t)
      for (std::int64_t k = 0; k < n; k += kLanes<T>) add_lanes(out + k, emitted(x.row(t).lanes(k)));
  }

  static void forget(const P& x, int t, std::int64_t n) {
    clear(x.values(t), n);
    if constexpr (kDual) clear(x.tangents(t), n);
  }

  const AttentionShape& shape_;
  const AttentionLayout<T>& layout_;
  const AttentionShared<T>& shared_;
  const AttentionPanels<T> panels_;  // a copy: the caller's is gone when the worker runs
  int degrees_;
  Source<T, kDual> ev_;
  P tau_, tau_bar_, pre_, hidden_, hidden_bar_;
};

}  // namespace pyff::PYFF_ISA
