// Choosing a GPU and telling which ones can be used. Like simt.hpp with a host implementation: one "device", the CPU.
#pragma once

#include <string>

#include "cuda/simt.hpp"

namespace pyff::cuda {

#if defined(__CUDACC__)

// The thread's current device is the caller's while work is enqueued, and what it was before afterwards.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) {
    simt::check(cudaGetDevice(&before_), "find the current device");
    if (before_ == device) return;
    simt::check(cudaSetDevice(device), "change the current device");
    changed_ = true;
  }
  ~DeviceGuard() {
    if (changed_) cudaSetDevice(before_);
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int before_ = 0;
  bool changed_ = false;
};

struct Nothing {
  static constexpr int kThreads = simt::kWarp;
  PYFF_DEVICE void operator()(const simt::Block&) const {}
};

inline int count_devices() {
  int n = 0;
  const cudaError_t status = cudaGetDeviceCount(&n);
  if (status == cudaErrorInsufficientDriver)
    throw RuntimeFailure(
        "this machine has no NVIDIA driver, or one too old for the CUDA runtime that pyff is built with.");
  if (status == cudaErrorNoDevice || (status == cudaSuccess && n == 0))
    throw RuntimeFailure("CUDA sees no GPU on this machine.");
  simt::check(status, "count the GPUs");
  return n;
}

// Names of the GPUs that the kernels were built for, or a RuntimeFailure that says why there is none.
inline std::string usable_devices() {
  std::string usable, unusable;
  for (int device = 0, n = count_devices(); device < n; ++device) {
    cudaDeviceProp properties;
    simt::check(cudaGetDeviceProperties(&properties, device), "ask for a GPU's properties");
    const std::string name = std::string(properties.name) + " (compute capability " +
                             std::to_string(properties.major) + "." + std::to_string(properties.minor) + ")";
    const DeviceGuard guard(device);
    cudaFuncAttributes attributes;
    const bool runs = cudaFuncGetAttributes(&attributes, simt::run_kernel<Nothing>) == cudaSuccess;
    std::string& list = runs ? usable : unusable;
    list += (list.empty() ? "" : ", ") + name;
    cudaGetLastError();  // an unusable GPU must not fail the next launch's check
  }
  if (usable.empty())
    throw RuntimeFailure("pyff's CUDA kernels were not built for " + unusable +
                         "; rebuild with -DPYFF_CUDA_ARCHS=<its compute capability>.");
  return usable;
}

#else

class DeviceGuard {
 public:
  explicit DeviceGuard(int) {}
  ~DeviceGuard() {}
};

inline std::string usable_devices() { return "the CPU, one thread at a time (for tests)"; }

#endif

}  // namespace pyff::cuda
