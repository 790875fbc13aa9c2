// y = act(x + bias), its backward and double backward: one pass over memory each.
#include "api/pyff.hpp"
#include "core/parallel.hpp"
#include "math/simd.hpp"
#include "math/activation.hpp"

namespace pyff::PYFF_ISA {
namespace {

// Below this many elements a second thread costs more than it saves.
constexpr std::int64_t kParallelThreshold = 1 << 14;

// apply(offset, x + bias, lane) for each element.
template <class T, class Apply>
void for_each(const BiasActivationParams<T>& p, Apply&& apply) {
  const std::int64_t f = p.n_features;
  const int threads = p.rows * f < kParallelThreshold ? 1 : p.threads;
  parallel_ranges(threads, p.rows, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const T* x = p.x + row * f;
      for_lanes<T>(f, [&](std::int64_t k, auto lane) {
        apply(row * f + k, p.bias ? lane.get(x + k) + lane.get(p.bias + k) : lane.get(x + k), lane);
      });
    }
  });
}

template <class T>
void forward(const BiasActivationParams<T>& p) {
  for_each(p, [&](std::int64_t at, auto x, auto lane) { lane.put(p.y + at, activation(p.activation, x).v); });
}

template <class T>
void backward(const BiasActivationParams<T>& p) {
  for_each(p, [&](std::int64_t at, auto x, auto lane) {
    lane.put(p.grad_x + at, lane.get(p.grad_y + at) * activation(p.activation, x).d1);
  });
}

template <class T>
void double_backward(const BiasActivationParams<T>& p) {
  for_each(p, [&](std::int64_t at, auto x, auto lane) {
    const auto a = activation(p.activation, x);
    const auto u = lane.get(p.u + at);
    if (p.grad_grad_y) lane.put(p.grad_grad_y + at, u * a.d1);
    if (p.grad_x) lane.put(p.grad_x + at, u * lane.get(p.grad_y + at) * a.d2);
  });
}

}  // namespace

void bias_activation_forward(const BiasActivationParams<float>& p) { forward(p); }
void bias_activation_forward(const BiasActivationParams<double>& p) { forward(p); }
void bias_activation_backward(const BiasActivationParams<float>& p) { backward(p); }
void bias_activation_backward(const BiasActivationParams<double>& p) { backward(p); }
void bias_activation_double_backward(const BiasActivationParams<float>& p) { double_backward(p); }
void bias_activation_double_backward(const BiasActivationParams<double>& p) { double_backward(p); }

}  // namespace pyff::PYFF_ISA
