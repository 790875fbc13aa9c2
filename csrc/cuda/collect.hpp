// Looking for the elements of a range that satisfy a condition.
#pragma once

#include "cuda/simt.hpp"

namespace pyff::cuda {

// A block of Threads threads looks at Threads x Rounds elements at a time.
template <int Threads, int Rounds>
struct Collector {
  static constexpr int kWarps = Threads / simt::kWarp;
  static constexpr int kItems = Threads * Rounds;
  static constexpr int kSlots = kItems + kWarps * Rounds;  // int32 elements of shared memory

  // Offsets from `first` of those elements of first .. min(first + kItems, end) - 1 that wanted(element) accepts, in
  // order; returns how many. The memory must be free to write; afterwards all threads see it.
  template <class Wanted>
  static PYFF_DEVICE int collect(const simt::Block& block, std::int64_t first, std::int64_t end, std::int32_t* found,
                                 Wanted&& wanted) {
    std::int32_t* const counts = found + kItems;  // [round, warp]
    unsigned hits[Rounds];
    PYFF_UNROLL
    for (int r = 0; r < Rounds; ++r) {
      const std::int64_t e = first + r * Threads + block.thread();
      hits[r] = block.ballot(e < end && wanted(e));
      if (block.lane() == 0) counts[r * kWarps + block.warp()] = simt::popcount(hits[r]);
    }
    block.sync();
    int before = 0, total = 0;
    PYFF_UNROLL
    for (int r = 0; r < Rounds; ++r) {
      PYFF_UNROLL
      for (int w = 0; w < kWarps; ++w) {
        if (w == block.warp()) before = total;
        total += counts[r * kWarps + w];
      }
      const unsigned mine = 1u << block.lane();
      if (hits[r] & mine) found[before + simt::popcount(hits[r] & (mine - 1))] = r * Threads + block.thread();
    }
    block.sync();
    return total;
  }
};

}  // namespace pyff::cuda
