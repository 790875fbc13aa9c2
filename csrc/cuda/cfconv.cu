#include "cuda/cfconv.hpp"

#include "cuda/cfconv_network_filter.hpp"
#include "cuda/cfconv_network_gradient.hpp"
#include "cuda/cfconv_rows.hpp"
#include "cuda/cfconv_table_gradient.hpp"

namespace pyff::cuda {
namespace {

template <class T>
void check_data(int order, const CfconvData<T>& d) {
  PYFF_REQUIRE(order >= kForward && order <= kDoubleBackward, "order must be 0, 1 or 2; received " << order);
  PYFF_REQUIRE(d.n_features > 0, "the number of features must be positive; received " << d.n_features);
  PYFF_REQUIRE(d.graph.n_edges % 2 == 0, "edges must come in pairs; received " << d.graph.n_edges);
  if (d.graph.n_atoms == 0) return;
  PYFF_REQUIRE(d.h, "h is missing");
  PYFF_REQUIRE(order == kForward || d.grad_y, "grad_y is missing");
  PYFF_REQUIRE(order != kDoubleBackward || (d.u && (d.v || d.graph.n_edges == 0)), "u or v is missing");
}

// edge[p] of every unordered pair, in the order of its first edge, and pair_of_edge[e].
struct MarkFirstEdges {
  static constexpr const char* kName = "mark first edges";
  static constexpr int kThreads = 256;
  Graph graph;
  std::int64_t* pair_of_edge;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    for (std::int64_t e = block.global_thread(); e < graph.n_edges; e += block.global_threads())
      pair_of_edge[e] = e < graph.edge_rev[e] ? 1 : 0;
  }
};

struct ListPairs {
  static constexpr const char* kName = "list pairs";
  static constexpr int kThreads = 256;
  Graph graph;
  std::int64_t* pair_of_edge;
  std::int64_t* edge;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    for (std::int64_t e = block.global_thread(); e < graph.n_edges; e += block.global_threads()) {
      const std::int64_t reversed = graph.edge_rev[e];
      if (reversed < e) continue;
      const std::int64_t pair = pair_of_edge[e];
      edge[pair] = e;
      pair_of_edge[reversed] = pair;
    }
  }
};

struct Pairs {
  std::int64_t* pair_of_edge;
  std::int64_t* edge;
  std::int64_t* scan;

  Pairs(const Graph& graph, Arena& arena)
      : pair_of_edge(arena.take<std::int64_t>(graph.n_edges)),
        edge(arena.take<std::int64_t>(graph.n_edges / 2)),
        scan(arena.take<std::int64_t>(scan_scratch(graph.n_edges))) {}

  void enumerate(const Graph& graph, simt::Stream stream) const {
    const simt::Grid grid{simt::blocks_for(graph.n_edges, MarkFirstEdges::kThreads), 0, stream};
    simt::launch(MarkFirstEdges{graph, pair_of_edge}, grid);
    exclusive_scan(pair_of_edge, graph.n_edges, scan, stream);
    simt::launch(ListPairs{graph, pair_of_edge, edge}, grid);
  }
};

template <class T>
void filters_of(int jets, const CfconvNetworkParams<T>& p, const PairRange& pairs, std::int64_t capacity, T* filters,
                simt::Stream stream) {
  if (jets == 1) return network_filters<T, 1>(p, pairs, capacity, filters, stream);
  if (jets == 2) return network_filters<T, 2>(p, pairs, capacity, filters, stream);
  network_filters<T, 3>(p, pairs, capacity, filters, stream);
}

// Bytes of one pair's filters.
template <class T>
std::int64_t pair_bytes(int order, const CfconvNetworkParams<T>& p) {
  return jets_of(order, p.out.grad_distance != nullptr) * p.data.n_features * static_cast<std::int64_t>(sizeof(T));
}

// As many pairs at a time as the scratch can hold.
template <class T>
void network_rows(int order, const CfconvNetworkParams<T>& p, const Pairs& pairs, Arena& arena, simt::Stream stream) {
  constexpr std::int64_t kAlign = 256;  // the arena's, so that rounding up cannot exceed what is left
  const std::int64_t n_pairs = p.data.graph.n_edges / 2, bytes = pair_bytes(order, p);
  std::int64_t capacity = n_pairs == 0 ? 0 : arena.left() / kAlign * kAlign / bytes;
  if (capacity > n_pairs) capacity = n_pairs;
  PYFF_REQUIRE(capacity > 0 || n_pairs == 0, "scratch must hold the filters of one pair, " << bytes << " bytes more");
  T* const filters = arena.take<T>(capacity * bytes / static_cast<std::int64_t>(sizeof(T)));
  const int jets = jets_of(order, p.out.grad_distance != nullptr);
  for (std::int64_t first = 0; first == 0 || first < n_pairs; first += capacity) {
    const std::int64_t count = n_pairs - first < capacity ? n_pairs - first : capacity;
    filters_of(jets, p, {pairs.edge, first, count}, capacity, filters, stream);
    const StoredSource<T> source{filters, capacity, pairs.pair_of_edge, first, count};
    launch_rows(order, p.data, p.out, source, filters, first > 0, stream);
    if (n_pairs == 0) return;
  }
}

}  // namespace

template <class T>
std::int64_t cfconv_table_scratch(int order, const CfconvTableParams<T>& p) {
  Arena arena;
  if (order != kForward && p.grad.coef) table_gradient_plan(p, arena);
  return arena.used();
}

template <class T>
void cfconv_table(int order, const CfconvTableParams<T>& p, const Call& call) {
  check_data(order, p.data);
  PYFF_REQUIRE(p.filter.n_intervals > 0 && p.filter.spacing > 0, "the table must have intervals of positive width");
  if (wants_rows(order, p.out)) {
    const TableSource<T> source{p.filter, p.data.distance, 1.0 / p.filter.spacing};
    launch_rows(order, p.data, p.out, source, p.filter.coef, false, call.stream);
  }
  if (order == kForward || !p.grad.coef) return;
  Arena arena(call);
  table_gradient(order, p, arena, call.stream);
}

template <class T>
std::int64_t cfconv_network_scratch(int order, const CfconvNetworkParams<T>& p) {
  constexpr std::int64_t kEnough = std::int64_t{256} << 20;  // beyond this, more passes cost less than more memory
  const std::int64_t n_pairs = p.data.graph.n_edges / 2, one = pair_bytes(order, p), all = n_pairs * one;
  Arena arena;
  Pairs(p.data.graph, arena);
  if (order != kForward && p.grad.w1) arena.take<T>(gradient_blocks(n_pairs) * network_parameters(p));
  if (wants_rows(order, p.out)) arena.take<char>(all < kEnough ? all : kEnough > one ? kEnough : one);
  return arena.used();
}

template <class T>
void cfconv_network(int order, const CfconvNetworkParams<T>& p, const Call& call) {
  check_data(order, p.data);
  PYFF_REQUIRE(p.filter.basis.size > 0, "the radial basis must have functions; received " << p.filter.basis.size);
  Arena arena(call);
  const Pairs pairs(p.data.graph, arena);
  pairs.enumerate(p.data.graph, call.stream);
  if (order != kForward && p.grad.w1) {
    const std::int64_t n_pairs = p.data.graph.n_edges / 2;
    const PairRange all{pairs.edge, 0, n_pairs};
    T* const partial = arena.take<T>(gradient_blocks(n_pairs) * network_parameters(p));
    if (order == kBackward)
      network_gradient<T, 1>(p, all, partial, call.stream);
    else
      network_gradient<T, 2>(p, all, partial, call.stream);
  }
  if (wants_rows(order, p.out)) network_rows(order, p, pairs, arena, call.stream);
}

#define PYFF_INSTANTIATE(T)                                                                \
  template std::int64_t cfconv_table_scratch<T>(int, const CfconvTableParams<T>&);         \
  template void cfconv_table<T>(int, const CfconvTableParams<T>&, const Call&);            \
  template std::int64_t cfconv_network_scratch<T>(int, const CfconvNetworkParams<T>&);     \
  template void cfconv_network<T>(int, const CfconvNetworkParams<T>&, const Call&);
PYFF_INSTANTIATE(float)
PYFF_INSTANTIATE(double)
#undef PYFF_INSTANTIATE

}  // namespace pyff::cuda
