// Values, slopes and curvatures of a filter network at given distances, and the gradient of its weights: the nodes
// from which tables are made (pyff/nn/filter_table.py).
#include "core/parallel.hpp"
#include "cpu/filter_network.hpp"

namespace pyff::PYFF_ISA {
namespace {

// job(filter, tile, first, count) for tiles of nodes, each thread with its own filter
template <class T, class Job>
void for_tiles(const FilterNodesParams<T>& p, Job&& job) {
  constexpr int kTile = NetworkFilter<T>::kTile;
  const std::int64_t ld = padded<T>(p.n_features), panel = kTile * ld;
  const std::int64_t tiles = cfconv_tile_elements<T>(p.n_features);
  const std::int64_t per_thread = tiles + filter_network_elements<T>(p.n_features, p.filter.basis.size);
  parallel_ranges(p.threads, p.threads, [&](int thread, std::int64_t, std::int64_t) {
    T* scratch = p.scratch + thread * per_thread;
    NetworkFilter<T> filter(p.filter, p.n_features, p.grad, thread, scratch + tiles);
    const FilterTile<T> tile{{scratch, scratch + panel, scratch + 2 * panel}, ld};
    const std::int64_t begin = p.n * thread / p.threads, end = p.n * (thread + 1) / p.threads;
    for (std::int64_t k = begin; k < end; k += kTile) {
      const int count = static_cast<int>(end - k < kTile ? end - k : kTile);
      filter.evaluate(p.distance + k, count, 2, tile);
      job(filter, tile, k, count);
    }
    filter.finish();
  });
}

template <class T>
void forward(const FilterNodesParams<T>& p) {
  const std::int64_t f = p.n_features;
  for_tiles(p, [&](NetworkFilter<T>&, const FilterTile<T>& tile, std::int64_t first, int count) {
    for (int o = 0; o < 3; ++o)
      for (int t = 0; t < count; ++t)
        for (std::int64_t k = 0; k < f; ++k) p.out[(o * p.n + first + t) * f + k] = tile.w[o][t * tile.ld + k];
  });
}

template <class T>
void backward(const FilterNodesParams<T>& p) {
  for_tiles(p, [&](NetworkFilter<T>& filter, const FilterTile<T>&, std::int64_t first, int count) {
    const T* bars[3];
    for (int o = 0; o < 3; ++o) bars[o] = p.grad_out + (o * p.n + first) * p.n_features;
    filter.accumulate(p.distance + first, count, bars, 3, p.n_features);
  });
}

}  // namespace

void filter_nodes_forward(const FilterNodesParams<float>& p) { forward(p); }
void filter_nodes_forward(const FilterNodesParams<double>& p) { forward(p); }
void filter_nodes_backward(const FilterNodesParams<float>& p) { backward(p); }
void filter_nodes_backward(const FilterNodesParams<double>& p) { backward(p); }

}  // namespace pyff::PYFF_ISA
