// Sums of pair energies on CUDA: the functions of the library. Equations: cpu/pair_energy.cpp.
//
// One warp per receiver; nothing is written per pair, no output is shared, and results are the same bits on every run.
#pragma once

#include "api/pyff.hpp"
#include "cuda/call.hpp"

namespace pyff::cuda {

// order 0, 1, 2: forward, backward, double backward of api/pyff.hpp. All arrays are of the device. No scratch is used.
std::int64_t pair_energy_scratch(int order, const PairEnergyParams& params);
void pair_energy(int order, const PairEnergyParams& params, const Call& call);

}  // namespace pyff::cuda
