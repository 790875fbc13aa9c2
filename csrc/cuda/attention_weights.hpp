// Gradients of the spherical filter's weights. A fixed number of blocks shares the edges; each adds the pairs of its
// slice, tile by tile, to sums of its own, which are then added in order. Cotangents of the heads' products come from
// the rows' kernel.
#pragma once

#include "cuda/attention_tile.hpp"
#include "cuda/reduce.hpp"

namespace pyff::cuda {

// Columns of the pair of an edge: cotangent of its filter.
template <class T, bool kDual>
PYFF_DEVICE Number<T, kDual> filter_bar(const AttentionData<T>& data, const TileEdge& q, int column) {
  using N = Number<T, kDual>;
  const std::int64_t f = data.features();
  const bool second = column >= f;
  const std::int64_t channel = second ? column - f : column, i = q.i * f + channel, j = q.j * f + channel;
  const auto &in = data.p.in, &tangent = data.p.tangent;
  const T *query = second ? in.q2 : in.q1, *key = second ? in.k2 : in.k1;
  const T *query_tangent = second ? tangent.q2 : tangent.q1, *key_tangent = second ? tangent.k2 : tangent.k1;
  const int heads = data.heads(), h = data.head_of(column);
  const N* const bars = static_cast<const N*>(data.bars);
  return bars[q.edge * heads + h] * (number<kDual>(query, query_tangent, i) * number<kDual>(key, key_tangent, j)) +
         bars[q.reversed * heads + h] * (number<kDual>(query, query_tangent, j) * number<kDual>(key, key_tangent, i));
}

// Where the gradients lie in a block's sums.
struct AttentionWeightSizes {
  std::int64_t ws1, bs1, ws2, bs2;

  explicit AttentionWeightSizes(const AttentionShape& s)
      : ws1(2 * s.n_hidden * s.n_degrees), bs1(2 * s.n_hidden), ws2(2 * s.n_features * s.n_hidden),
        bs2(2 * s.n_features) {}
  PYFF_HD std::int64_t all() const { return ws1 + bs1 + ws2 + bs2; }
};

template <class T, bool kDual>
struct AttentionWeights {
  static constexpr const char* kName = "attention weights' gradient";
  static constexpr int kThreads = kAttentionThreads;
  using Tile = AttentionTile<T, kDual>;
  using N = typename Tile::N;

  AttentionData<T> data;
  AttentionWeightSizes sizes;
  std::int64_t slice_edges;
  T* partial;  // [blocks, sizes.all()]

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    Tile tile(data, true, block.shared());
    T* const ws1 = partial + block.index() * sizes.all();
    const Sums sums{ws1, ws1 + sizes.ws1, ws1 + sizes.ws1 + sizes.bs1, ws1 + sizes.ws1 + sizes.bs1 + sizes.ws2};
    for (std::int64_t k = block.thread(); k < sizes.all(); k += kThreads) ws1[k] = T(0);
    tile.list_components(block);
    const Graph& g = data.p.graph;
    const std::int64_t begin = block.index() * slice_edges;
    const std::int64_t end = begin + slice_edges < g.n_edges ? begin + slice_edges : g.n_edges;
    for (std::int64_t start = begin; start < end; start += Tile::Find::kItems) {
      const int n = Tile::Find::collect(block, start, end, tile.found, [&](std::int64_t e) {
        return e < g.edge_rev[e] && data.within(e);
      });
      for (int at = 0; at < n; at += data.tile_rows) {
        tile.set_edges(block, start, tile.found + at, n - at < data.tile_rows ? n - at : data.tile_rows);
        block.sync();
        add_tile(block, tile, sums);
        block.sync();
      }
    }
  }

 private:
  struct Sums {
    T *ws1, *bs1, *ws2, *bs2;
  };

  PYFF_DEVICE void add_tile(const simt::Block& block, const Tile& tile, const Sums& sums) const {
    tile.evaluate_invariants(block);
    block.sync();
    tile.evaluate_hidden(block, true);
    const int columns = data.columns(), width = 2 * data.hidden(), heads = data.degree_heads();
    for (int at = block.thread(); at < tile.count * columns; at += kThreads)
      tile.filter[at] = filter_bar<T, kDual>(data, tile.edge[at / columns], at % columns);
    block.sync();
    const int s = data.hidden(), f = data.features();
    add_outer(block, tile, {tile.filter, columns}, {tile.hidden, width}, sums.ws2,
              [&](int c, int r) { return r + (c < f ? 0 : s); }, s);
    add_columns(block, tile, {tile.filter, columns}, sums.bs2);
    block.sync();
    tile.pull_hidden(block);
    block.sync();
    add_outer(block, tile, {tile.hidden, width}, {tile.tau, heads}, sums.ws1, [](int, int l) { return l; }, heads);
    add_columns(block, tile, {tile.hidden, width}, sums.bs1);
  }

  struct Panel {
    const N* data;
    int width;
  };

  // out[a, b] += sum over the tile of left[a] right[column(a, b)]
  template <class Column>
  PYFF_DEVICE void add_outer(const simt::Block& block, const Tile& tile, const Panel& left, const Panel& right, T* out,
                             Column&& column, int n) const {
    for (int at = block.thread(); at < left.width * n; at += kThreads) {
      const int a = at / n, b = column(a, at % n);
      T sum = T(0);
      for (int t = 0; t < tile.count; ++t) sum += emitted(left.data[t * left.width + a] * right.data[t * right.width + b]);
      out[at] += sum;
    }
  }

  PYFF_DEVICE void add_columns(const simt::Block& block, const Tile& tile, const Panel& left, T* out) const {
    for (int a = block.thread(); a < left.width; a += kThreads) {
      T sum = T(0);
      for (int t = 0; t < tile.count; ++t) sum += emitted(left.data[t * left.width + a]);
      out[a] += sum;
    }
  }
};

// A constant, so that results do not depend on the device.
inline std::int64_t attention_weight_blocks(std::int64_t n_edges) {
  constexpr std::int64_t kBlocks = 256, kEdges = kAttentionThreads;
  const std::int64_t blocks = simt::divide_up(n_edges, kEdges);
  return blocks < kBlocks ? blocks : kBlocks;
}

template <class T, bool kDual>
void attention_weight_gradient(const AttentionData<T>& data, T* partial, simt::Stream stream) {
  const AttentionWeightSizes sizes(data.p.shape);
  const std::int64_t n_edges = data.p.graph.n_edges, blocks = attention_weight_blocks(n_edges);
  const std::int64_t slice = blocks == 0 ? 0 : simt::divide_up(n_edges, blocks);
  simt::launch(AttentionWeights<T, kDual>{data, sizes, slice, partial},
               simt::Grid{blocks, AttentionTile<T, kDual>(data, true, nullptr).bytes, stream});
  const T* from = partial;
  const auto sum = [&](T* to, std::int64_t n) {
    sum_partials(SumPartials<T>{from, blocks, sizes.all(), n, to}, stream);
    from += n;
  };
  sum(data.p.grad.ws1, sizes.ws1);
  sum(data.p.grad.bs1, sizes.bs1);
  sum(data.p.grad.ws2, sizes.ws2);
  sum(data.p.grad.bs2, sizes.bs2);
}

}  // namespace pyff::cuda
