// How kernels see the machine: blocks, threads, shared memory, barriers, warp exchange and atomics.
//
// A kernel is a trivially copyable functor:
//
//   struct Scale {
//     static constexpr const char* kName = "scale";
//     static constexpr int kThreads = 128;                       // threads of a block, a multiple of kWarp
//     float* x;
//     std::int64_t n;
//     PYFF_DEVICE void operator()(const simt::Block& block) const {
//       for (std::int64_t k = block.global_thread(); k < n; k += block.global_threads()) x[k] *= 2;
//     }
//   };
//   simt::launch(Scale{x, n}, simt::Grid{blocks, shared_bytes, stream});
//
// Under nvcc it runs on the GPU (simt_cuda.hpp). A host compiler gets a CPU implementation (simt_host.hpp): one block
// at a time, one fiber per thread, so that tests run the very same kernel text without a GPU. Grids and blocks are
// one-dimensional. Warp functions need all lanes of the warp, sync() all threads of the block.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/macros.hpp"
#include "core/status.hpp"

namespace pyff::simt {

constexpr int kWarp = 32;
constexpr std::int64_t kMaxBlocks = 2147483647;
// A block may always ask for this much (compute capability 8.6, 8.9 and 12.0 grant 99 KiB).
constexpr std::int64_t kSharedBudget = 96 * 1024;

using Stream = void*;  // cudaStream_t; ignored on the host

struct Grid {
  std::int64_t blocks;
  std::int64_t shared_bytes;
  Stream stream;
};

inline std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Blocks of `threads` threads for n independent elements, few enough that grid-stride loops amortise their start.
inline std::int64_t blocks_for(std::int64_t n, int threads) {
  constexpr std::int64_t kEnough = 1 << 16;
  const std::int64_t blocks = divide_up(n, threads);
  return blocks < kEnough ? blocks : kEnough;
}

template <class Kernel>
void check_launch(const Grid& grid) {
  static_assert(std::is_trivially_copyable_v<Kernel>, "a kernel is copied to the device");
  static_assert(Kernel::kThreads % kWarp == 0 && Kernel::kThreads <= 1024, "blocks hold whole warps, at most 32");
  PYFF_REQUIRE(grid.blocks <= kMaxBlocks, "the grid of kernel " << Kernel::kName << " must have at most " << kMaxBlocks
                                                                << " blocks; received " << grid.blocks);
}

}  // namespace pyff::simt

// Keeps small arrays in registers: an index that is not known when compiling would move them to memory.
#if defined(__CUDACC__)
#define PYFF_UNROLL _Pragma("unroll")
#else
#define PYFF_UNROLL
#endif

#if defined(__CUDACC__)
#include "cuda/simt_cuda.hpp"
#else
#include "cuda/simt_host.hpp"
#endif

namespace pyff::simt {

// Sum over the lanes of a warp, in every lane; the order of additions is fixed.
template <class T>
PYFF_DEVICE T warp_sum(const Block& block, T value) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) value += block.shuffle_xor(value, offset);
  return value;
}

// Inclusive prefix sum over the lanes of a warp.
template <class T>
PYFF_DEVICE T warp_prefix_sum(const Block& block, T value) {
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const int source = block.lane() - offset;
    const T other = block.shuffle(value, source < 0 ? block.lane() : source);
    if (source >= 0) value += other;
  }
  return value;
}

}  // namespace pyff::simt
