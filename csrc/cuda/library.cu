#include "cuda/library.hpp"

#include <exception>
#include <string>

#include "core/status.hpp"
#include "cuda/cfconv.hpp"
#include "cuda/simt.hpp"

namespace pyff::cuda {
namespace {

std::string& last_message() {
  thread_local std::string text;
  return text;
}

const char* message() { return last_message().c_str(); }

// No exception leaves the library.
template <class Body>
Status guarded(Body&& body) {
  try {
    body();
    return kOk;
  } catch (const Error& e) {
    last_message() = e.what();
    return kCallerError;
  } catch (const std::exception& e) {
    last_message() = e.what();
    return kFailure;
  }
}

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
  static constexpr int kThreads = 32;
  PYFF_DEVICE void operator()(const simt::Block&) const {}
};

void probe_devices() {
  int n = 0;
  const cudaError_t status = cudaGetDeviceCount(&n);
  if (status == cudaErrorInsufficientDriver)
    throw RuntimeFailure("this machine has no NVIDIA driver, or one too old for the CUDA runtime that pyff is built with.");
  if (status == cudaErrorNoDevice || (status == cudaSuccess && n == 0))
    throw RuntimeFailure("CUDA sees no GPU on this machine.");
  simt::check(status, "count the GPUs");
  std::string usable, unusable;
  for (int device = 0; device < n; ++device) {
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
  last_message() = usable;
}

Status probe() { return guarded(probe_devices); }

#define PYFF_CFCONV_FUNCTIONS(name, Params)                                                        \
  {                                                                                                \
    [](int order, const Params* params, std::int64_t* bytes) {                                     \
      return guarded([&] { *bytes = name##_scratch(order, *params); });                            \
    },                                                                                             \
        [](int order, const Params* params, const Call* call) {                                    \
          return guarded([&] {                                                                     \
            const DeviceGuard guard(call->device);                                                 \
            name(order, *params, *call);                                                           \
          });                                                                                      \
        }                                                                                          \
  }

const Library library{message,
                      probe,
                      PYFF_CFCONV_FUNCTIONS(cfconv_table, CfconvTableParams<float>),
                      PYFF_CFCONV_FUNCTIONS(cfconv_table, CfconvTableParams<double>),
                      PYFF_CFCONV_FUNCTIONS(cfconv_network, CfconvNetworkParams<float>),
                      PYFF_CFCONV_FUNCTIONS(cfconv_network, CfconvNetworkParams<double>),
                      [](const NeighborParams* params, std::int64_t* bytes) {
                        return guarded([&] { *bytes = neighbor_count_scratch(*params); });
                      },
                      [](const NeighborParams* params, const Call* call) {
                        return guarded([&] {
                          const DeviceGuard guard(call->device);
                          neighbor_count(*params, *call);
                        });
                      },
                      [](const NeighborParams* params, std::int64_t* bytes) {
                        return guarded([&] { *bytes = neighbor_fill_scratch(*params); });
                      },
                      [](const NeighborParams* params, const void* count_scratch, const Call* call) {
                        return guarded([&] {
                          const DeviceGuard guard(call->device);
                          neighbor_fill(*params, count_scratch, *call);
                        });
                      }};
#undef PYFF_CFCONV_FUNCTIONS

}  // namespace
}  // namespace pyff::cuda

extern "C" __attribute__((visibility("default"))) const pyff::cuda::Library* pyff_cuda_library(std::int64_t layout) {
  return layout == pyff::cuda::library_layout() ? &pyff::cuda::library : nullptr;
}
