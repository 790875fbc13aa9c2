// The device side of simt.hpp. Include that one.
#pragma once

#include <cuda_runtime.h>

#include <string>

#define PYFF_DEVICE __device__ __forceinline__
// For long formulas in unrolled loops: one copy instead of dozens.
#define PYFF_DEVICE_NOINLINE __device__ __noinline__

namespace pyff::simt {

inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw RuntimeFailure(std::string("CUDA could not ") + what + ": " + cudaGetErrorString(status) + ".");
}

class Block {
 public:
  PYFF_DEVICE int thread() const { return static_cast<int>(threadIdx.x); }
  PYFF_DEVICE int threads() const { return static_cast<int>(blockDim.x); }
  PYFF_DEVICE int lane() const { return static_cast<int>(threadIdx.x) & (kWarp - 1); }
  PYFF_DEVICE int warp() const { return static_cast<int>(threadIdx.x) / kWarp; }
  PYFF_DEVICE std::int64_t index() const { return blockIdx.x; }
  PYFF_DEVICE std::int64_t count() const { return gridDim.x; }
  PYFF_DEVICE std::int64_t global_thread() const { return index() * threads() + thread(); }
  PYFF_DEVICE std::int64_t global_threads() const { return count() * threads(); }
  PYFF_DEVICE char* shared() const {
    extern __shared__ __align__(16) char pyff_shared[];
    return pyff_shared;
  }
  PYFF_DEVICE void sync() const { __syncthreads(); }
  PYFF_DEVICE void sync_warp() const { __syncwarp(); }
  template <class T>
  PYFF_DEVICE T shuffle(T value, int source_lane) const {
    return __shfl_sync(0xffffffffu, value, source_lane);
  }
  template <class T>
  PYFF_DEVICE T shuffle_xor(T value, int mask) const {
    return __shfl_xor_sync(0xffffffffu, value, mask);
  }
  PYFF_DEVICE unsigned ballot(bool predicate) const { return __ballot_sync(0xffffffffu, predicate); }
};

PYFF_DEVICE int popcount(unsigned bits) { return __popc(bits); }

// Each returns the old value.
PYFF_DEVICE std::int32_t atomic_add(std::int32_t* at, std::int32_t value) { return atomicAdd(at, value); }
PYFF_DEVICE std::uint32_t atomic_or(std::uint32_t* at, std::uint32_t value) { return atomicOr(at, value); }
PYFF_DEVICE unsigned long long atomic_min(unsigned long long* at, unsigned long long value) {
  return atomicMin(at, value);
}
PYFF_DEVICE unsigned long long atomic_max(unsigned long long* at, unsigned long long value) {
  return atomicMax(at, value);
}
PYFF_DEVICE unsigned long long atomic_add(unsigned long long* at, unsigned long long value) {
  return atomicAdd(at, value);
}
PYFF_DEVICE float atomic_add(float* at, float value) { return atomicAdd(at, value); }
PYFF_DEVICE double atomic_add(double* at, double value) { return atomicAdd(at, value); }

template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads) run_kernel(const __grid_constant__ Kernel kernel) {
  kernel(Block{});
}

// The most dynamic shared memory that a block of the current device may ask for.
inline std::int64_t max_shared_bytes() {
  int device = 0, bytes = 0;
  check(cudaGetDevice(&device), "find the current device");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), "ask for shared memory");
  return bytes;
}

// Starts the kernel on the stream. An empty grid is no work.
template <class Kernel>
void launch(const Kernel& kernel, const Grid& grid) {
  check_launch<Kernel>(grid);
  if (grid.blocks <= 0) return;
  constexpr std::int64_t kUnasked = 48 * 1024;
  if (grid.shared_bytes > kUnasked)
    check(cudaFuncSetAttribute(run_kernel<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(grid.shared_bytes)),
          Kernel::kName);
  run_kernel<Kernel><<<static_cast<unsigned>(grid.blocks), Kernel::kThreads,
                       static_cast<std::size_t>(grid.shared_bytes), static_cast<cudaStream_t>(grid.stream)>>>(kernel);
  check(cudaGetLastError(), Kernel::kName);
}

inline void set_zero(void* at, std::int64_t bytes, Stream stream) {
  if (bytes > 0)
    check(cudaMemsetAsync(at, 0, static_cast<std::size_t>(bytes), static_cast<cudaStream_t>(stream)), "clear memory");
}

}  // namespace pyff::simt
