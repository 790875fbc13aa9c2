// The plain continuous-filter convolution: one loop over directed edges, every derivative spelled out, double
// precision inside whatever T is. The oracle of the tests; nothing ships on it.
//
// With filter W(d), D = W', D2 = W'' (all zero from the cutoff on), receiver i and sender j of edge e:
//   y_i           = sum_e W_e h_j
//   grad_h_j      = sum_e W_e grad_y_i                  grad_distance_e = sum_f grad_y_i h_j D_e
// Double backward, S = <u, grad_h> + <v, grad_distance> = sum_e grad_y_i (W_e u_j + v_e D_e h_j):
//   grad_grad_y_i = sum_e W_e u_j + v_e D_e h_j         grad_h_j = sum_e v_e D_e grad_y_i
//   grad_distance_e = sum_f grad_y_i (u_j D_e + v_e h_j D2_e)
// Parameters see the cotangents Wb_e = grad_y_i h_j (backward), or Wb_e = grad_y_i u_j and Db_e = v_e grad_y_i h_j.
#pragma once

#include "api/pyff.hpp"

namespace pyff::plain {

template <class T>
void cfconv_table_forward(const CfconvTableParams<T>& params);
template <class T>
void cfconv_table_backward(const CfconvTableParams<T>& params);
template <class T>
void cfconv_table_double_backward(const CfconvTableParams<T>& params);

template <class T>
void cfconv_network_forward(const CfconvNetworkParams<T>& params);
template <class T>
void cfconv_network_backward(const CfconvNetworkParams<T>& params);
template <class T>
void cfconv_network_double_backward(const CfconvNetworkParams<T>& params);

}  // namespace pyff::plain
