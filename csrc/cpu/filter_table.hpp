// Filters from tables of quintic polynomials: values and derivatives for a tile of distances, and the gradient of the
// coefficients.
#pragma once

#include "api/pyff.hpp"
#include "cpu/gemm.hpp"
#include "math/hermite.hpp"

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
    const T inv = T(inv_);
    for (int t = 0; t < n; ++t) {
      if (outside(d[t])) continue;
      const TablePoint at = table_point(d[t], table_.start, inv_, table_.n_intervals);
      T* c = grad_ + at.interval * kTableOrder * features_;
      const T u = T(at.u);
      for_lanes<T>(features_, [&](std::int64_t f, auto lane) {
        auto power = lane.get(wb + t * ld + f);  // wb u^m
        auto slope = db ? lane.get(db + t * ld + f) * inv : power * T(0);  // db u^(m-1) / spacing
        lane.put(c + f, lane.get(c + f) + power);
        for (int m = 1; m < kTableOrder; ++m) {
          power *= u;
          T* row = c + m * features_ + f;
          lane.put(row, lane.get(row) + power + T(m) * slope);
          slope *= u;
        }
      });
    }
  }

  void finish() {}

 private:
  bool outside(double d) const { return !(d < table_.start + table_.spacing * static_cast<double>(table_.n_intervals)); }

  void polynomial(const T* c, T u, int order, T* const* w) const {
    const std::int64_t n = features_;
    const T inv = T(inv_);
    for_lanes<T>(n, [&](std::int64_t f, auto lane) {
      const auto c1 = lane.get(c + n + f), c2 = lane.get(c + 2 * n + f), c3 = lane.get(c + 3 * n + f),
                 c4 = lane.get(c + 4 * n + f), c5 = lane.get(c + 5 * n + f);
      lane.put(w[0] + f, ((((c5 * u + c4) * u + c3) * u + c2) * u + c1) * u + lane.get(c + f));
      if (order >= 1) lane.put(w[1] + f, ((((5 * c5 * u + 4 * c4) * u + 3 * c3) * u + 2 * c2) * u + c1) * inv);
      if (order >= 2) lane.put(w[2] + f, (((20 * c5 * u + 12 * c4) * u + 6 * c3) * u + 2 * c2) * (inv * inv));
    });
  }

  FilterTable<T> table_;
  std::int64_t features_;
  double inv_;
  T* grad_;
};

}  // namespace pyff::PYFF_ISA
