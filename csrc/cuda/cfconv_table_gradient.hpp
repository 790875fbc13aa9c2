// Gradient of a filter table's coefficients.
#pragma once

#include "cuda/cfconv_rows.hpp"
#include "cuda/table_gradient.hpp"

namespace pyff::cuda {

// interval[e] of the pair that edge e stands for; -1 if the reversed edge does, or beyond the table.
template <class T>
struct TableIntervals {
  static constexpr const char* kName = "table intervals";
  static constexpr int kThreads = 256;
  Graph graph;
  FilterTable<T> table;
  const double* distance;
  double inv_spacing;
  std::int32_t* interval;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    for (std::int64_t e = block.global_thread(); e < graph.n_edges; e += block.global_threads()) {
      const double d = distance[e];
      const bool stands = e < graph.edge_rev[e] && math::table_covers(d, table.start, table.spacing, table.n_intervals);
      const auto point = math::table_point(d, table.start, inv_spacing, table.n_intervals);
      interval[e] = stands ? static_cast<std::int32_t>(point.interval) : -1;
    }
  }
};

template <class T, int order>
struct CfconvTablePairs {
  CfconvData<T> data;
  double start, inv_spacing;

  // Both directions of a pair: the cotangents of its filter and of the filter's slope.
  PYFF_DEVICE void add(std::int64_t e, std::int64_t k, std::int64_t f, T (&c)[kTableOrder]) const {
    const std::int64_t i = data.graph.idx_i[e] * data.n_features + f, j = data.graph.idx_j[e] * data.n_features + f;
    const T u = T((data.distance[e] - start) * inv_spacing - static_cast<double>(k));
    const T gi = data.grad_y[i], gj = data.grad_y[j], forth = gi * data.h[j], back = gj * data.h[i];
    if constexpr (order == kBackward) {
      math::add_quintic_gradient(c, u, T(inv_spacing), forth + back, T(0));
    } else {
      const T slope = T(data.v[e]) * forth + T(data.v[data.graph.edge_rev[e]]) * back;
      math::add_quintic_gradient(c, u, T(inv_spacing), gi * data.u[j] + gj * data.u[i], slope);
    }
  }
};

template <class T>
TableGradientPlan<T> table_gradient_plan(const CfconvTableParams<T>& p, Arena& arena) {
  return {p.data.graph.n_edges, p.filter.n_intervals, p.data.n_features, p.grad.coef, arena};
}

template <class T>
void table_gradient(int order, const CfconvTableParams<T>& p, Arena& arena, simt::Stream stream) {
  const TableGradientPlan<T> plan = table_gradient_plan(p, arena);
  const double inv = 1.0 / p.filter.spacing;
  simt::launch(TableIntervals<T>{p.data.graph, p.filter, p.data.distance, inv, plan.interval},
               simt::Grid{simt::blocks_for(p.data.graph.n_edges, TableIntervals<T>::kThreads), 0, stream});
  if (order == kBackward)
    run_table_gradient(plan, CfconvTablePairs<T, kBackward>{p.data, p.filter.start, inv}, p.grad.coef, stream);
  else
    run_table_gradient(plan, CfconvTablePairs<T, kDoubleBackward>{p.data, p.filter.start, inv}, p.grad.coef, stream);
}

}  // namespace pyff::cuda
