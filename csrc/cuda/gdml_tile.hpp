// The two matrix products of a GDML expansion for 32 rows (permuted queries) and tiles of 32 training points.
#pragma once

#include "api/gdml_product.hpp"
#include "cuda/simt.hpp"

namespace pyff::cuda {

namespace math = ::pyff::PYFF_ISA;

constexpr int kGdmlTile = 32;  // rows, and training points

struct GdmlRows {
  std::int64_t n;      // B P
  std::int64_t width;  // D', entries with padding
  double* q;           // [n, D'] centre - permuted query
  double* square;      // [n] |q|^2
};

// Of each split of the training points.
struct GdmlPartialSums {
  std::int64_t n_splits;
  double* sum;     // [splits, n, D'] sum_j w1 x_j + w2 a_j
  double* weight;  // [splits, n] sum_j w1
  double* energy;  // [splits, n] sum_j w2 S + c k
};

// A block owns 32 rows and a share of the tiles. A warp has 4 of the rows; a lane one training point in the first product
// and two entries in the second. Entries pass through shared memory, 64 at a time.
template <bool Energies, class Profile>
struct GdmlTileKernel {
  static constexpr const char* kName = "GDML expansion";
  static constexpr int kThreads = 256, kWarps = kThreads / simt::kWarp, kRowsOfWarp = kGdmlTile / kWarps;
  static constexpr int kDepth = 64;
  static constexpr int kPair = 2 * kGdmlTile;  // the x of the points, then their a; or w1 and w2
  static constexpr int kLd = kPair + 1;        // odd, against bank conflicts
  static constexpr std::int64_t kShared = sizeof(double) * (kDepth * kLd + kGdmlTile * (kDepth + kPair));

  Profile profile;
  GdmlExpansion e;
  GdmlRows rows;
  GdmlPartialSums sums;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    const Shared shared(block);
    const std::int64_t tiles = (e.n_blocks * kGdmlPoints + kGdmlTile - 1) / kGdmlTile;
    const std::int64_t split = block.index() % sums.n_splits, first_row = block.index() / sums.n_splits * kGdmlTile;
    const std::int64_t begin = tiles * split / sums.n_splits, end = tiles * (split + 1) / sums.n_splits;
    double weight[kRowsOfWarp] = {}, energy[kRowsOfWarp] = {};
    for (std::int64_t tile = begin; tile < end; ++tile) {
      add_weights(block, shared, first_row, tile, weight, energy);
      add_sums(block, shared, split, first_row, tile, tile == begin);
    }
    PYFF_UNROLL
    for (int k = 0; k < kRowsOfWarp; ++k) {
      const std::int64_t row = first_row + block.warp() * kRowsOfWarp + k;
      const double w = simt::warp_sum(block, weight[k]), u = simt::warp_sum(block, energy[k]);
      if (block.lane() > 0 || row >= rows.n) continue;
      sums.weight[split * rows.n + row] = w;
      sums.energy[split * rows.n + row] = u;
    }
  }

 private:
  struct Shared {
    double *entries, *q, *weights;  // [kDepth, kLd], [rows, kDepth], [rows, kPair]
    explicit PYFF_DEVICE Shared(const simt::Block& block)
        : entries(reinterpret_cast<double*>(block.shared())), q(entries + kDepth * kLd),
          weights(q + kGdmlTile * kDepth) {}
  };

  // Row `line` of the packed array of the block of a training point: 0 for |x|^2 / 2 and x . a, 1 for the energies.
  PYFF_DEVICE double packed(std::int64_t point, std::int64_t line, int part) const {
    const std::int64_t b = point / kGdmlPoints, k = point % kGdmlPoints;
    if (b >= e.n_blocks) return 0;  // the last tile may be half full; zeros add nothing
    return e.packed[((b * (2 + rows.width) + line) * 2 + part) * kGdmlPoints + k];
  }

  PYFF_DEVICE void load_entries(const simt::Block& block, const Shared& shared, std::int64_t tile,
                                std::int64_t first) const {
    for (int at = block.thread(); at < kDepth * kPair; at += kThreads) {
      const int k = at / kPair, part = at % kPair / kGdmlTile, point = at % kGdmlTile;
      const bool inside = first + k < rows.width;
      shared.entries[k * kLd + at % kPair] = inside ? packed(tile * kGdmlTile + point, 2 + first + k, part) : 0;
    }
  }
  PYFF_DEVICE void load_rows(const simt::Block& block, const Shared& shared, std::int64_t first_row,
                             std::int64_t first) const {
    for (int at = block.thread(); at < kGdmlTile * kDepth; at += kThreads) {
      const std::int64_t row = first_row + at / kDepth, d = first + at % kDepth;
      shared.q[at] = row < rows.n && d < rows.width ? rows.q[row * rows.width + d] : 0;
    }
  }

  PYFF_DEVICE void add_weights(const simt::Block& block, const Shared& shared, std::int64_t first_row,
                               std::int64_t tile, double (&weight)[kRowsOfWarp], double (&energy)[kRowsOfWarp]) const {
    const int lane = block.lane(), own = block.warp() * kRowsOfWarp;
    const std::int64_t point = tile * kGdmlTile + lane;
    double half[kRowsOfWarp], minus_s[kRowsOfWarp];
    PYFF_UNROLL
    for (int r = 0; r < kRowsOfWarp; ++r) half[r] = packed(point, 0, 0), minus_s[r] = packed(point, 0, 1);
    for (std::int64_t first = 0; first < rows.width; first += kDepth) {
      block.sync();  // what was there is used up
      load_entries(block, shared, tile, first);
      load_rows(block, shared, first_row, first);
      block.sync();
      for (int k = 0; k < kDepth; ++k) {
        const double x = shared.entries[k * kLd + lane], a = shared.entries[k * kLd + kGdmlTile + lane];
        PYFF_UNROLL
        for (int r = 0; r < kRowsOfWarp; ++r) {
          const double q = shared.q[(own + r) * kDepth + k];
          half[r] += q * x;
          minus_s[r] += q * a;
        }
      }
    }
    PYFF_UNROLL
    for (int r = 0; r < kRowsOfWarp; ++r) {
      const std::int64_t row = first_row + own + r;
      const double r2 = 2 * half[r] + (row < rows.n ? rows.square[row] : 0), s = -minus_s[r];
      const auto terms = profile(r2 < 0 ? 0.0 : r2);
      double w1 = terms.g2 * s;
      energy[r] += terms.g1 * s;
      if constexpr (Energies) {
        const double c = packed(point, 1, 0);
        w1 += c * terms.g1;
        energy[r] += c * terms.k;
      }
      weight[r] += w1;
      shared.weights[(own + r) * kPair + lane] = w1;
      shared.weights[(own + r) * kPair + kGdmlTile + lane] = terms.g1;
    }
  }

  // Each sum has one thread, so memory between tiles needs no barrier.
  PYFF_DEVICE void add_sums(const simt::Block& block, const Shared& shared, std::int64_t split, std::int64_t first_row,
                            std::int64_t tile, bool is_first) const {
    const int lane = block.lane(), own = block.warp() * kRowsOfWarp;
    for (std::int64_t first = 0; first < rows.width; first += kDepth) {
      block.sync();
      if (rows.width > kDepth) load_entries(block, shared, tile, first);  // else they are still there
      block.sync();
      double acc[kRowsOfWarp][2] = {};
      for (int m = 0; m < kPair; ++m) {
        const double u = shared.entries[lane * kLd + m], v = shared.entries[(lane + simt::kWarp) * kLd + m];
        PYFF_UNROLL
        for (int r = 0; r < kRowsOfWarp; ++r) {
          const double w = shared.weights[(own + r) * kPair + m];
          acc[r][0] += w * u;
          acc[r][1] += w * v;
        }
      }
      PYFF_UNROLL
      for (int r = 0; r < kRowsOfWarp; ++r) PYFF_UNROLL
      for (int c = 0; c < 2; ++c) {
        const std::int64_t row = first_row + own + r, d = first + lane + c * simt::kWarp;
        if (row >= rows.n || d >= rows.width) continue;
        double& sum = sums.sum[(split * rows.n + row) * rows.width + d];
        sum = is_first ? acc[r][c] : sum + acc[r][c];
      }
    }
  }
};

}  // namespace pyff::cuda
