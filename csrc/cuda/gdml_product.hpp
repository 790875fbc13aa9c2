// GDML expansions, descriptors and products with their Jacobians on CUDA: the functions of the library. Equations:
// pyff/ops/gdml.py. All arrays are of the device; results are the same bits on every run.
#pragma once

#include "api/gdml_product.hpp"
#include "cuda/call.hpp"

namespace pyff::cuda {

std::int64_t gdml_product_scratch(int order, const GdmlProductParams& params);
void gdml_product(int order, const GdmlProductParams& params, const Call& call);

std::int64_t gdml_descriptors_scratch(int order, const GdmlDescriptorParams& params);
void gdml_descriptors(int order, const GdmlDescriptorParams& params, const Call& call);

// order 0: J v, order 1: J^T u
std::int64_t gdml_jacobian_scratch(int order, const GdmlJacobianParams& params);
void gdml_jacobian(int order, const GdmlJacobianParams& params, const Call& call);

}  // namespace pyff::cuda
