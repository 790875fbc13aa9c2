// Continuous-filter convolution on CUDA: the functions of the library. Equations: kernels/cfconv.hpp.
//
// Every output is written by one thread in a fixed order: results are the same bits on every run. Receivers own their
// rows; the symmetry of the graph and of the filters turns the sum over receivers in grad_h into a sum over a row.
#pragma once

#include "api/pyff.hpp"
#include "cuda/call.hpp"

namespace pyff::cuda {

// order 0, 1, 2: forward, backward, double backward of api/pyff.hpp. Scratch bytes are those the same call needs; the
// network's work with less too, as long as one pair's filters fit, in more passes over the edges.
template <class T>
std::int64_t cfconv_table_scratch(int order, const CfconvTableParams<T>& params);
template <class T>
void cfconv_table(int order, const CfconvTableParams<T>& params, const Call& call);

template <class T>
std::int64_t cfconv_network_scratch(int order, const CfconvNetworkParams<T>& params);
template <class T>
void cfconv_network(int order, const CfconvNetworkParams<T>& params, const Call& call);

}  // namespace pyff::cuda
