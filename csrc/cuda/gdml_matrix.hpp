// Kernel matrices of forces on CUDA: the functions of the library. Params: api/gdml.hpp.
//
// A block of threads per pair of geometries; no output is shared, and results are the same bits on every run.
#pragma once

#include "api/gdml.hpp"
#include "cuda/call.hpp"

namespace pyff::cuda {

// All arrays are of the device; order is 0. No scratch is used.
std::int64_t gdml_matrix_scratch(int order, const GdmlMatrixParams& params);
void gdml_matrix(int order, const GdmlMatrixParams& params, const Call& call);

std::int64_t gdml_columns_scratch(int order, const GdmlColumnsParams& params);
void gdml_columns(int order, const GdmlColumnsParams& params, const Call& call);

}  // namespace pyff::cuda
