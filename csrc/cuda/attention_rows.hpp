// The part of equivariant attention that walks the rows of the graph. One block per receiver i takes its edges tile by
// tile and, in the backward, each with its reverse: everything that falls on i comes from the edges i <- j and j <- i,
// so every output is written by its owner alone, in a fixed order. A pair's own gradients, those of its vector and of
// its radial filter, are written at the smaller of its two edges.
#pragma once

#include "cuda/attention_tile.hpp"

namespace pyff::cuda {

template <class T, int order>
struct AttentionRows {
  static constexpr const char* kName = order == kForward    ? "attention forward"
                                       : order == kBackward ? "attention backward"
                                                            : "attention double backward";
  static constexpr bool kDual = order == kDoubleBackward, kBack = order != kForward;
  static constexpr int kThreads = kAttentionThreads;
  static constexpr int kWarps = kThreads / simt::kWarp;
  using Tile = AttentionTile<T, kDual>;
  using N = typename Tile::N;
  using G = typename Tile::G;

  AttentionData<T> data;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    Tile tile(data, kBack, block.shared());
    tile.list_components(block);
    for (int c = block.thread(); c < row_length(); c += kThreads) tile.rows_of_i[c] = T(0);
    const std::int64_t i = block.index(), end = data.p.graph.row_ptr[i + 1];
    for (std::int64_t start = data.p.graph.row_ptr[i]; start < end; start += Tile::Find::kItems) {
      const int n = Tile::Find::collect(block, start, end, tile.found, [&](std::int64_t e) { return data.within(e); });
      for (int at = 0; at < n; at += data.tile_rows) {
        tile.set_edges(block, start, tile.found + at, n - at < data.tile_rows ? n - at : data.tile_rows);
        block.sync();
        run_tile(block, tile);
        block.sync();
      }
    }
    block.sync();
    write_row(block, tile, i);
  }

 private:
  // Sums of the receiver: those of x and ev, then those of q and k of both blocks, of v and of the gradient of ev.
  PYFF_DEVICE int messages() const { return data.features() + data.n_components; }
  PYFF_DEVICE int row_length() const {
    return kBack ? messages() + 5 * data.features() + data.n_components : messages();
  }
  PYFF_DEVICE bool wants_messages() const { return order == kForward || (kDual && data.p.x != nullptr); }
  PYFF_DEVICE bool wants_ev() const { return data.hidden() > 0 && data.p.grad.ev != nullptr; }

  PYFF_DEVICE void run_tile(const simt::Block& block, const Tile& tile) const {
    const bool spherical = data.hidden() > 0;
    tile.evaluate_geometry(block);
    if (spherical) tile.evaluate_invariants(block);
    block.sync();
    tile.evaluate_harmonics(block);
    if (spherical) tile.evaluate_hidden(block, kBack);
    block.sync();
    tile.evaluate_filters(block);
    block.sync();
    sum_heads(block, tile);
    block.sync();
    if (wants_messages()) add_ev_messages(block, tile);
    if constexpr (order == kForward) {
      add_messages(block, tile);
    } else {
      pull_columns(block, tile);
      block.sync();
      pull_pairs(block, tile);
    }
  }

  // ---- heads -----------------------------------------------------------------------------------------------------

  // Queries, keys and values of the two ends of an edge, from a head's first channel on.
  struct Ends {
    const T *value, *tangent;
    std::int64_t i, j;
    PYFF_DEVICE N at_i(std::int64_t c) const { return number<kDual>(value, tangent, i + c); }
    PYFF_DEVICE N at_j(std::int64_t c) const { return number<kDual>(value, tangent, j + c); }
  };
  PYFF_DEVICE Ends ends(const T* AttentionTensors<const T, const double>::* member, const TileEdge& q,
                        std::int64_t channel) const {
    const std::int64_t f = data.features();
    return {data.p.in.*member, kDual ? data.p.tangent.*member : nullptr, q.i * f + channel, q.j * f + channel};
  }
  using In = AttentionTensors<const T, const double>;
  PYFF_DEVICE Ends queries(const TileEdge& q, bool second, int channel) const {
    return ends(second ? &In::q2 : &In::q1, q, channel);
  }
  PYFF_DEVICE Ends keys(const TileEdge& q, bool second, int channel) const {
    return ends(second ? &In::k2 : &In::k1, q, channel);
  }

  // One warp per edge and head.
  PYFF_DEVICE void sum_heads(const simt::Block& block, const Tile& tile) const {
    const int heads = data.heads();
    for (int at = block.warp(); at < tile.count * heads; at += kWarps) {
      const int t = at / heads;
      const auto head = data.head(at % heads);
      typename Tile::HeadSums sums{};
      products(block, tile, t, head, sums);
      if constexpr (kBack) {
        if (head.index < data.p.shape.n_heads)
          value_dots(block, tile.edge[t], head, sums);
        else
          harmonic_dots(block, tile, t, head.index - data.p.shape.n_heads, sums);
      }
      if (block.lane() == 0) tile.sums[at] = weighted(tile, t, sums);
    }
  }

  PYFF_DEVICE void products(const simt::Block& block, const Tile& tile, int t, const typename AttentionData<T>::Head& h,
                            typename Tile::HeadSums& sums) const {
    const bool second = h.index >= data.p.shape.n_heads;
    const int channel = second ? h.first - data.features() : h.first;
    const Ends q = queries(tile.edge[t], second, channel), k = keys(tile.edge[t], second, channel);
    const N* const w = tile.filter + t * data.columns() + h.first;
    N forth{}, back{};
    for (int c = block.lane(); c < h.size; c += simt::kWarp) {
      forth += q.at_i(c) * w[c] * k.at_j(c);
      if constexpr (kBack) back += q.at_j(c) * w[c] * k.at_i(c);
    }
    sums.forth = sum_of_lanes(block, forth);
    if constexpr (kBack) sums.back = sum_of_lanes(block, back);
  }

  // x_bar_i v_j and x_bar_j v_i
  PYFF_DEVICE void value_dots(const simt::Block& block, const TileEdge& edge, const typename AttentionData<T>::Head& h,
                              typename Tile::HeadSums& sums) const {
    const Ends v = ends(&In::v1, edge, h.first);
    N forth{}, back{};
    for (int c = block.lane(); c < h.size; c += simt::kWarp) {
      forth += v.at_j(c) * data.p.grad_x[v.i + c];
      back += v.at_i(c) * data.p.grad_x[v.j + c];
    }
    sums.bar_forth = sum_of_lanes(block, forth);
    sums.bar_back = sum_of_lanes(block, back);
  }

  // Y(u) ev_bar_i and Y(-u) ev_bar_j
  PYFF_DEVICE void harmonic_dots(const simt::Block& block, const Tile& tile, int t, int l,
                                 typename Tile::HeadSums& sums) const {
    const std::int64_t m = data.n_components, i = tile.edge[t].i * m, j = tile.edge[t].j * m;
    const int first = tile.first[l], k = first + block.lane();
    N forth{}, back{};
    if (block.lane() < 2 * data.degrees[l] + 1) {
      const N y = tile.harmonics[t * m + k];
      forth = y * data.p.grad_ev[i + k];
      back = y * (parity(l) * data.p.grad_ev[j + k]);
    }
    sums.bar_forth = sum_of_lanes(block, forth);
    sums.bar_back = sum_of_lanes(block, back);
  }
  PYFF_DEVICE T parity(int l) const { return data.degrees[l] % 2 ? T(-1) : T(1); }

  PYFF_DEVICE typename Tile::HeadSums weighted(const Tile& tile, int t, typename Tile::HeadSums s) const {
    const N phi = tile.weight(t);
    s.weight_bar = s.bar_forth * s.forth + s.bar_back * s.back;
    s.forth = phi * s.forth;
    s.back = phi * s.back;
    s.bar_forth = phi * s.bar_forth;
    s.bar_back = phi * s.bar_back;
    return s;
  }

  // ---- messages --------------------------------------------------------------------------------------------------

  PYFF_DEVICE void add_messages(const simt::Block& block, const Tile& tile) const {
    for (int c = block.thread(); c < data.features(); c += kThreads) {
      const int h = data.head_of(c);
      T sum = T(0);
      for (int t = 0; t < tile.count; ++t)
        sum += tile.sums[t * data.heads() + h].forth * data.p.in.v1[tile.edge[t].j * data.features() + c];
      tile.rows_of_i[c] += sum;
    }
  }

  PYFF_DEVICE void add_ev_messages(const simt::Block& block, const Tile& tile) const {
    for (int m = block.thread(); m < data.n_components; m += kThreads) {
      const int h = data.p.shape.n_heads + tile.component[m];
      T sum = T(0);
      for (int t = 0; t < tile.count; ++t)
        sum += emitted(tile.sums[t * data.heads() + h].forth * tile.harmonics[t * data.n_components + m]);
      tile.rows_of_i[data.features() + m] += sum;
    }
  }

  // ---- backward --------------------------------------------------------------------------------------------------

  // Per column of both blocks: w_bar, which replaces w, and what falls on q_i, k_i, v_i.
  PYFF_DEVICE void pull_columns(const simt::Block& block, const Tile& tile) const {
    const int f = data.features();
    T* const of_features = tile.rows_of_i + messages();
    for (int c = block.thread(); c < 2 * f; c += kThreads) {
      const bool second = c >= f;
      const int h = data.head_of(c), channel = second ? c - f : c;
      T to_q = T(0), to_k = T(0);
      for (int t = 0; t < tile.count; ++t) {
        const Ends q = queries(tile.edge[t], second, channel), k = keys(tile.edge[t], second, channel);
        const auto& s = tile.sums[t * data.heads() + h];
        N& w = tile.filter[t * 2 * f + c];
        const N k_j = k.at_j(0), q_j = q.at_j(0);
        to_q += emitted(s.bar_forth * w * k_j);
        to_k += emitted(s.bar_back * w * q_j);
        w = s.bar_forth * (q.at_i(0) * k_j) + s.bar_back * (q_j * k.at_i(0));
      }
      of_features[c] += to_q;
      of_features[2 * f + c] += to_k;
      if (!second) pull_values(tile, c, h);
    }
    if (data.bars) keep_bars(block, tile);
  }

  PYFF_DEVICE void pull_values(const Tile& tile, int c, int h) const {
    const std::int64_t f = data.features();
    T to_v = T(0), to_x = T(0);
    for (int t = 0; t < tile.count; ++t) {
      const auto& s = tile.sums[t * data.heads() + h];
      const std::int64_t j = tile.edge[t].j * f + c;
      to_v += emitted(s.back) * data.p.grad_x[j];
      if constexpr (kDual) to_x += emitted(s.forth * number<kDual>(data.p.in.v1, data.p.tangent.v1, j));
    }
    tile.rows_of_i[messages() + 4 * f + c] += to_v;
    if constexpr (kDual) tile.rows_of_i[c] += to_x;
  }

  // For the gradients of parameters.
  PYFF_DEVICE void keep_bars(const simt::Block& block, const Tile& tile) const {
    const int heads = data.heads();
    N* const bars = static_cast<N*>(data.bars);
    for (int at = block.thread(); at < tile.count * heads; at += kThreads)
      bars[tile.edge[at / heads].edge * heads + at % heads] = tile.sums[at].bar_forth;
  }

  // What follows from w_bar: gradients of the pair's vector and radial filter, and of the Euclidean variables.
  PYFF_DEVICE void pull_pairs(const simt::Block& block, const Tile& tile) const {
    if (data.p.grad.radial && !data.tabulated()) write_radial(block, tile);
    if (data.p.grad.vec) {
      pull_harmonics(block, tile);
      pull_radial(block, tile);
    }
    if (wants_ev()) {
      tile.pull_hidden(block);
      block.sync();
      tile.pull_invariants(block);
    }
    block.sync();
    if (data.p.grad.vec) write_vectors(block, tile);
    if (wants_ev()) add_ev_gradient(block, tile);
  }

  PYFF_DEVICE void write_radial(const simt::Block& block, const Tile& tile) const {
    const int columns = data.columns();
    for (int t = 0; t < tile.count; ++t) {
      if (!tile.edge[t].owner()) continue;
      for (int c = block.thread(); c < columns; c += kThreads)
        data.p.grad.radial[tile.edge[t].edge * columns + c] = emitted(tile.filter[t * columns + c]);
    }
  }

  PYFF_DEVICE void pull_harmonics(const simt::Block& block, const Tile& tile) const {
    const int heads = data.degree_heads();
    for (int at = block.thread(); at < tile.count * heads; at += kThreads) {
      const int t = at / heads, l = at % heads;
      if (!tile.edge[t].owner()) continue;
      const auto& s = tile.sums[t * data.heads() + data.p.shape.n_heads + l];
      const N back = parity(l) * s.back;
      const T* const i = data.p.grad_ev + tile.edge[t].i * data.n_components + tile.first[l];
      const T* const j = data.p.grad_ev + tile.edge[t].j * data.n_components + tile.first[l];
      G u_bar[3] = {};
      with_degree(data.degrees[l], [&](auto degree) {
        constexpr int n = 2 * decltype(degree)::value + 1;
        G y_bar[n];
        PYFF_UNROLL
        for (int m = 0; m < n; ++m) y_bar[m] = converted<double>(s.forth * i[m] + back * j[m]);
        math::harmonics_pullback<decltype(degree)::value>(tile.geometry[t].u, y_bar, u_bar);
      });
      PYFF_UNROLL
      for (int k = 0; k < 3; ++k) tile.u_bar[3 * at + k] = u_bar[k];
    }
  }

  PYFF_DEVICE void pull_radial(const simt::Block& block, const Tile& tile) const {
    const int columns = data.columns();
    for (int t = block.warp(); t < tile.count; t += kWarps) {
      if (!tile.edge[t].owner()) continue;  // the same for the whole warp
      N sum{};
      if (data.tabulated())
        for (int c = block.lane(); c < columns; c += simt::kWarp)
          sum += tile.filter[t * columns + c] * tile.radial_slope(t, c);
      sum = sum_of_lanes(block, sum);
      if (block.lane() == 0) tile.distance_bar[t] = sum;
    }
  }

  PYFF_DEVICE void write_vectors(const simt::Block& block, const Tile& tile) const {
    const int heads = data.degree_heads();
    for (int t = block.thread(); t < tile.count; t += kThreads) {
      if (!tile.edge[t].owner()) continue;
      const auto& g = tile.geometry[t];
      N weight_bar{};
      for (int h = 0; h < data.heads(); ++h) weight_bar += tile.sums[t * data.heads() + h].weight_bar;
      const G along_u = converted<double>(weight_bar) * g.weight_slope + converted<double>(tile.distance_bar[t]);
      G u_bar[3] = {}, radial{};
      for (int l = 0; l < heads; ++l)
        for (int k = 0; k < 3; ++k) u_bar[k] += tile.u_bar[3 * (t * heads + l) + k];
      for (int k = 0; k < 3; ++k) radial += g.u[k] * u_bar[k];
      for (int k = 0; k < 3; ++k)
        data.p.grad.vec[3 * tile.edge[t].edge + k] =
            emitted((u_bar[k] - g.u[k] * radial) * g.inverse + g.u[k] * along_u);
    }
  }

  PYFF_DEVICE void add_ev_gradient(const simt::Block& block, const Tile& tile) const {
    const int heads = data.degree_heads();
    T* const sums = tile.rows_of_i + messages() + 5 * data.features();
    for (int m = block.thread(); m < data.n_components; m += kThreads) {
      const int l = tile.component[m];
      T sum = T(0);
      for (int t = 0; t < tile.count; ++t) sum -= emitted(tile.tau[t * heads + l] * tile.difference(t, m));
      sums[m] += 2 * tile.invariant_scale(l) * sum;
    }
  }

  // ---- the row of i ----------------------------------------------------------------------------------------------

  PYFF_DEVICE void write_row(const simt::Block& block, const Tile& tile, std::int64_t i) const {
    const int f = data.features(), m = data.n_components;
    const auto write = [&](T* to, int from, int n) {
      if (to)
        for (int c = block.thread(); c < n; c += kThreads) to[i * n + c] = tile.rows_of_i[from + c];
    };
    if (wants_messages()) {
      write(data.p.x, 0, f);
      write(data.p.ev, f, m);
    }
    if constexpr (kBack) {
      const auto& g = data.p.grad;
      const int first = messages();
      T* const features[] = {g.q1, g.q2, g.k1, g.k2, g.v1};
      PYFF_UNROLL
      for (int k = 0; k < 5; ++k) write(features[k], first + k * f, f);
      write(g.ev, first + 5 * f, m);
    }
  }
};

}  // namespace pyff::cuda
