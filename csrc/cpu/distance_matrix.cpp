// Distances between all rows of two arrays, in tiles of kRows x kColumns sums that stay in registers: columns in vector
// lanes, from a panel of y that is transposed once per block of rows. Rows are dealt out in blocks, so that the smaller
// rows of a symmetric matrix's triangle do not fall to one thread.
#include "api/distance.hpp"
#include "core/parallel.hpp"
#include "math/distance.hpp"

namespace pyff::PYFF_ISA {
namespace {

constexpr std::int64_t kParallelThreshold = 1 << 18;  // terms of the sums
constexpr int kWide = kLanes<double>;
constexpr int kVectors = 2, kColumns = kVectors * kWide;
constexpr int kRows = PYFF_VECTOR_BYTES == 64 ? 8 : 4;  // what the registers hold
constexpr std::int64_t kBlock = 64;                     // rows that read a panel while it is in the cache
constexpr std::int64_t kFeatures = 256;                 // of a panel

struct Tile {
  DoubleVec sum[kRows][kVectors];
};

// Features [first, first + n) of the columns [column, column + kColumns), feature by feature; zeros beyond the last.
inline void fill_panel(const DistanceParams& p, std::int64_t column, std::int64_t first, std::int64_t n,
                       double* PYFF_RESTRICT panel) {
  for (int c = 0; c < kColumns; ++c) {
    const double* y = p.y + (column + c) * p.n_features + first;
    for (std::int64_t f = 0; f < n; ++f) panel[f * kColumns + c] = column + c < p.m ? y[f] : 0;
  }
}

// Adds n features; x is the first row, rows beyond the last repeat it.
template <bool squared>
inline void add_features(const double* x, std::int64_t stride, int rows, const double* PYFF_RESTRICT panel,
                         std::int64_t n, Tile& tile) {
  const double* row[kRows];
  for (int r = 0; r < kRows; ++r) row[r] = x + (r < rows ? r : 0) * stride;
  Tile t = tile;
  for (std::int64_t f = 0; f < n; ++f) {
    DoubleVec y[kVectors];
    for (int v = 0; v < kVectors; ++v) y[v] = load(panel + f * kColumns + v * kWide);
    for (int r = 0; r < kRows; ++r) {
      const DoubleVec a = splat(row[r][f]);
      for (int v = 0; v < kVectors; ++v) t.sum[r][v] = add_feature<squared>(t.sum[r][v], a, y[v]);
    }
  }
  tile = t;
}

// Writes a tile, and where the matrix is symmetric its mirror image; sums of vectors that are cut at the edge.
template <DistanceKind kind>
inline void write(const DistanceParams& p, bool mirrored, double scale, std::int64_t i, int rows, std::int64_t j,
                  const Tile& tile) {
  const int columns = static_cast<int>(p.m - j < kColumns ? p.m - j : kColumns);
  for (int r = 0; r < rows; ++r) {
    double line[kColumns];
    for (int v = 0; v < kVectors; ++v) store(line + v * kWide, of_sum<kind>(tile.sum[r][v], scale));
    for (int c = 0; c < columns; ++c) {
      if (mirrored && j + c > i + r) continue;  // the mirror image of another element
      p.out[(i + r) * p.m + j + c] = line[c];
      if (mirrored) p.out[(j + c) * p.m + i + r] = line[c];
    }
  }
}

template <DistanceKind kind>
void run_block(const DistanceParams& p, std::int64_t begin, std::int64_t end) {
  const bool mirrored = p.x == p.y && p.n == p.m;
  const double scale = inverse_scale(kind, p.sigma);
  double panel[kFeatures * kColumns];
  Tile tiles[kBlock / kRows];
  const std::int64_t columns = mirrored ? end : p.m;
  for (std::int64_t j = 0; j < columns; j += kColumns) {
    for (auto& tile : tiles) tile = {};
    for (std::int64_t first = 0; first < p.n_features; first += kFeatures) {
      const std::int64_t n = p.n_features - first < kFeatures ? p.n_features - first : kFeatures;
      fill_panel(p, j, first, n, panel);
      for (std::int64_t i = begin; i < end; i += kRows) {
        const int rows = static_cast<int>(end - i < kRows ? end - i : kRows);
        add_features<kSquared<kind>>(p.x + i * p.n_features + first, p.n_features, rows, panel, n,
                                     tiles[(i - begin) / kRows]);
      }
    }
    for (std::int64_t i = begin; i < end; i += kRows) {
      const int rows = static_cast<int>(end - i < kRows ? end - i : kRows);
      write<kind>(p, mirrored, scale, i, rows, j, tiles[(i - begin) / kRows]);
    }
  }
}

template <DistanceKind kind>
void run(const DistanceParams& p) {
  const int threads = p.n * p.m * p.n_features < kParallelThreshold ? 1 : p.threads;
  const std::int64_t blocks = (p.n + kBlock - 1) / kBlock;
  parallel_ranges(threads, threads, [&](int thread, std::int64_t, std::int64_t) {
    for (std::int64_t b = thread; b < blocks; b += threads) {
      const std::int64_t begin = b * kBlock, end = p.n - begin < kBlock ? p.n : begin + kBlock;
      run_block<kind>(p, begin, end);
    }
  });
}

}  // namespace

void distance_matrix(const DistanceParams& p) {
  switch (p.kind) {
    case DistanceKind::l1:
      return run<DistanceKind::l1>(p);
    case DistanceKind::l2:
      return run<DistanceKind::l2>(p);
    case DistanceKind::laplacian:
      return run<DistanceKind::laplacian>(p);
    case DistanceKind::gaussian:
      return run<DistanceKind::gaussian>(p);
  }
}

}  // namespace pyff::PYFF_ISA
