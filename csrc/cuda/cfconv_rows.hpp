// The part of cfconv that walks the rows of the graph: y, grad_h, grad_grad_y and grad_distance. One block per
// receiver; its warps take the edges in turn, lanes take features; the warps' sums are added in order. The filter and
// its derivatives come from a Source: a table, or values that the filter network left in memory.
#pragma once

#include <cstdint>
#include <type_traits>

#include "api/pyff.hpp"
#include "cuda/arena.hpp"
#include "math/quintic.hpp"

namespace pyff::cuda {

namespace math = ::pyff::PYFF_ISA;

// V features side by side, loaded with one instruction.
template <class T, int V>
struct alignas(sizeof(T) * V) Pack {
  T x[V];
};

template <class T, int V>
PYFF_DEVICE Pack<T, V> load_pack(const T* p) {
  return *reinterpret_cast<const Pack<T, V>*>(p);
}

template <class T, int V>
PYFF_DEVICE Pack<T, V> zero_pack() {
  Pack<T, V> p;
  PYFF_UNROLL
  for (int k = 0; k < V; ++k) p.x[k] = T(0);
  return p;
}

// Where an edge's filter is.
enum class Found {
  here,
  zero,       // the edge is as long as the cutoff or longer
  elsewhere,  // another pass over the edges has it
};

template <class T>
struct TableSource {
  FilterTable<T> table;
  const double* distance;
  double inv_spacing;

  struct At {
    Found found;
    const T* coef;
    T u;
  };

  PYFF_DEVICE At find(std::int64_t e, std::int64_t n_features) const {
    const double d = distance[e];
    if (!math::table_covers(d, table.start, table.spacing, table.n_intervals)) return {Found::zero, nullptr, T(0)};
    const auto point = math::table_point(d, table.start, inv_spacing, table.n_intervals);
    return {Found::here, table.coef + point.interval * kTableOrder * n_features, T(point.u)};
  }

  // w[m] = m-th derivative of the filter, m < Jets
  template <int V, int Jets>
  PYFF_DEVICE void load(const At& at, std::int64_t n_features, std::int64_t f, Pack<T, V> (&w)[Jets]) const {
    Pack<T, V> row[kTableOrder];
    PYFF_UNROLL
    for (int m = 0; m < kTableOrder; ++m) row[m] = load_pack<T, V>(at.coef + m * n_features + f);
    const T inv = T(inv_spacing);
    PYFF_UNROLL
    for (int k = 0; k < V; ++k) {
      T c[kTableOrder];
      PYFF_UNROLL
      for (int m = 0; m < kTableOrder; ++m) c[m] = row[m].x[k];
      w[0].x[k] = math::quintic_value(c, at.u);
      if constexpr (Jets > 1) w[1].x[k] = math::quintic_slope(c, at.u, inv);
      if constexpr (Jets > 2) w[2].x[k] = math::quintic_curvature(c, at.u, inv);
    }
  }
};

// Filters of the pairs first .. first + count - 1, [Jets, capacity, F].
template <class T>
struct StoredSource {
  const T* filters;
  std::int64_t capacity;
  const std::int64_t* pair_of_edge;
  std::int64_t first, count;

  struct At {
    Found found;
    std::int64_t row;
  };

  PYFF_DEVICE At find(std::int64_t e, std::int64_t) const {
    const std::int64_t row = pair_of_edge[e] - first;
    return {row >= 0 && row < count ? Found::here : Found::elsewhere, row};
  }

  template <int V, int Jets>
  PYFF_DEVICE void load(const At& at, std::int64_t n_features, std::int64_t f, Pack<T, V> (&w)[Jets]) const {
    PYFF_UNROLL
    for (int m = 0; m < Jets; ++m) w[m] = load_pack<T, V>(filters + (m * capacity + at.row) * n_features + f);
  }
};

// Derivatives of the filter that an order needs. The last one only if the distance's gradient is wanted.
constexpr int jets_of(int order, bool distance) { return order == kForward ? 1 : order + (distance ? 1 : 0); }

template <class T, int V, int order, bool distance, class Source>
struct CfconvRows {
  static constexpr const char* kName = "cfconv rows";
  static constexpr int kThreads = 128;
  static constexpr int kWarps = kThreads / simt::kWarp;
  static constexpr int kChunk = simt::kWarp * V;  // features that a warp holds at a time
  static constexpr int kJets = jets_of(order, distance);
  using P = Pack<T, V>;

  CfconvData<T> data;
  CfconvResult<T> out;
  Source source;
  bool accumulate;  // add to the rows of an earlier pass

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    for (std::int64_t base = 0; base < data.n_features; base += kChunk) features(block, base);
  }

 private:
  struct Sums {
    P first, second;  // y; grad_h; grad_grad_y and grad_h
  };

  PYFF_DEVICE void features(const simt::Block& block, std::int64_t base) const {
    const std::int64_t i = block.index(), f = base + block.lane() * V, end = data.graph.row_ptr[i + 1];
    const bool active = f < data.n_features;
    Sums sums{zero_pack<T, V>(), zero_pack<T, V>()};
    for (std::int64_t e = data.graph.row_ptr[i] + block.warp(); e < end; e += kWarps) {
      const auto at = source.find(e, data.n_features);
      if (at.found == Found::elsewhere) continue;  // the same for the whole warp
      T dot = T(0);
      if (active && at.found == Found::here) {
        P w[kJets];
        source.template load<V>(at, data.n_features, f, w);
        dot = add_edge(e, i, f, w, sums);
      }
      if constexpr (distance) {
        dot = simt::warp_sum(block, dot);
        if (block.lane() == 0) out.grad_distance[e] = dot + (base > 0 ? out.grad_distance[e] : 0.0);
      }
    }
    T* const first = order == kForward ? out.y : order == kBackward ? out.grad_h : out.grad_grad_y;
    if (first) store(block, sums.first, first, f, active);
    if (order == kDoubleBackward && out.grad_h) store(block, sums.second, out.grad_h, f, active);
  }

  // Adds an edge's terms; returns its part of grad_distance.
  PYFF_DEVICE T add_edge(std::int64_t e, std::int64_t i, std::int64_t f, const P (&w)[kJets], Sums& sums) const {
    const std::int64_t at_j = data.graph.idx_j[e] * data.n_features + f, at_i = i * data.n_features + f;
    T dot = T(0);
    if constexpr (order == kForward) {
      const P h = load_pack<T, V>(data.h + at_j);
      PYFF_UNROLL
      for (int k = 0; k < V; ++k) sums.first.x[k] += w[0].x[k] * h.x[k];
    } else if constexpr (order == kBackward) {
      const P g = load_pack<T, V>(data.grad_y + at_j);
      PYFF_UNROLL
      for (int k = 0; k < V; ++k) sums.first.x[k] += w[0].x[k] * g.x[k];
      if constexpr (distance) {
        const P h = load_pack<T, V>(data.h + at_j), gi = load_pack<T, V>(data.grad_y + at_i);
        PYFF_UNROLL
        for (int k = 0; k < V; ++k) dot += gi.x[k] * h.x[k] * w[1].x[k];
      }
    } else {
      const T v = T(data.v[e]), v_rev = T(data.v[data.graph.edge_rev[e]]);
      const P h = load_pack<T, V>(data.h + at_j), u = load_pack<T, V>(data.u + at_j);
      const P g = load_pack<T, V>(data.grad_y + at_j);
      PYFF_UNROLL
      for (int k = 0; k < V; ++k) {
        sums.first.x[k] += w[0].x[k] * u.x[k] + v * w[1].x[k] * h.x[k];
        sums.second.x[k] += v_rev * w[1].x[k] * g.x[k];
      }
      if constexpr (distance) {
        const P gi = load_pack<T, V>(data.grad_y + at_i);
        PYFF_UNROLL
        for (int k = 0; k < V; ++k) dot += gi.x[k] * (u.x[k] * w[1].x[k] + v * h.x[k] * w[2].x[k]);
      }
    }
    return dot;
  }

  // Adds the warps' sums in order and writes the row.
  PYFF_DEVICE void store(const simt::Block& block, const P& sum, T* rows, std::int64_t f, bool active) const {
    P* const shared = reinterpret_cast<P*>(block.shared());
    block.sync();
    shared[block.thread()] = sum;
    block.sync();
    if (block.warp() != 0 || !active) return;
    P* const at = reinterpret_cast<P*>(rows + block.index() * data.n_features + f);
    P total = accumulate ? *at : zero_pack<T, V>();
    PYFF_UNROLL
    for (int w = 0; w < kWarps; ++w)
      PYFF_UNROLL
      for (int k = 0; k < V; ++k) total.x[k] += shared[w * simt::kWarp + block.lane()].x[k];
    *at = total;
  }
};

template <class T, int V, int order, bool distance, class Source>
void launch_rows_as(const CfconvData<T>& data, const CfconvResult<T>& out, const Source& source, bool accumulate,
                    simt::Stream stream) {
  using Kernel = CfconvRows<T, V, order, distance, Source>;
  const std::int64_t shared = Kernel::kThreads * static_cast<std::int64_t>(sizeof(Pack<T, V>));
  simt::launch(Kernel{data, out, source, accumulate}, simt::Grid{data.graph.n_atoms, shared, stream});
}

// Run-time flags become template arguments here. filters: the array that the source reads.
template <class T, class Source>
void launch_rows(int order, const CfconvData<T>& data, const CfconvResult<T>& out, const Source& source,
                 const T* filters, bool accumulate, simt::Stream stream) {
  constexpr int kWide = 16 / sizeof(T);
  const auto aligned = [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; };
  const bool wide = data.n_features % kWide == 0 && aligned(data.h) && aligned(data.grad_y) && aligned(data.u) &&
                    aligned(out.y) && aligned(out.grad_h) && aligned(out.grad_grad_y) && aligned(filters);
  const auto with_order = [&](auto width) {
    constexpr int V = decltype(width)::value;
    if (order == kForward) return launch_rows_as<T, V, kForward, false>(data, out, source, accumulate, stream);
    const bool distance = out.grad_distance != nullptr;
    const auto with_distance = [&](auto wanted) {
      constexpr bool D = decltype(wanted)::value;
      if (order == kBackward) return launch_rows_as<T, V, kBackward, D>(data, out, source, accumulate, stream);
      launch_rows_as<T, V, kDoubleBackward, D>(data, out, source, accumulate, stream);
    };
    distance ? with_distance(std::true_type{}) : with_distance(std::false_type{});
  };
  wide ? with_order(std::integral_constant<int, kWide>{}) : with_order(std::integral_constant<int, 1>{});
}

// Whether the rows' kernel has anything to write.
template <class T>
bool wants_rows(int order, const CfconvResult<T>& out) {
  if (order == kForward) return out.y != nullptr;
  return out.grad_h || out.grad_distance || (order == kDoubleBackward && out.grad_grad_y);
}

}  // namespace pyff::cuda
