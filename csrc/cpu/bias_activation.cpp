// y = act(x + bias), its backward and double backward: one pass over memory each.
#include "api/pyff.hpp"
#include "core/parallel.hpp"
#include "math/simd.hpp"
#include "math/activation.hpp"

namespace pyff::PYFF_ISA {
namespace {

// Below this many elements a second thread costs more than it saves.
constexpr std::int64_t kParallelThreshold = 1 << 14;

// apply(offset, x + bias) for each element; V is a vector or, at a row's end, a scalar.
template <class T, class Apply>
void for_each(const BiasActivationParams<T>& p, Apply&& apply) {
  const std::int64_t f = p.n_features;
  const int threads = p.rows * f < kParallelThreshold ? 1 : p.threads;
  parallel_ranges(threads, p.rows, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t at = row * f;
      std::int64_t k = 0;
      for (; k + kLanes<T> <= f; k += kLanes<T>)
        apply(at + k, load(p.x + at + k) + (p.bias ? load(p.bias + k) : Vec<T>{}), [](const T* q) { return load(q); },
              [](T* q, Vec<T> v) { store(q, v); });
      for (; k < f; ++k)
        apply(at + k, p.x[at + k] + (p.bias ? p.bias[k] : T(0)), [](const T* q) { return *q; },
              [](T* q, T v) { *q = v; });
    }
  });
}

template <class T>
void forward(const BiasActivationParams<T>& p) {
  for_each(p, [&](std::int64_t at, auto x, auto, auto put) { put(p.y + at, activation(p.activation, x).v); });
}

template <class T>
void backward(const BiasActivationParams<T>& p) {
  for_each(p, [&](std::int64_t at, auto x, auto get, auto put) {
    put(p.grad_x + at, get(p.grad_y + at) * activation(p.activation, x).d1);
  });
}

template <class T>
void double_backward(const BiasActivationParams<T>& p) {
  for_each(p, [&](std::int64_t at, auto x, auto get, auto put) {
    const auto a = activation(p.activation, x);
    const auto u = get(p.u + at);
    if (p.grad_grad_y) put(p.grad_grad_y + at, u * a.d1);
    if (p.grad_x) put(p.grad_x + at, u * get(p.grad_y + at) * a.d2);
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
