// Distances between all rows of two arrays on CUDA: the functions of the library.
#pragma once

#include "api/distance.hpp"
#include "cuda/call.hpp"

namespace pyff::cuda {

// All arrays are of the device. No scratch is used; order is 0. A matrix of an array with itself is computed in full,
// and symmetric all the same: terms and their order are the same on both sides.
std::int64_t distance_matrix_scratch(int order, const DistanceParams& params);
void distance_matrix(int order, const DistanceParams& params, const Call& call);

}  // namespace pyff::cuda
