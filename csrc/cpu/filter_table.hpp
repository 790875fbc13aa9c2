// Filters from tables of quintic polynomials: values and derivatives for a tile of distances, and the gradient of the
// coefficients.
#pragma once

#include "api/pyff.hpp"
#include "cpu/gemm.hpp"
#include "math/quintic.hpp"

namespace pyff::PYFF_ISA {

// Filters of a tile of pairs: w[order] is [tile, ld], order 0..2 = W, dW/dd, d2W/dd2.
template <class T>
struct FilterTile {
  T* w[3];
  std::int64_t ld;
};

template <class T>
class TableFilter {
 public:
  static constexpr int kTile = kTableTile;

  // grad: this thread's [K, 6, F] gradient or null
  TableFilter(const CfconvTableParams<T>& p, int thread, T*)
      : table_(p.filter), features_(p.data.n_features), inv_(1.0 / p.filter.spacing) {
    const std::int64_t size = table_.n_intervals * kTableOrder * features_;
    grad_ = p.grad.coef ? p.grad.coef + thread * size : nullptr;
    if (grad_)
      for (std::int64_t k = 0; k < size; ++k) grad_[k] = T(0);
  }

  static std::int64_t scratch(const CfconvTableParams<T>&) { return 0; }

  void evaluate(const double* d, int n, int order, const FilterTile<T>& out) {
    for (int t = 0; t < n; ++t) {
      T* w[3] = {out.w[0] + t * out.ld, out.w[1] + t * out.ld, out.w[2] + t * out.ld};
      if (outside(d[t])) {
        for (int o = 0; o <= order; ++o)
          for (std::int64_t f = 0; f < features_; ++f) w[o][f] = T(0);
        continue;
      }
      const TablePoint at = table_point(d[t], table_.start, inv_, table_.n_intervals);
      polynomial(table_.coef + at.interval * kTableOrder * features_, T(at.u), order, w);
    }
  }

  // Adds the gradient of sum_t <wb_t, W(d_t)> + <db_t, W'(d_t)>; db may be null.
  void accumulate(const double* d, int n, const T* wb, const T* db, std::int64_t ld) {
    for (int t = 0; t < n; ++t) {
      if (outside(d[t])) continue;
      const TablePoint at = table_point(d[t], table_.start, inv_, table_.n_intervals);
      T* c = grad_ + at.interval * kTableOrder * features_;
      for_lanes<T>(features_, [&](std::int64_t f, auto lane) {
        auto bars = rows(c + f, lane);
        const auto value = lane.get(wb + t * ld + f);
        add_quintic_gradient(bars.c, T(at.u), T(inv_), value, db ? lane.get(db + t * ld + f) : value * T(0));
        for (int m = 0; m < kTableOrder; ++m) lane.put(c + m * features_ + f, bars.c[m]);
      });
    }
  }

  void finish() {}

 private:
  template <class V>
  struct Rows {
    V c[kTableOrder];
  };

  // The six coefficients of one interval, for a lane of features.
  template <class Lane>
  auto rows(const T* c, Lane lane) const {
    Rows<decltype(lane.get(c))> r;
    for (int m = 0; m < kTableOrder; ++m) r.c[m] = lane.get(c + m * features_);
    return r;
  }

  bool outside(double d) const { return !table_covers(d, table_.start, table_.spacing, table_.n_intervals); }

  void polynomial(const T* c, T u, int order, T* const* w) const {
    const T inv = T(inv_);
    for_lanes<T>(features_, [&](std::int64_t f, auto lane) {
      const auto r = rows(c + f, lane);
      lane.put(w[0] + f, quintic_value(r.c, u));
      if (order >= 1) lane.put(w[1] + f, quintic_slope(r.c, u, inv));
      if (order >= 2) lane.put(w[2] + f, quintic_curvature(r.c, u, inv));
    });
  }

  FilterTable<T> table_;
  std::int64_t features_;
  double inv_;
  T* grad_;
};

}  // namespace pyff::PYFF_ISA
