#include "cuda/library.hpp"

#include <exception>
#include <string>

#include "core/status.hpp"
#include "cuda/cfconv.hpp"
#include "cuda/devices.hpp"
#include "cuda/distance_matrix.hpp"
#include "cuda/equivariant_attention.hpp"
#include "cuda/gdml_matrix.hpp"
#include "cuda/gdml_product.hpp"
#include "cuda/pair_energy.hpp"

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

Status probe() {
  return guarded([] { last_message() = usable_devices(); });
}

#define PYFF_OP_FUNCTIONS(name, Params)                                                        \
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
                      PYFF_OP_FUNCTIONS(cfconv_table, CfconvTableParams<float>),
                      PYFF_OP_FUNCTIONS(cfconv_table, CfconvTableParams<double>),
                      PYFF_OP_FUNCTIONS(cfconv_network, CfconvNetworkParams<float>),
                      PYFF_OP_FUNCTIONS(cfconv_network, CfconvNetworkParams<double>),
                      PYFF_OP_FUNCTIONS(equivariant_attention, AttentionParams<float>),
                      PYFF_OP_FUNCTIONS(equivariant_attention, AttentionParams<double>),
                      PYFF_OP_FUNCTIONS(pair_energy, PairEnergyParams),
                      PYFF_OP_FUNCTIONS(distance_matrix, DistanceParams),
                      PYFF_OP_FUNCTIONS(gdml_descriptors, GdmlDescriptorParams),
                      PYFF_OP_FUNCTIONS(gdml_jacobian, GdmlJacobianParams),
                      PYFF_OP_FUNCTIONS(gdml_product, GdmlProductParams),
                      PYFF_OP_FUNCTIONS(gdml_matrix, GdmlMatrixParams),
                      PYFF_OP_FUNCTIONS(gdml_columns, GdmlColumnsParams),
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
#undef PYFF_OP_FUNCTIONS

}  // namespace
}  // namespace pyff::cuda

extern "C" __attribute__((visibility("default"))) const pyff::cuda::Library* pyff_cuda_library(std::int64_t layout) {
  return layout == pyff::cuda::library_layout() ? &pyff::cuda::library : nullptr;
}
