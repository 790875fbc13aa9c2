// Filters of pairs from the network, W = act_last(W2 act(W1 g + b1) + b2) C(d), with first and second derivatives by
// forward duals. One block computes a tile of pairs; the filters go to memory, where the rows' kernel reads them.
#pragma once

#include "cuda/cfconv_rows.hpp"
#include "cuda/formulas.hpp"
#include "cuda/tile_product.hpp"

namespace pyff::cuda {

// Pairs first .. first + count - 1. Each stands for two edges: edge[p] and its reverse.
struct PairRange {
  const std::int64_t* edge;
  std::int64_t first, count;
};

template <class T, int Jets, int Rows>
struct NetworkTile {
  using Product = Tile<T, Jets, Rows>;
  static constexpr int kRows = Product::kRows;

  FilterNetwork<T> net;
  std::int64_t n_features;
  const double* distance;

  PYFF_DEVICE Weights<T> first_layer() const { return {net.w1, n_features, net.basis.size, net.basis.size, 1}; }
  PYFF_DEVICE Weights<T> second_layer() const { return {net.w2, n_features, n_features, n_features, 1}; }
  PYFF_DEVICE Weights<T> second_layer_transposed() const { return {net.w2, n_features, n_features, 1, n_features}; }

  PYFF_DEVICE Panel<T> panel(T*& memory, std::int64_t columns) const {
    const Panel<T> p{memory, columns, kRows * columns};
    memory += Jets * kRows * columns;
    return p;
  }

  // The radial functions of the tile's distances and the cutoff functions c[jet * kRows + row]. Rows beyond `count`
  // repeat the tile's first pair; nobody stores their results.
  PYFF_DEVICE void radial(const simt::Block& block, const PairRange& pairs, std::int64_t tile, const Panel<T>& g,
                          T* c) const {
    for (std::int64_t at = block.thread(); at < kRows * net.basis.size; at += Product::kThreads) {
      const int row = static_cast<int>(at / net.basis.size), k = static_cast<int>(at % net.basis.size);
      const auto jet = radial_of(net.basis, k, distance_of(pairs, tile, row));
      g.at(0, row, k) = T(jet.v);
      if constexpr (Jets > 1) g.at(1, row, k) = T(jet.d1);
      if constexpr (Jets > 2) g.at(2, row, k) = T(jet.d2);
    }
    for (int row = block.thread(); row < kRows; row += Product::kThreads) {
      const auto jet = cutoff_of(net.cutoff, distance_of(pairs, tile, row));
      c[row] = T(jet.v);
      c[kRows + row] = T(jet.d1);
      c[2 * kRows + row] = T(jet.d2);
    }
  }

  PYFF_DEVICE double distance_of(const PairRange& pairs, std::int64_t tile, int row) const {
    const std::int64_t p = tile * kRows + row;
    return distance[pairs.edge[pairs.first + (p < pairs.count ? p : tile * kRows)]];
  }

  // x becomes act(x + bias) with derivatives by the distance.
  static PYFF_DEVICE void activate(Activation kind, T bias, T (&x)[Jets]) {
    const auto a = activation_of(kind, x[0] + bias);
    if constexpr (Jets > 2) x[2] = a.d2 * x[1] * x[1] + a.d1 * x[2];
    if constexpr (Jets > 1) x[1] = a.d1 * x[1];
    x[0] = a.v;
  }
};

template <class T, int Jets, int Rows>
struct NetworkFilterKernel {
  static constexpr const char* kName = "filter network";
  using Net = NetworkTile<T, Jets, Rows>;
  using Product = typename Net::Product;
  static constexpr int kThreads = Product::kThreads;

  Net net;
  PairRange pairs;
  std::int64_t capacity;
  T* filters;  // [Jets, capacity, F]

  static std::int64_t shared_bytes(std::int64_t n_features, std::int64_t n_radial) {
    const std::int64_t elements =
        Jets * Net::kRows * (n_features + n_radial) + 3 * Net::kRows + Product::kStage;
    return elements * static_cast<std::int64_t>(sizeof(T));
  }

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    T* memory = reinterpret_cast<T*>(block.shared());
    const Panel<T> g = net.panel(memory, net.net.basis.size), s = net.panel(memory, net.n_features);
    T *const c = memory, *const stage = memory + 3 * Net::kRows;
    const std::int64_t tile = block.index();
    net.radial(block, pairs, tile, g, c);
    Product::product(block, g, net.first_layer(), stage, [&](int row, std::int64_t f, T(&x)[Jets]) {
      Net::activate(net.net.activation, net.net.b1[f], x);
      for (int m = 0; m < Jets; ++m) s.at(m, row, f) = x[m];
    });
    Product::product(block, s, net.second_layer(), stage, [&](int row, std::int64_t f, T(&x)[Jets]) {
      const std::int64_t p = tile * Net::kRows + row;
      if (p >= pairs.count) return;
      Net::activate(net.net.last_activation, net.net.b2[f], x);
      const T c0 = c[row], c1 = c[Net::kRows + row], c2 = c[2 * Net::kRows + row];
      T* const out = filters + p * net.n_features + f;
      const std::int64_t jet = capacity * net.n_features;
      out[0] = c0 * x[0];
      if constexpr (Jets > 1) out[jet] = c1 * x[0] + c0 * x[1];
      if constexpr (Jets > 2) out[2 * jet] = c2 * x[0] + 2 * c1 * x[1] + c0 * x[2];
    });
  }
};

// Calls run(integral_constant Rows) with the tallest tile whose kernel fits: shared(Rows) bytes.
template <class Shared, class Run>
void with_tile_rows(Shared&& shared, Run&& run) {
  if (shared(std::integral_constant<int, 4>{}) <= simt::kSharedBudget) return run(std::integral_constant<int, 4>{});
  if (shared(std::integral_constant<int, 2>{}) <= simt::kSharedBudget) return run(std::integral_constant<int, 2>{});
  const std::int64_t least = shared(std::integral_constant<int, 1>{}), most = simt::max_shared_bytes();
  if (least > most) {
    std::ostringstream text;
    text << "the filter network needs " << least << " bytes of shared memory per block and this GPU has " << most
         << "; use fewer features or float32, or run on the CPU.";
    throw RuntimeFailure(text.str());
  }
  run(std::integral_constant<int, 1>{});
}

template <class T, int Jets>
void network_filters(const CfconvNetworkParams<T>& p, const PairRange& pairs, std::int64_t capacity, T* filters,
                     simt::Stream stream) {
  const auto shared = [&](auto rows) {
    return NetworkFilterKernel<T, Jets, decltype(rows)::value>::shared_bytes(p.data.n_features, p.filter.basis.size);
  };
  with_tile_rows(shared, [&](auto rows) {
    using Kernel = NetworkFilterKernel<T, Jets, decltype(rows)::value>;
    const std::int64_t tiles = simt::divide_up(pairs.count, Kernel::Net::kRows);
    simt::launch(Kernel{{p.filter, p.data.n_features, p.data.distance}, pairs, capacity, filters},
                 simt::Grid{tiles, shared(rows), stream});
  });
}

}  // namespace pyff::cuda
