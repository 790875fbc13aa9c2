// Radial basis functions and cutoff functions of many distances: the order-th derivative, order 0..3.
#include "api/pyff.hpp"
#include "core/parallel.hpp"

namespace pyff::PYFF_ISA {
namespace {

constexpr std::int64_t kParallelThreshold = 1 << 12;  // values

template <class T>
T derivative(const Jet<T>& j, int order) {
  return order == 0 ? j.v : order == 1 ? j.d1 : order == 2 ? j.d2 : j.d3;
}

template <class T>
void basis(const RadialParams<T>& p) {
  const int threads = p.n * p.basis.size < kParallelThreshold ? 1 : p.threads;
  parallel_ranges(threads, p.n, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t e = begin; e < end; ++e)
      for (int k = 0; k < p.basis.size; ++k)
        p.out[e * p.basis.size + k] = T(derivative(radial_basis(p.basis, k, p.distance[e]), p.order));
  });
}

template <class T>
void switching(const RadialParams<T>& p) {
  const int threads = p.n < kParallelThreshold ? 1 : p.threads;
  parallel_ranges(threads, p.n, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t e = begin; e < end; ++e) p.out[e] = T(derivative(cutoff(p.cutoff, p.distance[e]), p.order));
  });
}

}  // namespace

void radial_basis(const RadialParams<float>& p) { basis(p); }
void radial_basis(const RadialParams<double>& p) { basis(p); }
void cutoff_function(const RadialParams<float>& p) { switching(p); }
void cutoff_function(const RadialParams<double>& p) { switching(p); }

}  // namespace pyff::PYFF_ISA
