// Filters from the network itself, W = act_last(W2 act(W1 g + b1) + b2) C(d): forward duals to second order for a tile
// of distances, and the gradient of the weights by the reverse of the first-order duals
// (docs/derivations/cfconv.md). The orders of a tile are stacked, so each layer is one matrix product.
#pragma once

#include "cpu/filter_table.hpp"

namespace pyff::PYFF_ISA {

template <class T>
class NetworkFilter {
 public:
  static constexpr int kTile = kNetworkTile;

  NetworkFilter(const CfconvNetworkParams<T>& p, int thread, T* scratch)
      : NetworkFilter(p.filter, p.data.n_features, p.grad, thread, scratch) {}

  NetworkFilter(const FilterNetwork<T>& net, std::int64_t f, const NetworkGradient<T>& grad, int thread, T* scratch)
      : net_(net), f_(f), g_(net.basis.size), ldf_(padded<T>(f_)), ldg_(padded<T>(g_)) {
    carve(scratch);
    for (std::int64_t r = 0; r < f_; ++r) {
      for (std::int64_t k = 0; k < g_; ++k) w1t_[k * ldf_ + r] = net_.w1[r * g_ + k];
      for (std::int64_t k = 0; k < f_; ++k) w2t_[k * ldf_ + r] = w2_[r * ldf_ + k] = net_.w2[r * f_ + k];
    }
    if (grad.w1)
      grad_ = {grad.w1 + thread * f_ * g_, grad.b1 + thread * f_, grad.w2 + thread * f_ * f_, grad.b2 + thread * f_};
  }

  static std::int64_t scratch(const CfconvNetworkParams<T>& p) {
    return filter_network_elements<T>(p.data.n_features, p.filter.basis.size);
  }

  void evaluate(const double* d, int n, int order, const FilterTile<T>& out) {
    n_ = n;
    basis(d, order);
    layer({basis_, ldg_, g_}, {w1t_, net_.b1, net_.activation}, in1_, out1_, order);
    layer({out1_, ldf_, f_}, {w2t_, net_.b2, net_.last_activation}, in2_, out2_, order);
    for (int t = 0; t < n; ++t) {
      const Jet<double> c = cutoff(net_.cutoff, d[t]);
      const T c0 = T(c.v), c1 = T(c.d1), c2 = T(c.d2);
      for_lanes<T>(f_, [&](std::int64_t k, auto lane) {
        const auto w = lane.get(row(out2_, 0, t) + k);
        lane.put(out.w[0] + t * out.ld + k, c0 * w);
        if (order < 1) return;
        const auto w1 = lane.get(row(out2_, 1, t) + k);
        lane.put(out.w[1] + t * out.ld + k, c1 * w + c0 * w1);
        if (order < 2) return;
        lane.put(out.w[2] + t * out.ld + k, c2 * w + 2 * c1 * w1 + c0 * lane.get(row(out2_, 2, t) + k));
      });
    }
  }

  // Follows evaluate() of the same tile. Adds the gradient of sum_t <wb_t, W(d_t)> + <db_t, W'(d_t)>; db may be null.
  void accumulate(const double* d, int n, const T* wb, const T* db, std::int64_t ld) {
    const T* bars[3] = {wb, db, nullptr};
    accumulate(d, n, bars, db ? 2 : 1, ld);
  }

  // The same for values, slopes and curvatures: bars[order] is [tile, ld].
  void accumulate(const double* d, int n, const T* const* bars, int orders, std::int64_t ld) {
    for (int t = 0; t < n; ++t) through_cutoff(d[t], t, bars, orders, ld);
    through_activation(net_.last_activation, in2_, bar2_, orders);
    weight_gradient({bar2_, grad_w2_, grad_b2_}, out1_, ldf_, orders);
    for (int o = 0; o < orders; ++o)
      gemm<T>({n_, ldf_, f_}, {row(bar2_, o, 0), ldf_, 1}, w2_, ldf_, row(bar1_, o, 0), ldf_, false);
    through_activation(net_.activation, in1_, bar1_, orders);
    weight_gradient({bar1_, grad_w1_, grad_b1_}, basis_, ldg_, orders);
  }

  // Writes this thread's gradients where the caller wants them.
  void finish() {
    if (!grad_.w1) return;
    for (std::int64_t r = 0; r < f_; ++r) {
      for (std::int64_t k = 0; k < g_; ++k) grad_.w1[r * g_ + k] = grad_w1_[r * ldg_ + k];
      for (std::int64_t k = 0; k < f_; ++k) grad_.w2[r * f_ + k] = grad_w2_[r * ldf_ + k];
      grad_.b1[r] = grad_b1_[r];
      grad_.b2[r] = grad_b2_[r];
    }
  }

 private:
  struct Panel {  // orders x tile rows
    T* data;
    std::int64_t ld;
    std::int64_t columns;
  };
  struct Layer {
    const T* transposed;
    const T* bias;
    Activation act;
  };
  struct Gradient {
    T* bar;
    T* weight;
    T* bias;
  };

  T* row(T* panel, int order, int t) const { return panel + (order * kTile + t) * ldf_; }

  void basis(const double* d, int order) {
    for (int t = 0; t < n_; ++t)
      for (int k = 0; k < g_; ++k) {
        const Jet<double> g = radial_basis(net_.basis, k, d[t]);
        basis_[t * ldg_ + k] = T(g.v);
        if (order >= 1) basis_[(kTile + t) * ldg_ + k] = T(g.d1);
        if (order >= 2) basis_[(2 * kTile + t) * ldg_ + k] = T(g.d2);
      }
  }

  // pre = in W^T + b (the bias belongs to order 0), post = act(pre) by the chain rule
  void layer(Panel in, Layer l, T* pre, T* post, int order) {
    gemm<T>({order * kTile + n_, ldf_, in.columns}, {in.data, in.ld, 1}, l.transposed, ldf_, pre, ldf_, false);
    for (int t = 0; t < n_; ++t)
      for_lanes<T>(f_, [&](std::int64_t k, auto lane) {
        T* p0 = row(pre, 0, t) + k;
        const auto x = lane.get(p0) + lane.get(l.bias + k);
        lane.put(p0, x);
        const auto a = activation(l.act, x);
        lane.put(row(post, 0, t) + k, a.v);
        if (order < 1) return;
        const auto x1 = lane.get(row(pre, 1, t) + k);
        lane.put(row(post, 1, t) + k, a.d1 * x1);
        if (order < 2) return;
        lane.put(row(post, 2, t) + k, a.d2 * x1 * x1 + a.d1 * lane.get(row(pre, 2, t) + k));
      });
  }

  void through_cutoff(double distance, int t, const T* const* bars, int orders, std::int64_t ld) {
    const Jet<double> c = cutoff(net_.cutoff, distance);
    const T c0 = T(c.v), c1 = T(c.d1), c2 = T(c.d2);
    for_lanes<T>(f_, [&](std::int64_t k, auto lane) {
      auto b0 = c0 * lane.get(bars[0] + t * ld + k);
      if (orders >= 2) {
        const auto slope = lane.get(bars[1] + t * ld + k);
        b0 += c1 * slope;
        auto b1 = c0 * slope;
        if (orders >= 3) {
          const auto curve = lane.get(bars[2] + t * ld + k);
          b0 += c2 * curve;
          b1 += 2 * c1 * curve;
          lane.put(row(bar2_, 2, t) + k, c0 * curve);
        }
        lane.put(row(bar2_, 1, t) + k, b1);
      }
      lane.put(row(bar2_, 0, t) + k, b0);
    });
  }

  // Cotangents of act(x) and its derivatives along the distance become those of x, x', x''.
  void through_activation(Activation act, T* pre, T* bar, int orders) {
    if (act == Activation::identity) return;
    for (int t = 0; t < n_; ++t)
      for_lanes<T>(f_, [&](std::int64_t k, auto lane) {
        const auto a = activation(act, lane.get(row(pre, 0, t) + k));
        auto x = lane.get(row(bar, 0, t) + k) * a.d1;
        if (orders >= 2) {
          const auto slope = lane.get(row(bar, 1, t) + k), x1 = lane.get(row(pre, 1, t) + k);
          x += slope * a.d2 * x1;
          auto y = slope * a.d1;
          if (orders >= 3) {
            const auto curve = lane.get(row(bar, 2, t) + k);
            x += curve * (a.d3 * x1 * x1 + a.d2 * lane.get(row(pre, 2, t) + k));
            y += 2 * curve * a.d2 * x1;
            lane.put(row(bar, 2, t) + k, curve * a.d1);
          }
          lane.put(row(bar, 1, t) + k, y);
        }
        lane.put(row(bar, 0, t) + k, x);
      });
  }

  // weight[out, in] += sum over orders and tile of bar[out] input[in]; bias[out] += bar[out] of order 0
  void weight_gradient(Gradient g, const T* input, std::int64_t ld, int orders) {
    for (int o = 0; o < orders; ++o)
      gemm<T>({f_, ld, n_}, {row(g.bar, o, 0), 1, ldf_}, input + o * kTile * ld, ld, g.weight, ld, true);
    for (int t = 0; t < n_; ++t)
      for_lanes<T>(f_, [&](std::int64_t k, auto lane) {
        lane.put(g.bias + k, lane.get(g.bias + k) + lane.get(row(g.bar, 0, t) + k));
      });
  }

  // In the order and sizes that filter_network_elements adds up.
  void carve(T* p) {
    auto next = [&p](std::int64_t n) {
      T* here = p;
      for (std::int64_t k = 0; k < n; ++k) here[k] = T(0);  // padding takes part in the products: it must be finite
      p += n;
      return here;
    };
    basis_ = next(3 * kTile * ldg_);
    in1_ = next(3 * kTile * ldf_);
    out1_ = next(3 * kTile * ldf_);
    in2_ = next(3 * kTile * ldf_);
    out2_ = next(3 * kTile * ldf_);
    bar1_ = next(3 * kTile * ldf_);
    bar2_ = next(3 * kTile * ldf_);
    w1t_ = next(g_ * ldf_);
    w2t_ = next(f_ * ldf_);
    w2_ = next(f_ * ldf_);
    grad_w1_ = next(f_ * ldg_);
    grad_w2_ = next(f_ * ldf_);
    grad_b1_ = next(ldf_);
    grad_b2_ = next(ldf_);
  }

  FilterNetwork<T> net_;
  NetworkGradient<T> grad_{};
  std::int64_t f_, g_, ldf_, ldg_;
  int n_ = 0;
  T *basis_, *in1_, *out1_, *in2_, *out2_, *bar1_, *bar2_, *w1t_, *w2t_, *w2_, *grad_w1_, *grad_w2_, *grad_b1_,
      *grad_b2_;
};

}  // namespace pyff::PYFF_ISA
