// The waist between those who own memory (Python's ops, C++ programs) and those who compute. Every array is dense,
// row-major and owned by the caller; every output element is written. Sizes are 64-bit. Shape letters: N atoms,
// E directed edges, F features, G radial functions, K table intervals. Geometry (positions, distances) is float64;
// features have the kernel's scalar type T, float or double.
//
// The functions run on the CPU with the instruction set of core/isa.hpp and `threads` threads; the CUDA library
// (csrc/cuda) offers the same functions with a stream. They throw pyff::Error for a violated requirement.
#pragma once

#include <cstdint>

#include "math/activation.hpp"
#include "math/cutoff.hpp"
#include "math/pair_energy.hpp"
#include "math/radial.hpp"
#include "neighbors/kernel_params.hpp"

namespace pyff {

// Directed edges i <- j sorted by the receiver i. The reversed edge of every edge is present; edge_rev is an
// involution without fixed points.
struct Graph {
  std::int64_t n_atoms;
  std::int64_t n_edges;
  const std::int64_t* row_ptr;   // [N + 1] edges of receiver i are row_ptr[i] .. row_ptr[i + 1] - 1
  const std::int64_t* idx_i;     // [E] receivers
  const std::int64_t* idx_j;     // [E] senders
  const std::int64_t* edge_rev;  // [E]
};

// ---- edge geometry -------------------------------------------------------------------------------------------
// Forward: vec_e = pos[j] - pos[i] + shift_e cell[b], distance_e = |vec_e|. Backward: grad_pos and grad_cell (either
// may be null) from grad_vec and grad_distance (either may be null). Double backward, from the cotangents cot_pos and
// cot_cell of those two: out_vec and out_distance, the cotangents of grad_vec and grad_distance, and grad_pos and
// grad_cell, the cotangents of pos and cell; any of the four may be null.
struct EdgeGeometryParams {
  Graph graph;
  std::int64_t n_systems;
  const std::int64_t* batch;  // [N] system of each atom
  const std::int32_t* shift;  // [E, 3]
  const double* pos;          // [N, 3] A
  const double* cell;         // [B, 3, 3] A, rows are lattice vectors
  double* vec;                // [E, 3] output of forward, input of the others
  double* distance;           // [E] likewise
  const double* grad_vec;       // [E, 3]
  const double* grad_distance;  // [E]
  double* grad_pos;             // [N, 3]
  double* grad_cell;            // [B, 3, 3]
  const double* cot_pos;        // [N, 3]
  const double* cot_cell;       // [B, 3, 3]
  double* out_vec;              // [E, 3]
  double* out_distance;         // [E]
  int threads;
};

// ---- radial bases and cutoff functions --------------------------------------------------------------------------
// The order-th derivative (0..3) of every basis function, out [n, size], or of the cutoff function, out [n].
template <class T>
struct RadialParams {
  std::int64_t n;
  const double* distance;  // [n] A
  RadialBasis basis;
  Cutoff cutoff;
  int order;
  T* out;
  int threads;
};

// ---- continuous-filter convolution -----------------------------------------------------------------------------
// y_i = sum_j W(d_ij) * h_j (product over features). Requires distance[e] == distance[edge_rev[e]]: a filter is
// evaluated once per unordered pair. Edges with distance >= cutoff (table: beyond the last interval) weigh nothing.

// W(d) from quintic polynomials; coef is [K, 6, F].
template <class T>
struct FilterTable {
  const T* coef;
  std::int64_t n_intervals;
  double start;
  double spacing;
};

// W(d) = act_last(W2 act(W1 g(d) + b1) + b2) * C(d).
template <class T>
struct FilterNetwork {
  const T* w1;  // [F, G]
  const T* b1;  // [F]
  const T* w2;  // [F, F] (out, in)
  const T* b2;  // [F]
  RadialBasis basis;
  Cutoff cutoff;
  Activation activation;
  Activation last_activation;
};

template <class T>
struct CfconvData {
  Graph graph;
  std::int64_t n_features;
  const double* distance;  // [E]
  const T* h;              // [N, F] sender features
  const T* grad_y;         // [N, F] cotangent of y (backward and double backward)
  const T* u;              // [N, F] cotangent of grad_h (double backward)
  const double* v;         // [E] cotangent of grad_distance (double backward)
  T* scratch;              // CPU: threads x the elements of cpu/scratch.hpp
  int threads;
};

// Forward: y [N, F].
// Backward: grad_h [N, F] = sum_j W * grad_y_j, grad_distance [E] = sum_f grad_y_i h_j W', grad_<parameter>; any of
// them may be null and is then not computed.
// Double backward, of S = <u, grad_h> + <v, grad_distance>: cotangents of grad_y, h, distance and the parameters;
// any of them may be null.
template <class T>
struct CfconvResult {
  T* y;                   // forward
  T* grad_h;              // backward; double backward: cotangent of h
  double* grad_distance;  // backward; double backward: cotangent of distance
  T* grad_grad_y;         // double backward: cotangent of grad_y
};

// Gradients of parameters come as one partial sum per thread, [P, ...] with P = threads (CUDA: P = 1).
template <class T>
struct TableGradient {
  T* coef;  // [P, K, 6, F] or null
};

template <class T>
struct NetworkGradient {
  T* w1;  // [P, F, G]; all four or none
  T* b1;  // [P, F]
  T* w2;  // [P, F, F]
  T* b2;  // [P, F]
};

template <class T>
struct CfconvTableParams {
  CfconvData<T> data;
  FilterTable<T> filter;
  CfconvResult<T> out;
  TableGradient<T> grad;
};

template <class T>
struct CfconvNetworkParams {
  CfconvData<T> data;
  FilterNetwork<T> filter;
  CfconvResult<T> out;
  NetworkGradient<T> grad;
};

// ---- filters at given distances ------------------------------------------------------------------------------------
// Forward: out [3, n, F] = W(d), W'(d), W''(d). Backward: gradients of the weights, given grad_out [3, n, F].
template <class T>
struct FilterNodesParams {
  std::int64_t n;
  std::int64_t n_features;
  const double* distance;  // [n] A
  FilterNetwork<T> filter;
  T* out;
  const T* grad_out;
  NetworkGradient<T> grad;
  T* scratch;  // threads x the elements of cpu/scratch.hpp
  int threads;
};

// ---- sums of pair energies --------------------------------------------------------------------------------------
// Forward: energy_i = 1/2 sum_{p: i<-j} e(|r_p|; a_i, a_j), r_p = pos[j] - pos[i] + shift_p cell[b]. The pairs hold both
// directions; each is evaluated at its receiver, for all that the receiver needs, and nothing is written per pair.
// Backward, from the cotangent grad_energy: grad_pos, grad_atom, and per receiver virial and grad_law, whose sums over
// the atoms of a system and over all atoms are the gradients of cell and law; and the energies, where energy is not
// null: both in one pass. Double backward, from the cotangents
// cot_* of those: energy is the cotangent of grad_energy, the others are the cotangents of their arguments. Null
// outputs are not computed.
struct PairEnergyParams {
  std::int64_t n_atoms;
  const std::int64_t* row_ptr;  // [N + 1] pairs of receiver i are row_ptr[i] .. row_ptr[i + 1] - 1
  const std::int64_t* idx_j;    // [P] senders
  const std::int32_t* shift;    // [P, 3]
  const std::int64_t* batch;    // [N] system of each atom
  const double* pos;            // [N, 3] A
  const double* cell;           // [B, 3, 3] A, rows are lattice vectors
  PairLaw law;
  const double* atom;            // [N, A] parameters of the atoms; A and Q follow from the law
  const double* law_parameters;  // [Q]
  const double* grad_energy;     // [N]
  const double* cot_pos;         // [N, 3]
  const double* cot_cell;        // [B, 3, 3]
  const double* cot_atom;        // [N, A]
  const double* cot_law;         // [Q]
  double* energy;                // [N] eV
  double* grad_pos;              // [N, 3]
  double* virial;                // [N, 3, 3]
  double* grad_atom;             // [N, A]
  double* grad_law;              // [N, Q]
  int threads;
};

// ---- equivariant attention ---------------------------------------------------------------------------------------
// Messages of one SO3krates layer (docs/derivations/attention.md). Requires vec[e] == -vec[edge_rev[e]] and, of the
// cotangents of gradients, the same. Edges with |vec| >= cutoff weigh nothing.
//   x_i     = concat_h sum_j a1_h v1_j,h       a1_h = phi(d)/nc sum_{c in h} q1_ic w1_c k1_jc     (n_heads heads)
//   ev_i,lm = sum_j a2_l Y_lm(u_ij)            a2_l = phi(d)/nc sum_{c in l} q2_ic w2_c k2_jc     (one head per degree)
//   w_b     = R_b(d) + ws2_b act(ws1_b tau + bs1_b) + bs2_b,   tau_l = |ev_j - ev_i|_l^2 / sqrt(2l + 1)

struct AttentionShape {
  std::int64_t n_features;  // F: a multiple of n_heads and of n_degrees
  std::int64_t n_hidden;    // S, width of the spherical filter network; 0: no such filter, and no ev
  const int* degrees;       // [L] l of each head of the second block, 1..4
  int n_degrees;            // L
  int n_heads;
  Cutoff cutoff;
  double normalization;  // nc
  Activation activation;
  std::int64_t n_intervals;  // K of the table of R; 0: R is given edge by edge
  double start;              // of the table, A
  double spacing;            // of its nodes, even in s(d) of math/hermite.hpp
  double decay;              // 1/A
};

// The tensors of a call, their tangents or their gradients.
template <class Real, class Geometry>
struct AttentionTensors {
  Real *q1, *k1, *v1, *q2, *k2;  // [N, F]
  Real* ev;                      // [N, M], M = sum (2l + 1)
  Real* radial;                  // R_1 and R_2 side by side: [E, 2F], or coefficients [K, 6, 2F]
  Real *ws1, *bs1, *ws2, *bs2;   // [2, S, L], [2, S], [2, F, S], [2, F]
  Geometry* vec;                 // [E, 3] A
};

// Forward: x and ev.
// Backward: grad, from grad_x and grad_ev. Groups of outputs may be null and are then not computed: q1 to k2, ev,
// radial, ws1 to bs2, vec. Gradients of coefficients and of ws1 to bs2 come as one partial sum per thread, [P, ...].
// Gradients of radial rows and of vec are those of a pair, on one of its two edges, and zero on the other.
// Double backward, of S = <tangent, grad>, tangent being the cotangents of the gradients of q1 to k2, ev, radial (rows)
// and vec: grad are the cotangents of the tensors, x and ev those of grad_x and grad_ev (both or neither).
template <class T>
struct AttentionParams {
  Graph graph;
  AttentionShape shape;
  AttentionTensors<const T, const double> in;
  AttentionTensors<const T, const double> tangent;
  const T* grad_x;   // [N, F]
  const T* grad_ev;  // [N, M]
  T* x;              // [N, F]
  T* ev;             // [N, M]
  AttentionTensors<T, double> grad;
  T* scratch;  // the elements of cpu/attention_memory.hpp
  int threads;
};

// ---- particle meshes ---------------------------------------------------------------------------------------------------
// W_i(m) = M(u_ix - m_x) M(u_iy - m_y) M(u_iz - m_z) at the points m of a periodic mesh, M the cardinal B-spline.
// Spread: mesh_out(m) = sum_i (weight_i + direction_i . d/du_i) W_i(m); weight or direction may be null.
// Gather: value_i = sum_m mesh(m) W_i(m), gradient_i = d value_i/du_i, and curvature_i = (d gradient_i/du_i) direction_i;
// any of the three may be null.
struct MeshParams {
  std::int64_t n_atoms;
  std::int64_t shape[3];  // at least 2 order points along each axis
  int order;              // 4 or 6
  const double* u;          // [N, 3] positions in mesh points, 0 <= u <= shape
  const double* weight;     // [N]
  const double* direction;  // [N, 3]
  const double* mesh;       // [shape]
  double* mesh_out;         // [shape]
  double* value;            // [N]
  double* gradient;         // [N, 3]
  double* curvature;        // [N, 3]
  int threads;
};

// ---- fused pointwise layers --------------------------------------------------------------------------------------
// y = act(x + bias), with x [rows, F]; backward grad_x = grad_y act'(x + bias); double backward with cotangent u of
// grad_x: cotangent of grad_y = u act', of x = u grad_y act''. The cotangent of bias is the column sum of that of x.
template <class T>
struct BiasActivationParams {
  std::int64_t rows;
  std::int64_t n_features;
  const T* x;
  const T* bias;  // [F] or null
  Activation activation;
  const T* grad_y;
  const T* u;
  T* y;            // forward
  T* grad_x;       // backward: cotangent of x; double backward: the same
  T* grad_grad_y;  // double backward
  int threads;
};

}  // namespace pyff
