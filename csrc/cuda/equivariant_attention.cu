#include "cuda/equivariant_attention.hpp"

#include "cuda/attention_rows.hpp"
#include "cuda/attention_table.hpp"
#include "cuda/attention_weights.hpp"

namespace pyff::cuda {
namespace {

template <class T>
struct TransposeWeights {
  static constexpr const char* kName = "transpose weights";
  static constexpr int kThreads = 256;
  const T* from;  // [rows, columns]
  std::int64_t rows, columns;
  T* to;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    for (std::int64_t k = block.global_thread(); k < rows * columns; k += block.global_threads())
      to[k] = from[k % rows * columns + k / rows];
  }
};

template <class T>
void check_shape(int order, const AttentionShape& s) {
  PYFF_REQUIRE(order >= kForward && order <= kDoubleBackward, "order must be 0, 1 or 2; received " << order);
  PYFF_REQUIRE(s.n_degrees > 0 && s.n_degrees <= kMaxDegreeHeads,
               "there must be 1 to " << kMaxDegreeHeads << " degrees; received " << s.n_degrees);
  for (int l = 0; l < s.n_degrees; ++l)
    PYFF_REQUIRE(s.degrees[l] >= 1 && s.degrees[l] <= kMaxDegree,
                 "degrees must lie in 1 .. " << kMaxDegree << "; received " << s.degrees[l]);
  PYFF_REQUIRE(s.n_heads > 0 && s.n_features > 0 && s.n_features % s.n_heads == 0 && s.n_features % s.n_degrees == 0,
               "the number of features must be a positive multiple of the heads, " << s.n_heads << ", and the degrees, "
                                                                                   << s.n_degrees << "; received "
                                                                                   << s.n_features);
}

// Tiles small enough for several blocks to share a multiprocessor, if that leaves them a few rows.
template <class T, bool kDual>
int tile_rows(AttentionData<T> data, bool backward) {
  constexpr std::int64_t kComfortable = 24 * 1024;
  const auto bytes = [&](int rows) {
    data.tile_rows = rows;
    return AttentionTile<T, kDual>(data, backward, nullptr).bytes;
  };
  for (const int rows : {kMaxTileRows, kMaxTileRows / 2})
    if (bytes(rows) <= kComfortable) return rows;
  for (const int rows : {kRowGroup, 2, 1})
    if (bytes(rows) <= simt::kSharedBudget) return rows;
  PYFF_REQUIRE(false, "equivariant attention: one edge's filters must fit into the shared memory of a GPU's block; "
                      "received " << data.p.shape.n_features << " features, which need " << bytes(1)
                                  << " bytes of " << simt::kSharedBudget);
  return 0;
}

template <class T>
AttentionData<T> data_of(int order, const AttentionParams<T>& p) {
  check_shape<T>(order, p.shape);
  AttentionData<T> data{p, nullptr, nullptr, 1, 0, {}};
  for (int l = 0; l < p.shape.n_degrees; ++l) {
    data.degrees[l] = static_cast<signed char>(p.shape.degrees[l]);
    data.n_components += n_components(p.shape.degrees[l]);
  }
  data.p.shape.degrees = nullptr;
  const bool backward = order != kForward;
  data.tile_rows = order == kDoubleBackward ? tile_rows<T, true>(data, backward) : tile_rows<T, false>(data, backward);
  return data;
}

template <class T>
bool wants_table(int order, const AttentionParams<T>& p) {
  return order != kForward && p.grad.radial && p.shape.n_intervals > 0;
}
template <class T>
bool wants_weights(int order, const AttentionParams<T>& p) {
  return order != kForward && p.grad.ws1 && p.shape.n_hidden > 0;
}

// The scratch memory of a call.
template <class T>
struct Work {
  T* ws2 = nullptr;
  void* bars = nullptr;
  T* partial = nullptr;

  Work(int order, const AttentionParams<T>& p, Arena& arena) {
    const std::int64_t heads = p.shape.n_heads + p.shape.n_degrees, numbers = order == kDoubleBackward ? 2 : 1;
    ws2 = arena.take<T>(2 * p.shape.n_features * p.shape.n_hidden);
    if (wants_table(order, p) || wants_weights(order, p)) bars = arena.take<T>(p.graph.n_edges * heads * numbers);
    if (wants_weights(order, p))
      partial = arena.take<T>(attention_weight_blocks(p.graph.n_edges) * AttentionWeightSizes(p.shape).all());
  }
};

template <class T, int order>
void run_rows(const AttentionData<T>& data, simt::Stream stream) {
  constexpr bool kDual = order == kDoubleBackward;
  const std::int64_t shared = AttentionTile<T, kDual>(data, order != kForward, nullptr).bytes;
  simt::launch(AttentionRows<T, order>{data}, simt::Grid{data.p.graph.n_atoms, shared, stream});
}

template <class T, int order>
void run_backward(const AttentionData<T>& data, const Work<T>& work, Arena& arena, simt::Stream stream) {
  constexpr bool kDual = order == kDoubleBackward;
  const AttentionParams<T>& p = data.p;
  const std::int64_t n_edges = p.graph.n_edges;
  // the rows' kernel writes one of the two edges of a pair, and nothing beyond the cutoff
  if (p.grad.vec) simt::set_zero(p.grad.vec, n_edges * 3 * static_cast<std::int64_t>(sizeof(double)), stream);
  if (p.grad.radial && p.shape.n_intervals == 0)
    simt::set_zero(p.grad.radial, n_edges * 2 * p.shape.n_features * static_cast<std::int64_t>(sizeof(T)), stream);
  run_rows<T, order>(data, stream);
  if (wants_table(order, p)) AttentionTable<T>(p, arena).template run<kDual>(data, stream);
  if (wants_weights(order, p)) attention_weight_gradient<T, kDual>(data, work.partial, stream);
}

}  // namespace

template <class T>
std::int64_t equivariant_attention_scratch(int order, const AttentionParams<T>& p) {
  Arena arena;
  Work<T>(order, p, arena);
  if (wants_table(order, p)) AttentionTable<T>(p, arena);
  return arena.used();
}

template <class T>
void equivariant_attention(int order, const AttentionParams<T>& p, const Call& call) {
  AttentionData<T> data = data_of(order, p);
  Arena arena(call);
  const Work<T> work(order, p, arena);
  data.ws2 = work.ws2;
  data.bars = work.bars;
  if (p.shape.n_hidden > 0) {
    const TransposeWeights<T> kernel{p.in.ws2, 2 * p.shape.n_features, p.shape.n_hidden, work.ws2};
    simt::launch(kernel, simt::Grid{simt::blocks_for(kernel.rows * kernel.columns, kernel.kThreads), 0, call.stream});
  }
  if (order == kForward) return run_rows<T, kForward>(data, call.stream);
  if (order == kBackward) return run_backward<T, kBackward>(data, work, arena, call.stream);
  run_backward<T, kDoubleBackward>(data, work, arena, call.stream);
}

#define PYFF_INSTANTIATE(T)                                                                     \
  template std::int64_t equivariant_attention_scratch<T>(int, const AttentionParams<T>&);       \
  template void equivariant_attention<T>(int, const AttentionParams<T>&, const Call&);
PYFF_INSTANTIATE(float)
PYFF_INSTANTIATE(double)
#undef PYFF_INSTANTIATE

}  // namespace pyff::cuda
