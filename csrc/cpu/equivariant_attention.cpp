// Equivariant attention on the CPU: forward, backward and double backward. Equations: docs/derivations/attention.md.
//
// Filters are symmetric and harmonics have a parity, so a pair is visited once for both directions (cpu/pairs.hpp);
// pairs are collected into tiles, so that the spherical filters are matrix products. No array of edges x features
// exists.
#include "cpu/attention_worker.hpp"

#include "core/parallel.hpp"

namespace pyff::PYFF_ISA {
namespace {

// Rows of a block in padded layout.
template <class T>
void pad_rows(const T* from, T* to, const HeadLayout& h, std::int64_t begin, std::int64_t end) {
  for (std::int64_t n = begin * h.heads; n < end * h.heads; ++n) {
    for (std::int64_t k = 0; k < h.size; ++k) to[n * h.stride + k] = from[n * h.size + k];
    for (std::int64_t k = h.size; k < h.stride; ++k) to[n * h.stride + k] = T(0);
  }
}
template <class T>
void unpad_rows(const T* from, T* to, const HeadLayout& h, std::int64_t begin, std::int64_t end) {
  for (std::int64_t n = begin * h.heads; n < end * h.heads; ++n)
    for (std::int64_t k = 0; k < h.size; ++k) to[n * h.size + k] = from[n * h.stride + k];
}

// The weights in the layouts of AttentionShared, zero where they are padded.
template <class T>
void pack_weights(const AttentionParams<T>& p, const AttentionLayout<T>& layout, const AttentionShared<T>& to) {
  const std::int64_t s = layout.s, lds = layout.lds, f = layout.f, l = p.shape.n_degrees;
  clear(to.w1_forward, l * 2 * lds);
  clear(to.b1, 2 * lds);
  clear(to.w1_backward, 2 * lds * layout.ldl);
  clear(to.w2_backward, layout.ldw * lds);
  clear(to.b2, layout.ldw);
  pad_columns(layout, p.in.bs2, to.b2);
  for (int b = 0; b < kBlocks; ++b) {
    for (std::int64_t r = 0; r < s; ++r) {
      to.b1[b * lds + r] = p.in.bs1[b * s + r];
      for (std::int64_t k = 0; k < l; ++k)
        to.w1_forward[k * 2 * lds + b * lds + r] = to.w1_backward[(b * lds + r) * layout.ldl + k] =
            p.in.ws1[(b * s + r) * l + k];
    }
    for (std::int64_t c = 0; c < f; ++c) {
      const std::int64_t column = layout.first[b] + c;
      for (std::int64_t r = 0; r < s; ++r) to.w2_backward[column * lds + r] = p.in.ws2[(b * f + c) * s + r];
    }
  }
  // the transpose, in blocks of a cache line
  constexpr std::int64_t line = 64 / sizeof(T);
  for (std::int64_t c = 0; c < layout.ldw; c += line)
    for (std::int64_t r = 0; r < s; ++r)
      for (std::int64_t k = 0; k < line; ++k) to.w2_forward[r * layout.ldw + c + k] = to.w2_backward[(c + k) * lds + r];
}

template <class T>
void pack_table(const AttentionLayout<T>& layout, const T* from, T* to) {
  clear(to, layout.table_rows * layout.ldw);
  for (std::int64_t row = 0; row < layout.table_rows; ++row)
    pad_columns(layout, from + row * 2 * layout.f, to + row * layout.ldw);
}

template <class T>
class Call {
 public:
  Call(const AttentionParams<T>& p, AttentionMode mode)
      : p_(p), mode_(mode), layout_(p.shape), memory_(p.scratch), shared_(memory_, layout_, p.graph.n_atoms, mode) {}

  template <bool kDual, class Job>
  void run(Job&& job) {
    if (layout_.s > 0) pack_weights(p_, layout_, shared_);
    const bool dense = layout_.dense();
    if (!dense) pack_table(layout_, p_.in.radial, shared_.table);
    if (!dense) parallel_ranges(p_.threads, p_.graph.n_atoms, [&](int, std::int64_t a, std::int64_t b) { pad(a, b); });
    const typename AttentionWorker<T, kDual>::Task task{
        p_,       layout_, shared_, inputs(p_.in, shared_.in, p_.grad_x), inputs(p_.tangent, shared_.tangent, nullptr),
        outputs()};
    const std::int64_t shared = attention_shared_elements<T>(p_.shape, p_.graph.n_atoms, mode_),
                       each = attention_thread_elements<T>(p_.shape, mode_);
    parallel_ranges(p_.threads, p_.threads, [&](int chunk, std::int64_t, std::int64_t) {
      Carver<T> mine(p_.scratch + shared + chunk * each);
      AttentionWorker<T, kDual> worker(task, AttentionPanels<T>(mine, layout_, mode_), chunk);
      const std::int64_t begin = chunk_begin(p_.graph, chunk, p_.threads),
                         end = chunk_begin(p_.graph, chunk + 1, p_.threads);
      job(worker, begin, end);
      if (!dense) unpad(begin, end);
    });
  }

 private:
  using In = AttentionTensors<const T, const double>;
  using Rows = AttentionRows<T>;

  static const T* either(const T* padded_copy, const T* caller) { return padded_copy && caller ? padded_copy : caller; }
  static T* either(T* padded_copy, T* caller) { return padded_copy && caller ? padded_copy : caller; }

  AttentionArrays<T> inputs(const In& in, const Rows& copy, const T* grad_x) const {
    return {either(copy.q1, in.q1), either(copy.k1, in.k1), either(copy.v1, in.v1),
            either(copy.x, grad_x), either(copy.q2, in.q2), either(copy.k2, in.k2)};
  }
  AttentionOutputs<T> outputs() const {
    const auto& g = p_.grad;
    const Rows& copy = shared_.grad;
    return {either(copy.q1, g.q1), either(copy.k1, g.k1), either(copy.v1, g.v1),
            either(copy.x, p_.x),  either(copy.q2, g.q2), either(copy.k2, g.k2)};
  }

  void pad(std::int64_t begin, std::int64_t end) const {
    const auto one = [&](int b, const T* from, T* to) {
      if (from && to) pad_rows(from, to, layout_.block[b], begin, end);
    };
    const auto all = [&](const In& in, const Rows& copy) {
      one(0, in.q1, copy.q1), one(0, in.k1, copy.k1), one(0, in.v1, copy.v1);
      one(1, in.q2, copy.q2), one(1, in.k2, copy.k2);
    };
    all(p_.in, shared_.in);
    all(p_.tangent, shared_.tangent);
    one(0, p_.grad_x, shared_.in.x);
  }
  void unpad(std::int64_t begin, std::int64_t end) const {
    const auto one = [&](int b, T* from, T* to) {
      if (from && to) unpad_rows(from, to, layout_.block[b], begin, end);
    };
    const Rows& copy = shared_.grad;
    one(0, copy.q1, p_.grad.q1), one(0, copy.k1, p_.grad.k1), one(0, copy.v1, p_.grad.v1), one(0, copy.x, p_.x);
    one(1, copy.q2, p_.grad.q2), one(1, copy.k2, p_.grad.k2);
  }

  const AttentionParams<T>& p_;
  AttentionMode mode_;
  AttentionLayout<T> layout_;
  Carver<T> memory_;
  AttentionShared<T> shared_;
};

template <class T, bool kDual, class Job>
void run(const AttentionParams<T>& p, AttentionMode mode, Job&& job) {
  Call<T>(p, mode).template run<kDual>(job);
}

}  // namespace

#define PYFF_ATTENTION(T)                                                                                         \
  void equivariant_attention_forward(const AttentionParams<T>& p) {                                               \
    run<T, false>(p, AttentionMode::forward, [](auto& w, std::int64_t a, std::int64_t b) { w.forward(a, b); });   \
  }                                                                                                               \
  void equivariant_attention_backward(const AttentionParams<T>& p) {                                              \
    run<T, false>(p, AttentionMode::backward, [](auto& w, std::int64_t a, std::int64_t b) { w.backward(a, b); }); \
  }                                                                                                               \
  void equivariant_attention_double_backward(const AttentionParams<T>& p) {                                       \
    run<T, true>(p, AttentionMode::double_backward,                                                               \
                 [](auto& w, std::int64_t a, std::int64_t b) { w.backward(a, b); });                              \
  }

PYFF_ATTENTION(float)
PYFF_ATTENTION(double)
#undef PYFF_ATTENTION

}  // namespace pyff::PYFF_ISA
