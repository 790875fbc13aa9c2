// Equivariant attention on CUDA: the functions of the library. Equations: docs/derivations/attention.md.
//
// Every output is written by one thread in a fixed order: results are the same bits on every run. No array of edges x
// features exists; from backward to gradients of parameters goes one number per edge and head.
#pragma once

#include "api/pyff.hpp"
#include "cuda/call.hpp"

namespace pyff::cuda {

// order 0, 1, 2: forward, backward, double backward of api/pyff.hpp, whose partial sums of parameters are one here.
// shape.degrees is an array of the host, all others are of the device. Scratch bytes are those the same call needs.
template <class T>
std::int64_t equivariant_attention_scratch(int order, const AttentionParams<T>& params);
template <class T>
void equivariant_attention(int order, const AttentionParams<T>& params, const Call& call);

}  // namespace pyff::cuda
