// The table of functions of libpyff_cuda: all that _core, which does not link the library, knows of it.
#pragma once

#include <initializer_list>

#include "api/distance.hpp"
#include "api/gdml.hpp"
#include "api/gdml_product.hpp"
#include "api/pyff.hpp"
#include "cuda/call.hpp"
#include "cuda/neighbor_list.hpp"

namespace pyff::cuda {

// What a function of the table returns. The text is in message(), of the calling thread.
enum Status : int { kOk = 0, kCallerError = 1, kFailure = 2 };

// `order` 0, 1, 2: forward, backward, double backward. *bytes: the scratch that the call of the same Params needs.
template <class Params>
struct OpFunctions {
  Status (*scratch)(int order, const Params* params, std::int64_t* bytes);
  Status (*run)(int order, const Params* params, const Call* call);
};

struct Library {
  const char* (*message)();
  // kOk where kernels of this build run on a GPU of this machine; message() says which, or why not.
  Status (*probe)();
  OpFunctions<CfconvTableParams<float>> cfconv_table_float32;
  OpFunctions<CfconvTableParams<double>> cfconv_table_float64;
  OpFunctions<CfconvNetworkParams<float>> cfconv_network_float32;
  OpFunctions<CfconvNetworkParams<double>> cfconv_network_float64;
  OpFunctions<AttentionParams<float>> equivariant_attention_float32;
  OpFunctions<AttentionParams<double>> equivariant_attention_float64;
  OpFunctions<PairEnergyParams> pair_energy;
  OpFunctions<DistanceParams> distance_matrix;
  OpFunctions<GdmlDescriptorParams> gdml_descriptors;
  OpFunctions<GdmlJacobianParams> gdml_jacobian;
  OpFunctions<GdmlProductParams> gdml_product;
  OpFunctions<GdmlMatrixParams> gdml_matrix;
  OpFunctions<GdmlColumnsParams> gdml_columns;
  Status (*neighbor_count_scratch)(const NeighborParams* params, std::int64_t* bytes);
  Status (*neighbor_count)(const NeighborParams* params, const Call* call);
  Status (*neighbor_fill_scratch)(const NeighborParams* params, std::int64_t* bytes);
  Status (*neighbor_fill)(const NeighborParams* params, const void* count_scratch, const Call* call);
};

// Differs where the structs above do, so that a library of another build is refused instead of misread.
constexpr std::int64_t library_layout() {
  std::int64_t layout = 1;  // raise when meaning changes but no size
  for (const std::size_t size :
       {sizeof(Library), sizeof(Call), sizeof(NeighborParams), sizeof(NeighborSummary),
        sizeof(CfconvTableParams<float>), sizeof(CfconvNetworkParams<float>), sizeof(AttentionParams<float>),
        sizeof(PairEnergyParams), sizeof(DistanceParams), sizeof(GdmlDescriptorParams), sizeof(GdmlJacobianParams),
        sizeof(GdmlProductParams), sizeof(GdmlMatrixParams), sizeof(GdmlColumnsParams)})
    layout = layout * 1009 + static_cast<std::int64_t>(size);
  return layout;
}

using LibraryEntry = const Library* (*)(std::int64_t layout);  // null for another layout
constexpr const char* kLibraryEntry = "pyff_cuda_library";

}  // namespace pyff::cuda
