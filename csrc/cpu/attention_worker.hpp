// One thread's share of equivariant attention: its pairs, tile by tile. The double backward is the backward in dual
// numbers (docs/derivations/attention.md).
#pragma once

#include <initializer_list>

#include "cpu/attention_geometry.hpp"
#include "cpu/attention_radial.hpp"
#include "cpu/attention_spherical.hpp"

namespace pyff::PYFF_ISA {

// Where features are read and written: the caller's arrays or their padded copies.
template <class T>
struct AttentionArrays {
  const T *q1, *k1, *v1, *x_bar, *q2, *k2;
};
template <class T>
struct AttentionOutputs {
  T *q1, *k1, *v1, *x, *q2, *k2;
};

template <class T, bool kDual>
class AttentionWorker {
 public:
  using V = Number<Vec<T>, kDual>;
  using S = Number<T, kDual>;
  using G = Number<double, kDual>;
  using P = Panel<T, kDual>;
  static constexpr int kTile = kAttentionTile;

  struct Task {
    const AttentionParams<T>& p;
    const AttentionLayout<T>& layout;
    const AttentionShared<T>& shared;
    AttentionArrays<T> in, tangent;
    AttentionOutputs<T> out;
  };

  AttentionWorker(const Task& task, const AttentionPanels<T>& panels, int thread)
      : p_(task.p),
        layout_(task.layout),
        task_(task),
        thread_(thread),
        geometry_(task.p),
        radial_(task.p, task.layout, task.shared, panels, radial_gradient(task, thread)),
        spherical_(task.p, task.layout, task.shared, panels),
        w_{panels.w, layout_.ldw},
        slope_{panels.slope, layout_.ldw},
        w_bar_{panels.w_bar, layout_.ldw},
        y_{panels.y, layout_.ldm},
        y_bar_{panels.y_bar, layout_.ldm},
        sums_{panels.folds} {
    const std::int64_t rows = (kDual ? 2 : 1) * kTile;
    clear(panels.w, rows * layout_.ldw);  // padding takes part in the products: it must be finite
    clear(panels.slope, rows * layout_.ldw);
    clear(panels.w_bar, rows * layout_.ldw);
    S* s = reinterpret_cast<S*>(panels.heads);
    for (S** here : {&forth_, &back_, &dot_forth_, &dot_back_, &bar_forth_, &bar_back_}) {
      *here = s;
      s += layout_.heads();
    }
  }

  void forward(std::int64_t begin, std::int64_t end) {
    clear_outputs(begin, end);
    tiles(begin, end, [&](const Pair* pairs, int n) {
      filters(pairs, n, false);
      for (int t = 0; t < n; ++t) {
        products(pairs[t], t);
        messages(pairs[t], t);
      }
    });
  }

  void backward(std::int64_t begin, std::int64_t end) {
    clear_outputs(begin, end);
    clear_edges(begin, end);
    const bool slopes = p_.grad.vec && radial_.tabulated(), weights = p_.grad.ws1 != nullptr;
    if (weights) spherical_.clear_gradients();
    tiles(begin, end, [&](const Pair* pairs, int n) {
      filters(pairs, n, slopes);
      G d_bar[kTile];
      for (int t = 0; t < n; ++t) d_bar[t] = pair_backward(pairs[t], t, slopes);
      filters_backward(pairs, n);
      if (p_.grad.vec) geometry_.pullback(pairs, n, d_bar, y_bar_, p_.grad.vec);
      if (weights) spherical_.accumulate(w_bar_, pairs, n);
    });
    if (weights) spherical_.write_gradients(p_.grad, thread_);
    if (radial_.tabulated()) radial_.finish();
  }

 private:
  static T* radial_gradient(const Task& task, int thread) {
    T* const grad = task.p.grad.radial;
    return grad ? grad + thread * task.layout.table_rows * 2 * task.layout.f : nullptr;
  }

  bool has_ev() const { return p_.shape.n_hidden > 0; }
  bool features_wanted() const { return task_.out.q1 != nullptr; }
  bool messages_wanted() const { return task_.out.x != nullptr; }

  void clear_outputs(std::int64_t begin, std::int64_t end) {
    const auto rows = [&](T* x, std::int64_t width) {
      if (x) clear(x + begin * width, (end - begin) * width);
    };
    const AttentionOutputs<T>& o = task_.out;
    for (T* x : {o.q1, o.k1, o.v1, o.x}) rows(x, layout_.block[0].width());
    for (T* x : {o.q2, o.k2}) rows(x, layout_.block[1].width());
    rows(p_.ev, layout_.m);
    rows(p_.grad.ev, layout_.m);
  }

  // Pairs beyond the cutoff, and those whose gradient the other edge carries, are not visited again.
  void clear_edges(std::int64_t begin, std::int64_t end) {
    const std::int64_t first = p_.graph.row_ptr[begin], count = p_.graph.row_ptr[end] - first;
    if (p_.grad.vec) clear(p_.grad.vec + 3 * first, 3 * count);
    if (p_.grad.radial && !radial_.tabulated()) clear(p_.grad.radial + first * 2 * layout_.f, count * 2 * layout_.f);
  }

  template <class Flush>
  void tiles(std::int64_t begin, std::int64_t end, Flush&& flush) {
    const double limit = p_.shape.cutoff.radius * p_.shape.cutoff.radius;
    const auto within = [&](const Pair& q) {
      const double* r = p_.in.vec + 3 * q.edge;
      return !(r[0] * r[0] + r[1] * r[1] + r[2] * r[2] >= limit);  // NaN goes on, for all to see
    };
    for_tiles<kTile>(p_.graph, begin, end, within, flush);
  }

  // Geometry and filters of a tile.
  void filters(const Pair* pairs, int n, bool slopes) {
    geometry_.evaluate(pairs, n, y_);
    for (int t = 0; t < n; ++t) radial_.evaluate(pairs[t], t, geometry_.distance(t), w_, slopes ? &slope_ : nullptr);
    if (has_ev()) spherical_.add_to(w_, pairs, n);
  }

  void filters_backward(const Pair* pairs, int n) {
    if (has_ev() && (p_.grad.ev || p_.grad.ws1)) spherical_.pullback(w_bar_, n);
    if (has_ev() && p_.grad.ev)
      for (int t = 0; t < n; ++t)
        spherical_.add_ev_gradient(pairs[t], t, p_.grad.ev + pairs[t].i * layout_.m,
                                   pairs[t].both ? p_.grad.ev + pairs[t].j * layout_.m : nullptr);
    if (p_.grad.radial)
      for (int t = 0; t < n; ++t)
        if (pairs[t].edge < pairs[t].reversed) radial_.accumulate(pairs[t], t, geometry_.distance(t), w_bar_);
  }

  S weight(int t) const { return narrow(geometry_.weight(t)); }
  static S narrow(G x) {
    if constexpr (kDual)
      return {static_cast<T>(x.v), static_cast<T>(x.d)};
    else
      return static_cast<T>(x);
  }
  static G wide(S x) {
    if constexpr (kDual)
      return {static_cast<double>(x.v), static_cast<double>(x.d)};
    else
      return static_cast<double>(x);
  }

  Source<T, kDual> source(const T* AttentionArrays<T>::* member, std::int64_t row) const {
    return {task_.in.*member + row, kDual ? task_.tangent.*member + row : nullptr};
  }
  // Queries and keys of one block for both atoms of a pair.
  struct Ends {
    Source<T, kDual> qi, kj, qj, ki;
  };
  Ends ends(int b, const Pair& q) const {
    const std::int64_t width = layout_.block[b].width(), i = q.i * width, j = q.j * width;
    const auto query = b ? &AttentionArrays<T>::q2 : &AttentionArrays<T>::q1;
    const auto key = b ? &AttentionArrays<T>::k2 : &AttentionArrays<T>::k1;
    return {source(query, i), source(key, j), source(query, j), source(key, i)};
  }

  // body(head, first column, column behind it, first column of its filters) for the heads of a block; heads are counted
  // through both blocks
  template <class Body>
  void for_heads(int b, Body&& body) const {
    const HeadLayout& h = layout_.block[b];
    for (std::int64_t k = 0; k < h.heads; ++k)
      body((b ? layout_.block[0].heads : 0) + k, k * h.stride, (k + 1) * h.stride, layout_.first[b] + k * h.size);
  }
  // body(head, first component, components, sign of Y(-u)) for the degrees
  template <class Body>
  void for_degrees(Body&& body) const {
    std::int64_t m = 0;
    for (int l = 0; l < p_.shape.n_degrees; ++l) {
      const int degree = p_.shape.degrees[l];
      body(layout_.block[0].heads + l, m, n_components(degree), degree % 2 ? T(-1) : T(1));
      m += n_components(degree);
    }
  }

  // forth_[h] = sum_{c in h} q_ic w_c k_jc and back_[h], the same with i and j exchanged, of both blocks
  void products(const Pair& pair, int t) {
    for (int b = 0; b < kBlocks; ++b) {
      const Ends e = ends(b, pair);
      const Source<T, kDual> w = w_.row(t);
      for_heads(b, [&](std::int64_t h, std::int64_t from, std::int64_t to, std::int64_t filter) {
        V forth{}, back{};
        for (std::int64_t k = from; k < to; k += kLanes<T>) {
          const V f = w.lanes(filter + k - from);
          forth += e.qi.lanes(k) * f * e.kj.lanes(k);
          back += e.qj.lanes(k) * f * e.ki.lanes(k);
        }
        sums_.put(h, forth);
        sums_.put(layout_.heads() + h, back);
      });
    }
    sums_.add_up(2 * layout_.heads(), forth_);  // back_ follows forth_
  }

  // x_i += phi forth v_j, ev_i += phi forth Y, and the same with i and j exchanged
  void messages(const Pair& q, int t) {
    const std::int64_t width = layout_.block[0].width();
    const S phi = weight(t);
    const auto vi = source(&AttentionArrays<T>::v1, q.i * width), vj = source(&AttentionArrays<T>::v1, q.j * width);
    T *xi = task_.out.x + q.i * width, *xj = task_.out.x + q.j * width;
    for_heads(0, [&](std::int64_t h, std::int64_t from, std::int64_t to, std::int64_t) {
      const V forth = spread(phi * forth_[h]), back = spread(phi * back_[h]);
      for (std::int64_t k = from; k < to; k += kLanes<T>) {
        add_lanes<T>(xi + k, emitted(forth * vj.lanes(k)));
        if (q.both) add_lanes<T>(xj + k, emitted(back * vi.lanes(k)));
      }
    });
    T *ei = p_.ev + q.i * layout_.m, *ej = p_.ev + q.j * layout_.m;
    for_degrees([&](std::int64_t h, std::int64_t m, int n, T sign) {
      const S forth = phi * forth_[h], back = sign * (phi * back_[h]);
      for (int k = 0; k < n; ++k) {
        const S y = y_.row(t).one(m + k);
        ei[m + k] += emitted(forth * y);
        if (q.both) ej[m + k] += emitted(back * y);
      }
    });
  }

  // All of one pair but what tiles do together. Leaves w_bar_ and y_bar_; returns the cotangent of the distance.
  G pair_backward(const Pair& pair, int t, bool slopes) {
    products(pair, t);
    if (kDual && messages_wanted()) messages(pair, t);
    value_dots(pair);
    harmonic_dots(pair, t);
    const S phi = weight(t);
    S phi_bar{};
    for (std::int64_t h = 0; h < layout_.heads(); ++h) {
      phi_bar += dot_forth_[h] * forth_[h] + dot_back_[h] * back_[h];
      bar_forth_[h] = phi * dot_forth_[h];
      bar_back_[h] = phi * dot_back_[h];
    }
    harmonic_bars(pair, t);
    if (features_wanted()) value_gradients(pair, phi);
    V d_bar{};
    for (int b = 0; b < kBlocks; ++b) channel_gradients(b, pair, t, slopes, d_bar);
    return wide(phi_bar) * geometry_.weight_slope(t) + wide(total(d_bar));
  }

  // dot_[h] = sum_{c in h} x_bar_ic v_jc, the cotangent of phi times the head's product
  void value_dots(const Pair& q) {
    const std::int64_t width = layout_.block[0].width();
    const T *gi = task_.in.x_bar + q.i * width, *gj = task_.in.x_bar + q.j * width;
    const auto vi = source(&AttentionArrays<T>::v1, q.i * width), vj = source(&AttentionArrays<T>::v1, q.j * width);
    for_heads(0, [&](std::int64_t h, std::int64_t from, std::int64_t to, std::int64_t) {
      V forth{}, back{};
      for (std::int64_t k = from; k < to; k += kLanes<T>) {
        forth += vj.lanes(k) * load(gi + k);
        back += vi.lanes(k) * load(gj + k);
      }
      sums_.put(h, forth);
      sums_.put(layout_.block[0].heads + h, back);
    });
    const std::int64_t heads = layout_.block[0].heads;
    sums_.add_up(heads, dot_forth_);
    sums_.behind(kDual ? 2 * heads : heads).add_up(heads, dot_back_);
  }

  void harmonic_dots(const Pair& q, int t) {
    const T *gi = p_.grad_ev + q.i * layout_.m, *gj = p_.grad_ev + q.j * layout_.m;
    for_degrees([&](std::int64_t h, std::int64_t m, int n, T sign) {
      S forth{}, back{};
      for (int k = 0; k < n; ++k) {
        const S y = y_.row(t).one(m + k);
        forth += y * gi[m + k];
        back += y * gj[m + k];
      }
      dot_forth_[h] = forth;
      dot_back_[h] = sign * back;
    });
  }

  void harmonic_bars(const Pair& q, int t) {
    const T *gi = p_.grad_ev + q.i * layout_.m, *gj = p_.grad_ev + q.j * layout_.m;
    const S phi = weight(t);
    for_degrees([&](std::int64_t h, std::int64_t m, int n, T sign) {
      const S forth = phi * forth_[h], back = sign * (phi * back_[h]);
      for (int k = 0; k < n; ++k) y_bar_.put(t, m + k, forth * gi[m + k] + back * gj[m + k]);
    });
  }

  // v_bar_j += phi forth x_bar_i
  void value_gradients(const Pair& q, S phi) {
    const std::int64_t width = layout_.block[0].width();
    const T *gi = task_.in.x_bar + q.i * width, *gj = task_.in.x_bar + q.j * width;
    T *vi = task_.out.v1 + q.i * width, *vj = task_.out.v1 + q.j * width;
    for_heads(0, [&](std::int64_t h, std::int64_t from, std::int64_t to, std::int64_t) {
      const Vec<T> forth = splat(emitted(phi * forth_[h])), back = splat(emitted(phi * back_[h]));
      for (std::int64_t k = from; k < to; k += kLanes<T>) {
        add_lanes<T>(vi + k, back * load(gj + k));
        if (q.both) add_lanes<T>(vj + k, forth * load(gi + k));
      }
    });
  }

  // w_bar = beta q_i k_j (+ reverse), q_bar_i += beta w k_j, k_bar_j += beta w q_i, d_bar += w_bar dw/dd
  void channel_gradients(int b, const Pair& pair, int t, bool slopes, V& d_bar) {
    const Ends e = ends(b, pair);
    const std::int64_t width = layout_.block[b].width();
    const Source<T, kDual> w = w_.row(t);
    const bool features = features_wanted();
    T *q = b ? task_.out.q2 : task_.out.q1, *k_out = b ? task_.out.k2 : task_.out.k1;
    T *qi = q + pair.i * width, *qj = q + pair.j * width, *ki = k_out + pair.i * width, *kj = k_out + pair.j * width;
    for_heads(b, [&](std::int64_t h, std::int64_t from, std::int64_t to, std::int64_t filter) {
      const V forth = spread(bar_forth_[h]), back = spread(bar_back_[h]);
      for (std::int64_t k = from; k < to; k += kLanes<T>) {
        const std::int64_t column = filter + k - from;
        const V a = e.qi.lanes(k), z = e.kj.lanes(k), c = e.qj.lanes(k), y = e.ki.lanes(k);
        const V w_bar = forth * (a * z) + back * (c * y);
        w_bar_.put(t, column, w_bar);
        if (slopes) d_bar += w_bar * slope_.row(t).lanes(column);
        if (!features) continue;
        const V f = w.lanes(column), there = forth * f, here = back * f;
        add_lanes<T>(qi + k, emitted(there * z));
        add_lanes<T>(ki + k, emitted(here * c));
        if (!pair.both) continue;
        add_lanes<T>(qj + k, emitted(here * y));
        add_lanes<T>(kj + k, emitted(there * a));
      }
    });
  }

  const AttentionParams<T>& p_;
  const AttentionLayout<T>& layout_;
  Task task_;
  int thread_;
  PairGeometry<T, kDual> geometry_;
  RadialFilters<T, kDual> radial_;
  SphericalFilters<T, kDual> spherical_;
  P w_, slope_, w_bar_, y_, y_bar_;
  LaneSums<T> sums_;
  S *forth_, *back_, *dot_forth_, *dot_back_, *bar_forth_, *bar_back_;  // [heads of both blocks] of one pair
};

}  // namespace pyff::PYFF_ISA
