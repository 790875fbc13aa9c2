// f and E of a GDML expansion: permuted queries (rows) against training points in tiles of 32 x 32, both matrix products
// of a tile from shared memory, as in cpu/gdml_tile.hpp. Where rows are few, the training points are split among
// blocks, whose sums are added in a fixed order.
#include "cuda/gdml_product.hpp"

#include "cuda/arena.hpp"
#include "cuda/gdml_tile.hpp"
#include "cuda/simt.hpp"

namespace pyff::cuda {
namespace {

constexpr std::int64_t kEnoughBlocks = 512;  // two rounds of 256 multiprocessors

// Rows of centred permuted queries, with the opposite sign, and their squares. One warp per row.
struct GatherRows {
  static constexpr const char* kName = "permuted queries";
  static constexpr int kThreads = 128;
  GdmlProductParams p;
  GdmlRows rows;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    const auto& e = p.expansion;
    const std::int64_t warps = block.global_threads() / simt::kWarp;
    for (std::int64_t row = block.global_thread() / simt::kWarp; row < rows.n; row += warps) {
      const double* const query = p.query + row / e.n_perms * e.n_pairs;
      const std::int64_t* const order = e.orders + row % e.n_perms * e.n_pairs;
      double square = 0;
      for (std::int64_t d = block.lane(); d < rows.width; d += simt::kWarp) {
        const double q = d < e.n_pairs ? e.centre[d] - query[order[d]] : 0;
        rows.q[row * rows.width + d] = q;
        square += q * q;
      }
      square = simt::warp_sum(block, square);
      if (block.lane() == 0) rows.square[row] = square;
    }
  }
};

// f = sum_j w1 (q - x_j) - w2 a_j of all rows of a query, permuted back one after the other. One block per query.
struct FinishQueries {
  static constexpr const char* kName = "sums of permuted queries";
  static constexpr int kThreads = 128;
  GdmlProductParams p;
  GdmlRows rows;
  GdmlPartialSums sums;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    const auto& e = p.expansion;
    for (std::int64_t b = block.index(); b < p.n_queries; b += block.count()) {
      double* const f = p.f + b * e.n_pairs;
      for (std::int64_t d = block.thread(); d < e.n_pairs; d += kThreads) f[d] = 0;
      double energy = 0;
      for (std::int64_t k = 0; k < e.n_perms; ++k) {
        block.sync();
        const std::int64_t row = b * e.n_perms + k;
        const double weight = total(sums.weight, rows.n, row);
        energy += total(sums.energy, rows.n, row);
        for (std::int64_t d = block.thread(); d < e.n_pairs; d += kThreads) {
          const std::int64_t at = row * rows.width + d;
          f[e.orders[k * e.n_pairs + d]] -= weight * rows.q[at] + total(sums.sum, rows.n * rows.width, at);
        }
      }
      if (block.thread() == 0) p.energy[b] = energy;
    }
  }

 private:
  PYFF_DEVICE double total(const double* x, std::int64_t stride, std::int64_t at) const {
    double out = 0;
    for (std::int64_t s = 0; s < sums.n_splits; ++s) out += x[s * stride + at];
    return out;
  }
};

struct Layout {
  GdmlRows rows;
  GdmlPartialSums sums;
  std::int64_t row_tiles;

  Layout(const GdmlProductParams& p, Arena& arena) {
    rows.n = p.n_queries * p.expansion.n_perms;
    rows.width = (p.expansion.n_pairs + 3) / 4 * 4;
    row_tiles = simt::divide_up(rows.n, kGdmlTile);
    const std::int64_t tiles = simt::divide_up(p.expansion.n_blocks * kGdmlPoints, kGdmlTile);
    const std::int64_t wanted = row_tiles > 0 ? simt::divide_up(kEnoughBlocks, row_tiles) : 1;
    sums.n_splits = wanted < tiles ? wanted : tiles;
    rows.q = arena.take<double>(rows.n * rows.width);
    rows.square = arena.take<double>(rows.n);
    sums.sum = arena.take<double>(sums.n_splits * rows.n * rows.width);
    sums.weight = arena.take<double>(sums.n_splits * rows.n);
    sums.energy = arena.take<double>(sums.n_splits * rows.n);
  }
};

template <bool Energies, class Profile>
void multiply(const Profile& profile, const GdmlProductParams& p, const Layout& layout, simt::Stream stream) {
  using Kernel = GdmlTileKernel<Energies, Profile>;
  simt::launch(Kernel{profile, p.expansion, layout.rows, layout.sums},
               simt::Grid{layout.row_tiles * layout.sums.n_splits, Kernel::kShared, stream});
}

}  // namespace

std::int64_t gdml_product_scratch(int, const GdmlProductParams& p) {
  Arena counter;
  Layout(p, counter);
  return counter.used();
}

void gdml_product(int order, const GdmlProductParams& p, const Call& call) {
  PYFF_REQUIRE(order == kForward, "order must be 0; received " << order);
  Arena arena(call);
  const Layout layout(p, arena);
  const std::int64_t threads = layout.rows.n * simt::kWarp;
  simt::launch(GatherRows{p, layout.rows},
               simt::Grid{simt::blocks_for(threads, GatherRows::kThreads), 0, call.stream});
  math::with_radial_profile(p.expansion.profile, [&](const auto& profile) {
    p.expansion.energies ? multiply<true>(profile, p, layout, call.stream)
                         : multiply<false>(profile, p, layout, call.stream);
  });
  simt::launch(FinishQueries{p, layout.rows, layout.sums},
               simt::Grid{p.n_queries < simt::kMaxBlocks ? p.n_queries : simt::kMaxBlocks, 0, call.stream});
}

}  // namespace pyff::cuda
