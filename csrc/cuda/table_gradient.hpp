// Gradient of the coefficients of a table, [K, 6, C]. A block owns one interval, one slice of the edges and 128 columns:
// it looks for the pairs of its interval in order and keeps the six sums of each column in registers. So no two blocks
// share a sum. Reading the slice's interval numbers once per interval costs less than the gathers that follow.
#pragma once

#include "cuda/arena.hpp"
#include "cuda/collect.hpp"
#include "cuda/formulas.hpp"
#include "cuda/reduce.hpp"
#include "math/quintic.hpp"

namespace pyff::cuda {

constexpr int kTableThreads = 128;

// How the work is cut; depends on sizes alone, so that results do not depend on the device.
template <class T>
struct TableGradientPlan {
  std::int64_t n_edges, n_intervals, n_columns;
  std::int64_t slices, slice_edges, chunks;
  std::int32_t* interval;  // [E] of the pair that an edge stands for; -1 if the reversed edge does, or beyond the table
  T* partial;              // [slices, K, 6, C]

  // grad: where the gradient goes
  TableGradientPlan(std::int64_t edges, std::int64_t intervals, std::int64_t columns, T* grad, Arena& arena)
      : n_edges(edges), n_intervals(intervals), n_columns(columns) {
    constexpr std::int64_t kBlocks = 1024, kMaxSlices = 16, kMinEdges = 4096;
    chunks = simt::divide_up(n_columns, kTableThreads);
    slices = kBlocks / (n_intervals * chunks);
    if (slices > n_edges / kMinEdges) slices = n_edges / kMinEdges;
    slices = slices < 1 ? 1 : slices > kMaxSlices ? kMaxSlices : slices;
    slice_edges = simt::divide_up(n_edges, slices);
    interval = arena.take<std::int32_t>(n_edges);
    partial = slices > 1 ? arena.take<T>(slices * coefficients()) : grad;
  }

  std::int64_t coefficients() const { return n_intervals * kTableOrder * n_columns; }
};

// Pairs: add(e, interval, column, c) adds what the pair of edge e gives to the six coefficients of a column.
template <class T, class Pairs>
struct TableGradientKernel {
  static constexpr const char* kName = "table gradient";
  static constexpr int kThreads = kTableThreads;
  using Find = Collector<kThreads, 8>;
  static constexpr std::int64_t kSharedBytes = Find::kSlots * sizeof(std::int32_t);

  TableGradientPlan<T> plan;
  Pairs pairs;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    const std::int64_t k = block.index() / (plan.slices * plan.chunks), slice = block.index() / plan.chunks % plan.slices;
    const std::int64_t column = block.index() % plan.chunks * kThreads + block.thread();
    const std::int64_t begin = slice * plan.slice_edges;
    const std::int64_t end = begin + plan.slice_edges < plan.n_edges ? begin + plan.slice_edges : plan.n_edges;
    auto* const found = reinterpret_cast<std::int32_t*>(block.shared());
    T c[kTableOrder] = {};
    for (std::int64_t first = begin; first < end; first += Find::kItems) {
      const int n = Find::collect(block, first, end, found, [&](std::int64_t e) { return plan.interval[e] == k; });
      for (int at = 0; at < n; ++at)
        if (column < plan.n_columns) pairs.add(first + found[at], k, column, c);
      block.sync();
    }
    if (column >= plan.n_columns) return;
    T* const out = plan.partial + (slice * plan.n_intervals + k) * kTableOrder * plan.n_columns + column;
    PYFF_UNROLL
    for (int m = 0; m < kTableOrder; ++m) out[m * plan.n_columns] = c[m];
  }
};

// Once plan.interval is filled.
template <class T, class Pairs>
void run_table_gradient(const TableGradientPlan<T>& plan, const Pairs& pairs, T* grad, simt::Stream stream) {
  using Kernel = TableGradientKernel<T, Pairs>;
  simt::launch(Kernel{plan, pairs},
               simt::Grid{plan.n_intervals * plan.slices * plan.chunks, Kernel::kSharedBytes, stream});
  if (plan.slices == 1) return;
  sum_partials(SumPartials<T>{plan.partial, plan.slices, plan.coefficients(), plan.coefficients(), grad}, stream);
}

}  // namespace pyff::cuda
