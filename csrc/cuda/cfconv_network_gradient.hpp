// Gradient of the filter network's weights by the reverse of the forward duals. With cotangents Wb of a pair's filter
// and Db of its slope (kernels/cfconv.hpp), hidden layer s = act(a), a = W1 g + b1, output z = W2 s + b2 and
// W = act_last(z) C:
//   z_bar  = (C Wb + C' Db) act_last'(z) + C Db act_last''(z) z'      z'_bar = C Db act_last'(z)
//   W2_bar = z_bar s^T + z'_bar s'^T      b2_bar = z_bar      s_bar = W2^T z_bar      s'_bar = W2^T z'_bar
//   a_bar  = s_bar act'(a) + s'_bar act''(a) a'                       a'_bar = s'_bar act'(a)
//   W1_bar = a_bar g^T + a'_bar g'^T      b1_bar = a_bar
// A fixed number of blocks takes the tiles of pairs in turn; each adds to sums of its own, which are then added in
// order.
#pragma once

#include "cuda/cfconv_network_filter.hpp"
#include "cuda/reduce.hpp"

namespace pyff::cuda {

// Jets = 1 in the backward (Db = 0), 2 in the double backward.
template <class T, int Jets, int Rows>
struct NetworkGradientKernel {
  static constexpr const char* kName = "filter network gradient";
  using Net = NetworkTile<T, Jets, Rows>;
  using Product = typename Net::Product;
  static constexpr int kThreads = Product::kThreads;
  static constexpr int kRows = Net::kRows;

  Net net;
  CfconvData<T> data;
  PairRange pairs;
  T* partial;  // [blocks, F G + F + F F + F]

  static std::int64_t shared_bytes(std::int64_t n_features, std::int64_t n_radial) {
    const std::int64_t elements = Jets * kRows * (3 * n_features + n_radial) + 3 * kRows + Product::kStage;
    return elements * static_cast<std::int64_t>(sizeof(T));
  }

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    T* memory = reinterpret_cast<T*>(block.shared());
    Shared s;
    s.g = net.panel(memory, net.net.basis.size);
    s.hidden = net.panel(memory, data.n_features);
    s.slope = net.panel(memory, data.n_features);
    s.z_bar = net.panel(memory, data.n_features);
    s.c = memory;
    s.stage = memory + 3 * kRows;
    const Sums sums = own_sums(block);
    const std::int64_t tiles = (pairs.count + kRows - 1) / kRows;
    for (std::int64_t tile = block.index(); tile < tiles; tile += block.count()) {
      block.sync();
      net.radial(block, pairs, tile, s.g, s.c);
      hidden_layer(block, s);
      output_cotangents(block, tile, s);
      Product::add_column_sums(block, s.z_bar, data.n_features, sums.b2);
      Product::add_outer(block, s.z_bar, data.n_features, s.hidden, data.n_features, sums.w2);
      hidden_cotangents(block, s);
      Product::add_column_sums(block, s.slope, data.n_features, sums.b1);
      Product::add_outer(block, s.slope, data.n_features, s.g, net.net.basis.size, sums.w1);
    }
  }

 private:
  struct Shared {
    Panel<T> g, hidden;
    Panel<T> slope;  // act'(a), act''(a) a'; later a_bar, a'_bar
    Panel<T> z_bar;  // z_bar, z'_bar
    T *c, *stage;
  };
  struct Sums {
    T *w1, *b1, *w2, *b2;
  };

  PYFF_DEVICE Sums own_sums(const simt::Block& block) const {
    const std::int64_t f = data.n_features, g = net.net.basis.size, size = f * g + f + f * f + f;
    T* const own = partial + block.index() * size;
    for (std::int64_t k = block.thread(); k < size; k += kThreads) own[k] = T(0);
    return {own, own + f * g, own + f * g + f, own + f * g + f + f * f};
  }

  PYFF_DEVICE void hidden_layer(const simt::Block& block, const Shared& s) const {
    Product::product(block, s.g, net.first_layer(), s.stage, [&](int row, std::int64_t f, T(&x)[Jets]) {
      const auto a = activation_of(net.net.activation, x[0] + net.net.b1[f]);
      s.hidden.at(0, row, f) = a.v;
      s.slope.at(0, row, f) = a.d1;
      if constexpr (Jets > 1) {
        s.hidden.at(1, row, f) = a.d1 * x[1];
        s.slope.at(1, row, f) = a.d2 * x[1];
      }
    });
  }

  PYFF_DEVICE void output_cotangents(const simt::Block& block, std::int64_t tile, const Shared& s) const {
    Product::product(block, s.hidden, net.second_layer(), s.stage, [&](int row, std::int64_t f, T(&x)[Jets]) {
      T bar[Jets] = {};
      if (tile * kRows + row < pairs.count) pair_cotangents(pairs.edge[pairs.first + tile * kRows + row], f, bar);
      const auto a = activation_of(net.net.last_activation, x[0] + net.net.b2[f]);
      const T c0 = s.c[row];
      if constexpr (Jets == 1) {
        s.z_bar.at(0, row, f) = c0 * bar[0] * a.d1;
      } else {
        const T w_bar = c0 * bar[0] + s.c[kRows + row] * bar[1], slope_bar = c0 * bar[1];
        s.z_bar.at(0, row, f) = w_bar * a.d1 + slope_bar * a.d2 * x[1];
        s.z_bar.at(1, row, f) = slope_bar * a.d1;
      }
    });
  }

  // Wb and Db of a pair, both directions together.
  PYFF_DEVICE void pair_cotangents(std::int64_t e, std::int64_t f, T (&bar)[Jets]) const {
    const std::int64_t i = data.graph.idx_i[e] * data.n_features + f, j = data.graph.idx_j[e] * data.n_features + f;
    const T gi = data.grad_y[i], gj = data.grad_y[j], forth = gi * data.h[j], back = gj * data.h[i];
    if constexpr (Jets == 1) {
      bar[0] = forth + back;
    } else {
      bar[0] = gi * data.u[j] + gj * data.u[i];
      bar[1] = T(data.v[e]) * forth + T(data.v[data.graph.edge_rev[e]]) * back;
    }
  }

  PYFF_DEVICE void hidden_cotangents(const simt::Block& block, const Shared& s) const {
    Product::product(block, s.z_bar, net.second_layer_transposed(), s.stage, [&](int row, std::int64_t f, T(&x)[Jets]) {
      T& a0 = s.slope.at(0, row, f);
      if constexpr (Jets == 1) {
        a0 *= x[0];
      } else {
        T& a1 = s.slope.at(1, row, f);
        const T slope = a0;
        a0 = x[0] * slope + x[1] * a1;
        a1 = x[1] * slope;
      }
    });
  }
};

// How many sums of its own the gradient keeps: a constant, so that results do not depend on the device.
inline std::int64_t gradient_blocks(std::int64_t n_pairs) {
  constexpr std::int64_t kBlocks = 256, kPairs = 8;
  const std::int64_t tiles = simt::divide_up(n_pairs, kPairs);
  return tiles < kBlocks ? tiles : kBlocks;
}

template <class T>
std::int64_t network_parameters(const CfconvNetworkParams<T>& p) {
  const std::int64_t f = p.data.n_features;
  return f * p.filter.basis.size + f + f * f + f;
}

template <class T, int Jets>
void network_gradient(const CfconvNetworkParams<T>& p, const PairRange& pairs, T* partial, simt::Stream stream) {
  const std::int64_t f = p.data.n_features, g = p.filter.basis.size, blocks = gradient_blocks(pairs.count);
  const auto shared = [&](auto rows) {
    return NetworkGradientKernel<T, Jets, decltype(rows)::value>::shared_bytes(f, g);
  };
  with_tile_rows(shared, [&](auto rows) {
    using Kernel = NetworkGradientKernel<T, Jets, decltype(rows)::value>;
    simt::launch(Kernel{{p.filter, f, p.data.distance}, p.data, pairs, partial},
                 simt::Grid{blocks, shared(rows), stream});
  });
  const std::int64_t size = network_parameters(p);
  const T* from = partial;
  const auto sum = [&](T* to, std::int64_t n) {
    sum_partials(SumPartials<T>{from, blocks, size, n, to}, stream);
    from += n;
  };
  sum(p.grad.w1, f * g);
  sum(p.grad.b1, f);
  sum(p.grad.w2, f * f);
  sum(p.grad.b2, f);
}

}  // namespace pyff::cuda
