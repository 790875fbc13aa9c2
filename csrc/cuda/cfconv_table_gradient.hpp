// Gradient of a filter table's coefficients. A block owns one interval, one slice of the edges and 128 features: it
// looks for the pairs of its interval in order and keeps the six sums of each feature in registers. So no two blocks
// share a sum. Reading the slice's interval numbers once per interval costs less than the gathers that follow.
#pragma once

#include "cuda/cfconv_rows.hpp"
#include "cuda/reduce.hpp"

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
struct TableGradientKernel {
  static constexpr const char* kName = "table gradient";
  static constexpr int kThreads = 128;
  static constexpr int kWarps = kThreads / simt::kWarp;
  static constexpr int kRounds = 8;  // edges that a thread looks at before the found ones are summed
  static constexpr std::int64_t kSharedBytes = (kThreads * kRounds + kWarps * kRounds) * sizeof(std::int32_t);

  CfconvData<T> data;
  FilterTable<T> table;
  double inv_spacing;
  const std::int32_t* interval;
  std::int64_t slices, slice_edges, chunks;
  T* partial;  // [slices, K, 6, F]

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    const std::int64_t k = block.index() / (slices * chunks), slice = block.index() / chunks % slices;
    const std::int64_t f = block.index() % chunks * kThreads + block.thread();
    const std::int64_t begin = slice * slice_edges;
    const std::int64_t end = begin + slice_edges < data.graph.n_edges ? begin + slice_edges : data.graph.n_edges;
    auto* const found = reinterpret_cast<std::int32_t*>(block.shared());
    T c[kTableOrder] = {};
    for (std::int64_t first = begin; first < end; first += kThreads * kRounds) {
      const int n = collect(block, k, first, end, found);
      for (int at = 0; at < n; ++at)
        if (f < data.n_features) add_pair(first + found[at], k, f, c);
      block.sync();
    }
    if (f >= data.n_features) return;
    T* const out = partial + (slice * table.n_intervals + k) * kTableOrder * data.n_features + f;
    PYFF_UNROLL
    for (int m = 0; m < kTableOrder; ++m) out[m * data.n_features] = c[m];
  }

 private:
  // Offsets from `first` of the edges of interval k, in order; returns how many.
  PYFF_DEVICE int collect(const simt::Block& block, std::int64_t k, std::int64_t first, std::int64_t end,
                          std::int32_t* found) const {
    std::int32_t* const counts = found + kThreads * kRounds;  // [round, warp]
    unsigned hits[kRounds];
    PYFF_UNROLL
    for (int r = 0; r < kRounds; ++r) {
      const std::int64_t e = first + r * kThreads + block.thread();
      hits[r] = block.ballot(e < end && interval[e] == k);
      if (block.lane() == 0) counts[r * kWarps + block.warp()] = simt::popcount(hits[r]);
    }
    block.sync();
    int before = 0, total = 0;
    PYFF_UNROLL
    for (int r = 0; r < kRounds; ++r) {
      PYFF_UNROLL
      for (int w = 0; w < kWarps; ++w) {
        if (w == block.warp()) before = total;
        total += counts[r * kWarps + w];
      }
      const unsigned mine = 1u << block.lane();
      if (hits[r] & mine) found[before + simt::popcount(hits[r] & (mine - 1))] = r * kThreads + block.thread();
    }
    block.sync();
    return total;
  }

  // Both directions of a pair: the cotangents of its filter and of the filter's slope.
  PYFF_DEVICE void add_pair(std::int64_t e, std::int64_t k, std::int64_t f, T (&c)[kTableOrder]) const {
    const std::int64_t i = data.graph.idx_i[e] * data.n_features + f, j = data.graph.idx_j[e] * data.n_features + f;
    const T u = T((data.distance[e] - table.start) * inv_spacing - static_cast<double>(k));
    const T gi = data.grad_y[i], gj = data.grad_y[j], forth = gi * data.h[j], back = gj * data.h[i];
    if constexpr (order == kBackward) {
      math::add_quintic_gradient(c, u, T(inv_spacing), forth + back, T(0));
    } else {
      const T slope = T(data.v[e]) * forth + T(data.v[data.graph.edge_rev[e]]) * back;
      math::add_quintic_gradient(c, u, T(inv_spacing), gi * data.u[j] + gj * data.u[i], slope);
    }
  }
};

// How the work is cut; depends on sizes alone, so that results do not depend on the device.
template <class T>
struct TableGradientPlan {
  std::int64_t slices, slice_edges, chunks, coefficients;
  std::int32_t* interval;
  T* partial;

  TableGradientPlan(const CfconvTableParams<T>& p, Arena& arena) {
    constexpr std::int64_t kBlocks = 1024, kMaxSlices = 16, kMinEdges = 4096;
    const std::int64_t n_edges = p.data.graph.n_edges, k = p.filter.n_intervals;
    chunks = simt::divide_up(p.data.n_features, 128);
    slices = kBlocks / (k * chunks);
    if (slices > n_edges / kMinEdges) slices = n_edges / kMinEdges;
    slices = slices < 1 ? 1 : slices > kMaxSlices ? kMaxSlices : slices;
    slice_edges = simt::divide_up(n_edges, slices);
    coefficients = k * kTableOrder * p.data.n_features;
    interval = arena.take<std::int32_t>(n_edges);
    partial = slices > 1 ? arena.take<T>(slices * coefficients) : p.grad.coef;
  }
};

template <class T>
void table_gradient(int order, const CfconvTableParams<T>& p, Arena& arena, simt::Stream stream) {
  const TableGradientPlan<T> plan(p, arena);
  const double inv = 1.0 / p.filter.spacing;
  const std::int64_t n_edges = p.data.graph.n_edges;
  simt::launch(TableIntervals<T>{p.data.graph, p.filter, p.data.distance, inv, plan.interval},
               simt::Grid{simt::blocks_for(n_edges, TableIntervals<T>::kThreads), 0, stream});
  const auto run = [&](auto which) {
    using Kernel = TableGradientKernel<T, decltype(which)::value>;
    simt::launch(Kernel{p.data, p.filter, inv, plan.interval, plan.slices, plan.slice_edges, plan.chunks, plan.partial},
                 simt::Grid{p.filter.n_intervals * plan.slices * plan.chunks, Kernel::kSharedBytes, stream});
  };
  if (order == kBackward)
    run(std::integral_constant<int, kBackward>{});
  else
    run(std::integral_constant<int, kDoubleBackward>{});
  if (plan.slices > 1)
    sum_partials(SumPartials<T>{plan.partial, plan.slices, plan.coefficients, plan.coefficients, p.grad.coef}, stream);
}

}  // namespace pyff::cuda
