// A tile of edges of equivariant attention in a block's shared memory: geometry, spherical harmonics and filters, all
// that the kernels of forward, backward and parameter gradients have in common. Equations:
// docs/derivations/attention.md. The threads of the block share the work; between two functions they need a barrier.
#pragma once

#include "api/pyff.hpp"
#include "cuda/arena.hpp"
#include "cuda/dual_numbers.hpp"
#include "cuda/collect.hpp"
#include "cuda/formulas.hpp"
#include "math/harmonics.hpp"
#include "math/quintic.hpp"

namespace pyff::cuda {

constexpr int kAttentionThreads = 128;
constexpr int kMaxDegreeHeads = 64;
constexpr int kMaxTileRows = 16;
constexpr int kRowGroup = 4;  // rows for which a thread uses a weight that it read

template <class T>
struct AttentionData {
  AttentionParams<T> p;  // its degrees are an array of the host
  const T* ws2;          // [S, 2F]: transposed, so that neighbouring threads read neighbouring weights
  void* bars;            // [E, H + L] numbers: cotangents of the heads' products; null if nobody reads them
  int tile_rows;
  int n_components;  // M
  signed char degrees[kMaxDegreeHeads];

  PYFF_HD int degree_heads() const { return p.shape.n_degrees; }
  PYFF_HD int heads() const { return p.shape.n_heads + p.shape.n_degrees; }
  PYFF_HD int columns() const { return static_cast<int>(2 * p.shape.n_features); }
  PYFF_HD int features() const { return static_cast<int>(p.shape.n_features); }
  PYFF_HD int hidden() const { return static_cast<int>(p.shape.n_hidden); }  // 0: no spherical filter
  PYFF_HD bool tabulated() const { return p.shape.n_intervals > 0; }
  PYFF_HD math::WarpedPoint point(double d) const {
    const AttentionShape& s = p.shape;
    return math::warped_point(d, s.start, s.spacing, s.decay, s.n_intervals);
  }

  // The channels of the columns of both blocks: those of x and those of ev.
  struct Head {
    int index, first, size;  // first column
  };
  PYFF_HD Head head(int index) const {
    const int f = features(), h = p.shape.n_heads;
    if (index < h) return {index, index * (f / h), f / h};
    const int size = f / degree_heads();
    return {index, f + (index - h) * size, size};
  }
  PYFF_HD int head_of(int column) const {
    const int f = features(), h = p.shape.n_heads;
    return column < f ? column / (f / h) : h + (column - f) / (f / degree_heads());
  }

  // Pairs beyond the cutoff weigh nothing; NaN goes on, for all to see.
  PYFF_DEVICE bool within(std::int64_t e) const {
    const double *r = p.in.vec + 3 * e, limit = p.shape.cutoff.radius;
    return !(r[0] * r[0] + r[1] * r[1] + r[2] * r[2] >= limit * limit);
  }
};

struct TileEdge {
  std::int64_t i, j, edge, reversed;
  PYFF_DEVICE bool owner() const { return edge < reversed; }  // of what the two edges of a pair share
};

// body(l) with the degree as a constant
template <class Body>
PYFF_DEVICE void with_degree(int degree, Body&& body) {
  if (degree == 1) return body(std::integral_constant<int, 1>{});
  if (degree == 2) return body(std::integral_constant<int, 2>{});
  if (degree == 3) return body(std::integral_constant<int, 3>{});
  body(std::integral_constant<int, 4>{});
}

template <class T, bool kDual>
struct AttentionTile {
  using N = Number<T, kDual>;
  using G = Number<double, kDual>;
  using Find = Collector<kAttentionThreads, 1>;
  static constexpr int kThreads = kAttentionThreads;
  static constexpr int kWarps = kThreads / simt::kWarp;

  struct Geometry {
    G distance, inverse;
    G u[3];
    G weight, weight_slope;  // phi(d) / nc and its derivative
  };
  struct TablePoint {  // position in the interval, and its derivatives along the distance
    T u, d1, d2;
  };
  struct HeadSums {
    N forth, back;          // phi sum_c q w k of i <- j and of j <- i
    N bar_forth, bar_back;  // cotangents of these sums without phi
    N weight_bar;           // the head's part of the cotangent of phi / nc
  };

  const AttentionData<T>& data;
  int count = 0;  // edges in the tile
  Geometry* geometry;     // [rows]
  G* u_bar;               // [rows, L, 3] cotangent of u through each degree head
  TileEdge* edge;         // [rows]
  std::int64_t* interval; // [rows] of the table
  N* harmonics;           // [rows, M]
  N* tau;                 // [rows, L]; later cotangents
  N *hidden, *slope;      // [rows, 2S] layer of the spherical filter, activation's derivative; hidden: later cotangents
  N* filter;              // [rows, 2F]; later cotangents
  HeadSums* sums;         // [rows, H + L]
  N* distance_bar;        // [rows] through the filter
  TablePoint* table;      // [rows]
  T* rows_of_i;           // [6F + 2M] sums of the receiver, in the order of AttentionRows
  std::int32_t* found;
  std::int32_t* first;      // [L] first component of a degree head
  std::int32_t* component;  // [M] degree head of a component
  std::int64_t bytes = 0;

  PYFF_HD AttentionTile(const AttentionData<T>& d, bool backward, char* memory) : data(d) {
    const std::int64_t r = d.tile_rows, b = backward ? r : 0, l = d.degree_heads(), m = d.n_components;
    const std::int64_t f = d.features();
    carve(memory, geometry, r);
    carve(memory, u_bar, b * l * 3);
    carve(memory, edge, r);
    carve(memory, interval, r);
    carve(memory, harmonics, r * m);
    carve(memory, tau, r * l);
    carve(memory, hidden, r * 2 * d.hidden());
    carve(memory, slope, b * 2 * d.hidden());
    carve(memory, filter, r * 2 * f);
    carve(memory, sums, r * d.heads());
    carve(memory, distance_bar, b);
    carve(memory, table, r);
    carve(memory, rows_of_i, backward ? 6 * f + 2 * m : f + m);
    carve(memory, found, static_cast<std::int64_t>(Find::kSlots));
    carve(memory, first, l);
    carve(memory, component, m);
  }

  // Once per block, before a barrier.
  PYFF_DEVICE void list_components(const simt::Block& block) const {
    for (int l = block.thread(); l < data.degree_heads(); l += kThreads) {
      int at = 0;
      for (int k = 0; k < l; ++k) at += 2 * data.degrees[k] + 1;
      first[l] = at;
      for (int m = 0; m < 2 * data.degrees[l] + 1; ++m) component[at + m] = l;
    }
  }

  // Makes this the tile of edges start + found[0 .. n - 1].
  PYFF_DEVICE void set_edges(const simt::Block& block, std::int64_t start, const std::int32_t* offsets, int n) {
    count = n;
    const Graph& g = data.p.graph;
    for (int t = block.thread(); t < n; t += kThreads) {
      const std::int64_t e = start + offsets[t];
      edge[t] = {g.idx_i[e], g.idx_j[e], e, g.edge_rev[e]};
    }
  }

  PYFF_DEVICE void evaluate_geometry(const simt::Block& block) const {
    const AttentionParams<T>& p = data.p;
    for (int t = block.thread(); t < count; t += kThreads) {
      G x[3];
      PYFF_UNROLL
      for (int k = 0; k < 3; ++k) x[k] = number<kDual>(p.in.vec, p.tangent.vec, 3 * edge[t].edge + k);
      Geometry g;
      g.distance = math::sqrt_of(x[0] * x[0] + x[1] * x[1] + x[2] * x[2]);
      g.inverse = 1.0 / g.distance;
      PYFF_UNROLL
      for (int k = 0; k < 3; ++k) g.u[k] = x[k] * g.inverse;
      const double d = math::value_of(g.distance), scale = 1.0 / p.shape.normalization;
      const auto phi = cutoff_of(p.shape.cutoff, d);
      g.weight = along<kDual>(scale * phi.v, scale * phi.d1, tangent_of(g.distance));
      g.weight_slope = along<kDual>(scale * phi.d1, scale * phi.d2, tangent_of(g.distance));
      geometry[t] = g;
      if (!data.tabulated()) continue;
      const auto at = data.point(d);
      interval[t] = at.interval;
      table[t] = {T(at.u), T(at.d1), T(at.d2)};
    }
  }

  PYFF_DEVICE N weight(int t) const { return converted<T>(geometry[t].weight); }

  // Follows evaluate_geometry.
  PYFF_DEVICE void evaluate_harmonics(const simt::Block& block) const {
    const int heads = data.degree_heads();
    for (int at = block.thread(); at < count * heads; at += kThreads) {
      const int t = at / heads, l = at % heads;
      N* const out = harmonics + t * data.n_components + first[l];
      with_degree(data.degrees[l], [&](auto degree) {
        constexpr int n = 2 * decltype(degree)::value + 1;
        G y[n];
        math::harmonics<decltype(degree)::value>(geometry[t].u, y);
        PYFF_UNROLL
        for (int m = 0; m < n; ++m) out[m] = converted<T>(y[m]);
      });
    }
  }

  PYFF_DEVICE N difference(int t, int m) const {  // of Euclidean variables, ev_j - ev_i
    const std::int64_t i = edge[t].i * data.n_components + m, j = edge[t].j * data.n_components + m;
    return number<kDual>(data.p.in.ev, data.p.tangent.ev, j) - number<kDual>(data.p.in.ev, data.p.tangent.ev, i);
  }
  PYFF_DEVICE T invariant_scale(int l) const { return T(1.0 / math::sqrt_of(2.0 * data.degrees[l] + 1)); }

  PYFF_DEVICE void evaluate_invariants(const simt::Block& block) const {
    const int heads = data.degree_heads();
    for (int at = block.thread(); at < count * heads; at += kThreads) {
      const int t = at / heads, l = at % heads;
      N norm{};
      for (int m = first[l]; m < first[l] + 2 * data.degrees[l] + 1; ++m) {
        const N x = difference(t, m);
        norm += x * x;
      }
      tau[at] = invariant_scale(l) * norm;
    }
  }

  // Follows evaluate_invariants.
  PYFF_DEVICE void evaluate_hidden(const simt::Block& block, bool slopes) const {
    const int width = 2 * data.hidden(), heads = data.degree_heads();
    for (int at = block.thread(); at < count * width; at += kThreads) {
      const int t = at / width, r = at % width;
      N x = N{} + data.p.in.bs1[r];
      for (int l = 0; l < heads; ++l) x += tau[t * heads + l] * data.p.in.ws1[r * heads + l];
      const auto a = activation_of(data.p.shape.activation, math::value_of(x));
      hidden[at] = along<kDual>(a.v, a.d1, tangent_of(x));
      if (slopes) slope[at] = along<kDual>(a.d1, a.d2, tangent_of(x));
    }
  }

  // Row k of a group; rows beyond the tile repeat its last one, and nobody stores what comes of them.
  PYFF_DEVICE int row_of(int group, int k) const {
    const int t = group * kRowGroup + k;
    return t < count ? t : count - 1;
  }
  PYFF_DEVICE int groups() const { return (count + kRowGroup - 1) / kRowGroup; }

  // Follows evaluate_geometry and, with a spherical filter, evaluate_hidden.
  PYFF_DEVICE void evaluate_filters(const simt::Block& block) const {
    const int columns = data.columns(), s = data.hidden(), width = 2 * s;
    for (int at = block.thread(); at < groups() * columns; at += kThreads) {
      const int group = at / columns, c = at % columns;
      N sum[kRowGroup];
      PYFF_UNROLL
      for (int k = 0; k < kRowGroup; ++k) sum[k] = radial(row_of(group, k), c);
      if (s > 0) {
        const N* in[kRowGroup];
        PYFF_UNROLL
        for (int k = 0; k < kRowGroup; ++k) {
          in[k] = hidden + row_of(group, k) * width + (c < data.features() ? 0 : s);
          sum[k] += data.p.in.bs2[c];
        }
        for (int r = 0; r < s; ++r) {
          const T w = data.ws2[static_cast<std::int64_t>(r) * columns + c];
          PYFF_UNROLL
          for (int k = 0; k < kRowGroup; ++k) sum[k] += w * in[k][r];
        }
      }
      PYFF_UNROLL
      for (int k = 0; k < kRowGroup; ++k)
        if (group * kRowGroup + k < count) filter[(group * kRowGroup + k) * columns + c] = sum[k];
    }
  }

  // Cotangents of the invariants' layer from those of the filters: hidden, which the filters need no more.
  PYFF_DEVICE void pull_hidden(const simt::Block& block) const {
    const int columns = data.columns(), f = data.features(), s = data.hidden(), width = 2 * s;
    for (int at = block.thread(); at < groups() * width; at += kThreads) {
      const int group = at / width, r = at % width, from = r < s ? 0 : f;
      const T* w = data.p.in.ws2 + static_cast<std::int64_t>(from) * s + r % s;
      N sum[kRowGroup] = {};
      const N* in[kRowGroup];
      PYFF_UNROLL
      for (int k = 0; k < kRowGroup; ++k) in[k] = filter + row_of(group, k) * columns + from;
      for (int c = 0; c < f; ++c) {
        const T weight = w[static_cast<std::int64_t>(c) * s];
        PYFF_UNROLL
        for (int k = 0; k < kRowGroup; ++k) sum[k] += weight * in[k][c];
      }
      PYFF_UNROLL
      for (int k = 0; k < kRowGroup; ++k) {
        const int t = group * kRowGroup + k;
        if (t < count) hidden[t * width + r] = sum[k] * slope[t * width + r];
      }
    }
  }

  // Follows pull_hidden: cotangents of tau, in its place.
  PYFF_DEVICE void pull_invariants(const simt::Block& block) const {
    const int width = 2 * data.hidden(), heads = data.degree_heads();
    for (int at = block.thread(); at < count * heads; at += kThreads) {
      const int t = at / heads, l = at % heads;
      N sum{};
      for (int r = 0; r < width; ++r) sum += hidden[t * width + r] * data.p.in.ws1[r * heads + l];
      tau[at] = sum;
    }
  }

  // Derivative of the radial part of a filter along the distance.
  PYFF_DEVICE N radial_slope(int t, int c) const {
    T coef[kTableOrder];
    load_coefficients(t, c, coef);
    const auto [u, d1, d2] = table[t];
    const T tangent = converted<T>(tangent_of(geometry[t].distance));
    T curvature = T(0);
    if constexpr (kDual) curvature = math::quintic_curvature(coef, u, d1) + math::quintic_slope(coef, u, d2);
    return along<kDual>(math::quintic_slope(coef, u, d1), curvature, tangent);
  }

 private:
  template <class X>
  PYFF_HD void carve(char* memory, X*& array, std::int64_t n) {
    array = memory ? reinterpret_cast<X*>(memory + bytes) : nullptr;
    bytes += (n * static_cast<std::int64_t>(sizeof(X)) + 15) / 16 * 16;
  }

  PYFF_DEVICE void load_coefficients(int t, int c, T (&coef)[kTableOrder]) const {
    const std::int64_t columns = data.columns();
    const T* const at = data.p.in.radial + interval[t] * kTableOrder * columns + c;
    PYFF_UNROLL
    for (int m = 0; m < kTableOrder; ++m) coef[m] = at[m * columns];
  }

  PYFF_DEVICE N radial(int t, int c) const {
    if (!data.tabulated())
      return number<kDual>(data.p.in.radial, data.p.tangent.radial, edge[t].edge * data.columns() + c);
    T coef[kTableOrder];
    load_coefficients(t, c, coef);
    T slope_here = T(0);
    if constexpr (kDual) slope_here = math::quintic_slope(coef, table[t].u, table[t].d1);
    return along<kDual>(math::quintic_value(coef, table[t].u), slope_here, tangent_of(geometry[t].distance));
  }
};

}  // namespace pyff::cuda
