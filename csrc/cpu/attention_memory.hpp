// Layout of the attention kernel's working memory. In rows of features, heads of any size are padded with zeros to
// whole 64-byte lines, so that every loop over channels is whole vectors. Filters lie side by side without gaps: where
// such a loop runs over the end of a head into the next one, features are zero. Weights are packed into the order in
// which products read them.
#pragma once

#include <cstdint>

#include "api/pyff.hpp"
#include "cpu/scratch.hpp"
#include "math/hermite.hpp"

namespace pyff::PYFF_ISA {

constexpr int kAttentionTile = 24;  // pairs per tile: a multiple of the rows that the matrix products take at a time
constexpr int kBlocks = 2;          // invariant features, Euclidean variables

enum class AttentionMode { forward, backward, double_backward };

// The channels of one block, head by head.
struct HeadLayout {
  std::int64_t heads, size, stride;

  std::int64_t width() const { return heads * stride; }
  bool dense() const { return size == stride; }
};

template <class T>
struct AttentionLayout {
  HeadLayout block[kBlocks];
  std::int64_t first[kBlocks];  // column of a block in a filter panel
  std::int64_t ldw, f, ldf;     // leading dimension of filter panels; F, and padded
  std::int64_t m, ldm;          // components of Euclidean variables
  std::int64_t s, lds, ldl;     // hidden width of the spherical filter; degrees, padded
  std::int64_t table_rows;      // of the table of radial filters, 6 K; 0 without one

  explicit AttentionLayout(const AttentionShape& shape)
      : f(shape.n_features), ldf(padded<T>(f)), m(0), s(shape.n_hidden) {
    const std::int64_t heads[kBlocks] = {shape.n_heads, shape.n_degrees};
    for (int b = 0; b < kBlocks; ++b) block[b] = {heads[b], f / heads[b], padded<T>(f / heads[b])};
    // up to where a loop over the last head ends
    const auto columns = [&](int b) { return padded<T>(f - block[b].size + block[b].stride); };
    first[0] = 0;
    first[1] = columns(0);
    ldw = first[1] + columns(1);
    for (int l = 0; l < shape.n_degrees; ++l) m += 2 * shape.degrees[l] + 1;
    ldm = padded<T>(m);
    lds = padded_half<T>(s);
    ldl = padded<T>(shape.n_degrees);
    table_rows = kTableOrder * shape.n_intervals;
  }

  std::int64_t heads() const { return block[0].heads + block[1].heads; }
  bool dense() const { return block[0].dense() && block[1].dense(); }
};

// Hands out consecutive pieces of an array, null for empty ones; with a null array it counts what they need together.
template <class T>
class Carver {
 public:
  explicit Carver(T* p) : p_(p) {}
  T* next(std::int64_t n) {
    T* here = p_ && n > 0 ? p_ + used_ : nullptr;
    used_ += n;
    return here;
  }
  std::int64_t used() const { return used_; }

 private:
  T* p_;
  std::int64_t used_ = 0;
};

// Rows of features in the padded layout of their block: the caller's where that is dense, else copies.
template <class T>
struct AttentionRows {
  T *q1, *k1, *v1, *x, *q2, *k2;

  // needed: whether copies are wanted at all
  AttentionRows(Carver<T>& memory, const AttentionLayout<T>& layout, std::int64_t n_atoms, bool needed) {
    const auto rows = [&](int b) {
      return needed && !layout.block[b].dense() ? memory.next(n_atoms * layout.block[b].width()) : nullptr;
    };
    q1 = rows(0), k1 = rows(0), v1 = rows(0), x = rows(0);
    q2 = rows(1), k2 = rows(1);
  }
};

// What threads share: padded features, and weights packed in the order of the products.
template <class T>
struct AttentionShared {
  AttentionRows<T> in, tangent, grad;
  T* w1_forward;   // [L, 2 lds]
  T* b1;           // [2 lds]
  T* w2_forward;   // [S, ldw]
  T* w1_backward;  // [2 lds, ldl]
  T* w2_backward;  // [ldw, lds]
  T* b2;           // [ldw]; null without spherical filters
  T* table;        // [K, 6, ldw] where features are padded

  AttentionShared(Carver<T>& memory, const AttentionLayout<T>& layout, std::int64_t n_atoms, AttentionMode mode)
      : in(memory, layout, n_atoms, true),
        tangent(memory, layout, n_atoms, mode == AttentionMode::double_backward),
        grad(memory, layout, n_atoms, true) {
    const std::int64_t columns = layout.block[1].heads;
    w1_forward = memory.next(columns * 2 * layout.lds);
    b1 = memory.next(2 * layout.lds);
    w2_forward = memory.next(layout.s * layout.ldw);
    w1_backward = memory.next(2 * layout.lds * layout.ldl);
    w2_backward = memory.next(layout.ldw * layout.lds);
    b2 = memory.next(layout.s > 0 ? layout.ldw : 0);
    table = memory.next(layout.dense() ? 0 : layout.table_rows * layout.ldw);
  }
};

// One thread's panels; each holds the values of a tile and, in the double backward, then its tangents.
template <class T>
struct AttentionPanels {
  T *w, *slope, *w_bar;          // [tile, ldw] filters, their derivatives, their cotangents
  T *tau, *tau_bar;              // [tile, ldl]
  T *pre, *hidden, *hidden_bar;  // [tile, 2 lds]
  T *y, *y_bar;                  // [tile, ldm] spherical harmonics and their cotangents
  T* folds;                      // partial sums over channels of one pair
  T* heads;                      // [6, heads] sums of one pair
  T *w2_grad, *b2_grad;          // [S, ldw], [ldw]
  T *w1_grad, *b1_grad;          // [2 lds, ldl], [2 lds]
  T* table_grad;                 // [K, 6, ldw] where features are padded

  AttentionPanels(Carver<T>& memory, const AttentionLayout<T>& layout, AttentionMode mode) {
    const std::int64_t numbers = mode == AttentionMode::double_backward ? 2 : 1, rows = numbers * kAttentionTile;
    w = memory.next(rows * layout.ldw);
    y = memory.next(rows * layout.ldm);
    tau = memory.next(rows * layout.ldl);
    pre = memory.next(rows * 2 * layout.lds);
    hidden = memory.next(rows * 2 * layout.lds);
    heads = memory.next(padded<T>(6 * numbers * layout.heads()));
    folds = memory.next(padded<T>(2 * numbers * layout.heads() * (16 / sizeof(T))));
    const std::int64_t back = mode == AttentionMode::forward ? 0 : 1;
    slope = memory.next(back * rows * layout.ldw);
    w_bar = memory.next(back * rows * layout.ldw);
    y_bar = memory.next(back * rows * layout.ldm);
    tau_bar = memory.next(back * rows * layout.ldl);
    hidden_bar = memory.next(back * rows * 2 * layout.lds);
    w2_grad = memory.next(back * layout.s * layout.ldw);
    b2_grad = memory.next(back * layout.ldw);
    w1_grad = memory.next(back * 2 * layout.lds * layout.ldl);
    b1_grad = memory.next(back * 2 * layout.lds);
    table_grad = memory.next(layout.dense() ? 0 : back * layout.table_rows * layout.ldw);
  }
};

template <class T>
inline std::int64_t attention_shared_elements(const AttentionShape& shape, std::int64_t n_atoms, AttentionMode mode) {
  Carver<T> counter(nullptr);
  AttentionShared<T>(counter, AttentionLayout<T>(shape), n_atoms, mode);
  return padded<T>(counter.used());
}

template <class T>
inline std::int64_t attention_thread_elements(const AttentionShape& shape, AttentionMode mode) {
  Carver<T> counter(nullptr);
  AttentionPanels<T>(counter, AttentionLayout<T>(shape), mode);
  return padded<T>(counter.used());
}

template <class T>
inline std::int64_t attention_scratch_elements(const AttentionShape& shape, std::int64_t n_atoms, AttentionMode mode,
                                               int threads) {
  return attention_shared_elements<T>(shape, n_atoms, mode) + threads * attention_thread_elements<T>(shape, mode);
}

}  // namespace pyff::PYFF_ISA
