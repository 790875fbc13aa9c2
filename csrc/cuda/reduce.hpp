// Prefix sums and sums of partial results, in a fixed order.
#pragma once

#include "cuda/arena.hpp"

namespace pyff::cuda {

constexpr int kScanThreads = 256;
constexpr int kScanItems = 8;  // per thread
constexpr std::int64_t kScanBlock = kScanThreads * kScanItems;

// Exclusive prefix sum of each block's elements, in place, and each block's total.
struct ScanBlocks {
  static constexpr const char* kName = "scan blocks";
  static constexpr int kThreads = kScanThreads;
  std::int64_t* data;
  std::int64_t n;
  std::int64_t* totals;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    auto* warp_totals = reinterpret_cast<std::int64_t*>(block.shared());
    const std::int64_t first = block.index() * kScanBlock + block.thread() * kScanItems;
    std::int64_t item[kScanItems], sum = 0;
    PYFF_UNROLL
    for (int k = 0; k < kScanItems; ++k) {
      item[k] = first + k < n ? data[first + k] : 0;
      sum += item[k];
    }
    const std::int64_t inclusive = simt::warp_prefix_sum(block, sum);
    if (block.lane() == simt::kWarp - 1) warp_totals[block.warp()] = inclusive;
    block.sync();
    std::int64_t running = inclusive - sum, total = 0;
    for (int w = 0; w < kThreads / simt::kWarp; ++w) {
      if (w < block.warp()) running += warp_totals[w];
      total += warp_totals[w];
    }
    PYFF_UNROLL
    for (int k = 0; k < kScanItems; ++k) {
      if (first + k < n) data[first + k] = running;
      running += item[k];
    }
    if (block.thread() == 0) totals[block.index()] = total;
  }
};

struct AddBlockOffsets {
  static constexpr const char* kName = "add block offsets";
  static constexpr int kThreads = kScanThreads;
  std::int64_t* data;
  std::int64_t n;
  const std::int64_t* offsets;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    const std::int64_t offset = offsets[block.index()];
    PYFF_UNROLL
    for (int k = 0; k < kScanItems; ++k) {
      const std::int64_t at = block.index() * kScanBlock + k * kThreads + block.thread();
      if (at < n) data[at] += offset;
    }
  }
};

// Elements of scratch that exclusive_scan of n elements needs.
inline std::int64_t scan_scratch(std::int64_t n) {
  std::int64_t total = 0;
  do {
    n = simt::divide_up(n, kScanBlock);
    total += n;
  } while (n > 1);
  return total;
}

// data[k] becomes the sum of the elements before k. To get the total, scan n + 1 elements.
inline void exclusive_scan(std::int64_t* data, std::int64_t n, std::int64_t* scratch, simt::Stream stream) {
  if (n <= 0) return;
  const std::int64_t blocks = simt::divide_up(n, kScanBlock);
  const std::int64_t shared = kScanThreads / simt::kWarp * static_cast<std::int64_t>(sizeof(std::int64_t));
  simt::launch(ScanBlocks{data, n, scratch}, simt::Grid{blocks, shared, stream});
  if (blocks == 1) return;
  exclusive_scan(scratch, blocks, scratch + blocks, stream);
  simt::launch(AddBlockOffsets{data, n, scratch}, simt::Grid{blocks, 0, stream});
}

// out[k] = sum of partial[s][k] over s = 0 .. n_partials - 1, in this order.
template <class T>
struct SumPartials {
  static constexpr const char* kName = "sum partial results";
  static constexpr int kThreads = 128;
  const T* partial;
  std::int64_t n_partials;
  std::int64_t stride;  // elements between partials
  std::int64_t n;
  T* out;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    for (std::int64_t k = block.global_thread(); k < n; k += block.global_threads()) {
      T sum = T(0);
      for (std::int64_t s = 0; s < n_partials; ++s) sum += partial[s * stride + k];
      out[k] = sum;
    }
  }
};

template <class T>
void sum_partials(const SumPartials<T>& kernel, simt::Stream stream) {
  simt::launch(kernel, simt::Grid{simt::blocks_for(kernel.n, SumPartials<T>::kThreads), 0, stream});
}

}  // namespace pyff::cuda
