#include "cuda/distance_matrix.hpp"

#include "cuda/simt.hpp"
#include "math/distance.hpp"

namespace pyff::cuda {

namespace math = ::pyff::PYFF_ISA;

namespace {

// A block computes kTile x kTile elements, each thread kEach x kEach of them; features pass through shared memory.
template <DistanceKind kind>
struct DistanceKernel {
  static constexpr const char* kName = "distance matrix";
  static constexpr int kThreads = 256;
  static constexpr int kSide = 16, kEach = 4, kTile = kSide * kEach;
  static constexpr int kDepth = 16, kLd = kTile + 1;  // features at a time; odd, against bank conflicts
  static constexpr std::int64_t kShared = 2 * kDepth * kLd * sizeof(double);

  DistanceParams p;
  double scale;
  std::int64_t row_tiles, column_tiles;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    double* const left = reinterpret_cast<double*>(block.shared());
    double* const right = left + kDepth * kLd;
    for (std::int64_t t = block.index(); t < row_tiles * column_tiles; t += block.count())
      run_tile(block, t / column_tiles * kTile, t % column_tiles * kTile, left, right);
  }

 private:
  PYFF_DEVICE void run_tile(const simt::Block& block, std::int64_t i, std::int64_t j, double* left,
                            double* right) const {
    const int row = block.thread() / kSide, column = block.thread() % kSide;
    double sum[kEach][kEach] = {};
    for (std::int64_t f = 0; f < p.n_features; f += kDepth) {
      block.sync();  // the slices before are used up
      load_slice(block, p.x, p.n, i, f, left);
      load_slice(block, p.y, p.m, j, f, right);
      block.sync();
      for (int k = 0; k < kDepth; ++k) add_slice(left + k * kLd + row, right + k * kLd + column, sum);
    }
    PYFF_UNROLL
    for (int a = 0; a < kEach; ++a) PYFF_UNROLL
    for (int b = 0; b < kEach; ++b) {
      const std::int64_t r = i + a * kSide + row, c = j + b * kSide + column;
      if (r < p.n && c < p.m) p.out[r * p.m + c] = math::of_sum<kind>(sum[a][b], scale);
    }
  }

  // Transposed, zeros outside: they add nothing.
  PYFF_DEVICE void load_slice(const simt::Block& block, const double* x, std::int64_t n, std::int64_t first,
                              std::int64_t f, double* slice) const {
    for (int at = block.thread(); at < kDepth * kTile; at += kThreads) {
      const int k = at % kDepth, r = at / kDepth;
      const bool inside = first + r < n && f + k < p.n_features;
      slice[k * kLd + r] = inside ? x[(first + r) * p.n_features + f + k] : 0;
    }
  }

  static PYFF_DEVICE void add_slice(const double* left, const double* right, double (&sum)[kEach][kEach]) {
    double y[kEach];
    PYFF_UNROLL
    for (int b = 0; b < kEach; ++b) y[b] = right[b * kSide];
    PYFF_UNROLL
    for (int a = 0; a < kEach; ++a) {
      const double x = left[a * kSide];
      PYFF_UNROLL
      for (int b = 0; b < kEach; ++b) sum[a][b] = math::add_feature<math::kSquared<kind>>(sum[a][b], x, y[b]);
    }
  }
};

template <DistanceKind kind>
void run(const DistanceParams& p, simt::Stream stream) {
  using Kernel = DistanceKernel<kind>;
  const std::int64_t rows = simt::divide_up(p.n, Kernel::kTile), columns = simt::divide_up(p.m, Kernel::kTile);
  const std::int64_t tiles = rows * columns;
  simt::launch(Kernel{p, math::inverse_scale(kind, p.sigma), rows, columns},
               simt::Grid{tiles < simt::kMaxBlocks ? tiles : simt::kMaxBlocks, Kernel::kShared, stream});
}

}  // namespace

std::int64_t distance_matrix_scratch(int, const DistanceParams&) { return 0; }

void distance_matrix(int order, const DistanceParams& p, const Call& call) {
  PYFF_REQUIRE(order == kForward, "order must be 0; received " << order);
  switch (p.kind) {
    case DistanceKind::l1:
      return run<DistanceKind::l1>(p, call.stream);
    case DistanceKind::l2:
      return run<DistanceKind::l2>(p, call.stream);
    case DistanceKind::laplacian:
      return run<DistanceKind::laplacian>(p, call.stream);
    case DistanceKind::gaussian:
      return run<DistanceKind::gaussian>(p, call.stream);
  }
  PYFF_REQUIRE(false, "the kind of a distance must lie in 0 .. 3; received " << static_cast<int>(p.kind));
}

}  // namespace pyff::cuda
