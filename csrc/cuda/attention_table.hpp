// Gradient of the radial filters' coefficients, from the cotangents of the heads' products that the rows' kernel left.
#pragma once

#include "cuda/attention_weights.hpp"
#include "cuda/table_gradient.hpp"

namespace pyff::cuda {

// Where in the table the pairs lie: TableGradientPlan::interval, position within it, and that position's tangent.
template <class T, bool kDual>
struct AttentionIntervals {
  static constexpr const char* kName = "attention table intervals";
  static constexpr int kThreads = 256;
  AttentionData<T> data;
  std::int32_t* interval;
  T* u;        // [E]
  T* tangent;  // [E]

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    for (std::int64_t e = block.global_thread(); e < data.p.graph.n_edges; e += block.global_threads()) {
      interval[e] = -1;
      if (e > data.p.graph.edge_rev[e] || !data.within(e)) continue;
      const double* const r = data.p.in.vec + 3 * e;
      const double d = math::sqrt_of(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]);
      const auto at = data.point(d);
      interval[e] = static_cast<std::int32_t>(at.interval);
      u[e] = T(at.u);
      if constexpr (kDual) {
        const double* const v = data.p.tangent.vec + 3 * e;
        tangent[e] = T(at.d1 * ((r[0] * v[0] + r[1] * v[1] + r[2] * v[2]) / d));
      }
    }
  }
};

template <class T, bool kDual>
struct AttentionTablePairs {
  AttentionData<T> data;
  const T* u;
  const T* tangent;

  // The tangent of w_bar u^m is w_bar' u^m + w_bar m u^(m-1) u'.
  PYFF_DEVICE void add(std::int64_t e, std::int64_t, std::int64_t column, T (&c)[kTableOrder]) const {
    const Graph& g = data.p.graph;
    const TileEdge edge{g.idx_i[e], g.idx_j[e], e, g.edge_rev[e]};
    const auto w_bar = filter_bar<T, kDual>(data, edge, static_cast<int>(column));
    const T slope = kDual ? tangent[e] * math::value_of(w_bar) : T(0);
    math::add_quintic_gradient(c, u[e], T(1), emitted(w_bar), slope);
  }
};

template <class T>
struct AttentionTable {
  TableGradientPlan<T> plan;
  T *u, *tangent;

  AttentionTable(const AttentionParams<T>& p, Arena& arena)
      : plan(p.graph.n_edges, p.shape.n_intervals, 2 * p.shape.n_features, p.grad.radial, arena),
        u(arena.take<T>(p.graph.n_edges)),
        tangent(arena.take<T>(p.graph.n_edges)) {}

  template <bool kDual>
  void run(const AttentionData<T>& data, simt::Stream stream) const {
    using Intervals = AttentionIntervals<T, kDual>;
    simt::launch(Intervals{data, plan.interval, u, tangent},
                 simt::Grid{simt::blocks_for(plan.n_edges, Intervals::kThreads), 0, stream});
    const AttentionTablePairs<T, kDual> pairs{data, u, tangent};
    run_table_gradient(plan, pairs, data.p.grad.radial, stream);
  }
};

}  // namespace pyff::cuda
