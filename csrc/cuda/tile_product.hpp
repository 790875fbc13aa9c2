// Matrix products of a tile of rows in shared memory with a weight matrix in global memory, for one block of 256
// threads. Each warp owns `Rows` rows of the tile and each lane four columns of every 128; so threads read their
// weights without bank conflicts and their inputs as broadcasts. Weights pass through shared memory in slices.
#pragma once

#include "cuda/simt.hpp"

namespace pyff::cuda {

// Weight of input k and output f is data[f * out_stride + k * in_stride]; one of the strides is 1.
template <class T>
struct Weights {
  const T* data;
  std::int64_t n_out, n_in, out_stride, in_stride;
};

// [Jets, rows, ld] in shared memory: a value and its derivatives, for each row of the tile.
template <class T>
struct Panel {
  T* data;
  std::int64_t ld;
  std::int64_t jet_stride;
  PYFF_DEVICE T& at(int jet, int row, std::int64_t column) const {
    return data[jet * jet_stride + row * ld + column];
  }
};

template <class T, int Jets, int Rows>
struct Tile {
  static constexpr int kThreads = 256;
  static constexpr int kWarps = kThreads / simt::kWarp;
  static constexpr int kRows = kWarps * Rows;
  static constexpr int kColumns = 4;                          // of a lane
  static constexpr int kBlock = kColumns * simt::kWarp;       // output columns at a time
  static constexpr int kDepth = 16;                           // inputs at a time
  static constexpr int kStageLd = kBlock + 1;
  static constexpr std::int64_t kStage = kDepth * kStageLd;   // elements of the weights' slice

  using Accumulator = T[Jets][Rows][kColumns];

  // emit(row, f, x) with x[jet] = sum_k in(jet, row, k) weight(k, f). All threads of the block call it; the panel may
  // have been written just before.
  template <class Emit>
  static PYFF_DEVICE void product(const simt::Block& block, const Panel<T>& in, const Weights<T>& w, T* stage,
                                  Emit&& emit) {
    for (std::int64_t first = 0; first < w.n_out; first += kBlock) {
      Accumulator sum = {};
      for (std::int64_t k = 0; k < w.n_in; k += kDepth) {
        block.sync();
        load_slice(block, w, first, k, stage);
        block.sync();
        const int depth = w.n_in - k < kDepth ? static_cast<int>(w.n_in - k) : kDepth;
        add_slice(block, in, k, depth, stage, sum);
      }
      PYFF_UNROLL
      for (int r = 0; r < Rows; ++r)
        PYFF_UNROLL
        for (int q = 0; q < kColumns; ++q) {
          const std::int64_t f = first + q * simt::kWarp + block.lane();
          if (f >= w.n_out) continue;
          T x[Jets];
          PYFF_UNROLL
          for (int m = 0; m < Jets; ++m) x[m] = sum[m][r][q];
          emit(block.warp() * Rows + r, f, x);
        }
    }
  }

  // out[f, k] += sum over jets and rows of left(jet, row, f) right(jet, row, k), for a global out of this block alone.
  static PYFF_DEVICE void add_outer(const simt::Block& block, const Panel<T>& left, std::int64_t n_left,
                                    const Panel<T>& right, std::int64_t n_right, T* out) {
    constexpr int kLeft = 4;
    block.sync();
    for (std::int64_t f = block.warp() * kLeft; f < n_left; f += kWarps * kLeft)
      for (std::int64_t first = 0; first < n_right; first += kBlock) {
        T sum[kLeft][kColumns] = {};
        PYFF_UNROLL
        for (int m = 0; m < Jets; ++m)
          for (int row = 0; row < kRows; ++row) {
            T x[kColumns];
            PYFF_UNROLL
            for (int q = 0; q < kColumns; ++q) {
              const std::int64_t k = first + q * simt::kWarp + block.lane();
              x[q] = k < n_right ? right.at(m, row, k) : T(0);
            }
            PYFF_UNROLL
            for (int a = 0; a < kLeft; ++a) {
              const T l = f + a < n_left ? left.at(m, row, f + a) : T(0);
              PYFF_UNROLL
              for (int q = 0; q < kColumns; ++q) sum[a][q] += l * x[q];
            }
          }
        PYFF_UNROLL
        for (int a = 0; a < kLeft; ++a)
          PYFF_UNROLL
          for (int q = 0; q < kColumns; ++q) {
            const std::int64_t k = first + q * simt::kWarp + block.lane();
            if (f + a < n_left && k < n_right) out[(f + a) * n_right + k] += sum[a][q];
          }
      }
  }

  // out[f] += sum over rows of left(0, row, f).
  static PYFF_DEVICE void add_column_sums(const simt::Block& block, const Panel<T>& left, std::int64_t n, T* out) {
    block.sync();
    for (std::int64_t f = block.thread(); f < n; f += kThreads) {
      T sum = T(0);
      for (int row = 0; row < kRows; ++row) sum += left.at(0, row, f);
      out[f] += sum;
    }
  }

 private:
  static PYFF_DEVICE void load_slice(const simt::Block& block, const Weights<T>& w, std::int64_t first, std::int64_t k0,
                                     T* stage) {
    for (int at = block.thread(); at < kDepth * kBlock; at += kThreads) {
      // neighbouring threads read neighbouring weights
      const int k = w.in_stride == 1 ? at % kDepth : at / kBlock;
      const int f = w.in_stride == 1 ? at / kDepth : at % kBlock;
      const bool inside = k0 + k < w.n_in && first + f < w.n_out;
      stage[k * kStageLd + f] = inside ? w.data[(first + f) * w.out_stride + (k0 + k) * w.in_stride] : T(0);
    }
  }

  static PYFF_DEVICE void add_slice(const simt::Block& block, const Panel<T>& in, std::int64_t k0, int depth,
                                    const T* stage, Accumulator& sum) {
    for (int k = 0; k < depth; ++k) {
      T w[kColumns];
      PYFF_UNROLL
      for (int q = 0; q < kColumns; ++q) w[q] = stage[k * kStageLd + q * simt::kWarp + block.lane()];
      PYFF_UNROLL
      for (int m = 0; m < Jets; ++m)
        PYFF_UNROLL
        for (int r = 0; r < Rows; ++r) {
          const T x = in.at(m, block.warp() * Rows + r, k0 + k);
          PYFF_UNROLL
          for (int q = 0; q < kColumns; ++q) sum[m][r][q] += x * w[q];
        }
    }
  }
};

}  // namespace pyff::cuda
