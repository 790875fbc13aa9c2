// Expansions of GDML: f and E of descriptors, and energies, forces and virials of positions. The queries are permuted,
// not the training points: B P rows against M points (cpu/gdml_tile.hpp), no array of both.
//
// Many queries are shared out among the threads; for few, the training points are, and the partial sums are added in
// the order of the threads.
#include "api/gdml_product.hpp"
#include "core/parallel.hpp"
#include "cpu/gdml_tile.hpp"

namespace pyff::PYFF_ISA {
namespace {

constexpr double kParallelThreshold = 1e6;  // floating-point operations of a call

// The scratch of a thread, see gdml_scratch_per_thread.
struct Workspace {
  double *q, *sum, *square, *weight, *row_energy, *weights;  // of rows
  double *x, *g, *f, *energy;                                // of the queries of a group

  Workspace(const GdmlExpansion& e, double* at) {
    const std::int64_t rows = kGdmlGroupRows, queries = gdml_group_queries(e), width = gdml_width(e.n_pairs);
    const auto take = [&](std::int64_t n) {
      double* const from = at;
      at += n;
      return from;
    };
    weights = take(kGdmlTileBlocks * kGdmlRows * 2 * kGdmlPoints);
    q = take(rows * width), sum = take(rows * width);
    square = take(rows), weight = take(rows), row_energy = take(rows);
    x = take(queries * e.n_pairs), g = take(3 * queries * e.n_pairs), f = take(queries * e.n_pairs);
    energy = take(queries);
  }
};

// Row r belongs to query r / P and permutation r % P.
void gather_row(const GdmlExpansion& e, const double* x, std::int64_t row, double* q, double* square) {
  const double* const query = x + row / e.n_perms * e.n_pairs;
  const std::int64_t* const order = e.orders + row % e.n_perms * e.n_pairs;
  double total = 0;
  for (std::int64_t d = 0; d < e.n_pairs; ++d) {
    q[d] = e.centre[d] - query[order[d]];
    total += q[d] * q[d];
  }
  for (std::int64_t d = e.n_pairs; d < gdml_width(e.n_pairs); ++d) q[d] = 0;
  *square = total;
}

// f = sum_j w1 (q - x_j) - w2 a_j, permuted back
void scatter_row(const GdmlExpansion& e, const Workspace& w, std::int64_t local, std::int64_t row) {
  const std::int64_t query = row / e.n_perms, *const order = e.orders + row % e.n_perms * e.n_pairs;
  const double *const minus_q = w.q + local * gdml_width(e.n_pairs), *const sum = w.sum + local * gdml_width(e.n_pairs);
  double* const f = w.f + query * e.n_pairs;
  for (std::int64_t d = 0; d < e.n_pairs; ++d) f[order[d]] -= w.weight[local] * minus_q[d] + sum[d];
  w.energy[query] += w.row_energy[local];
}

// f and energy of a workspace for queries with descriptors x, from blocks [begin, end) of the training set.
template <bool Energies, class Profile>
void add_blocks(const Profile& profile, const GdmlExpansion& e, const double* x, std::int64_t n_queries,
                std::int64_t begin, std::int64_t end, const Workspace& w) {
  const std::int64_t width = gdml_width(e.n_pairs), n_rows = n_queries * e.n_perms;
  std::fill_n(w.f, n_queries * e.n_pairs, 0.0);
  std::fill_n(w.energy, n_queries, 0.0);
  for (std::int64_t first = 0; first < n_rows; first += kGdmlGroupRows) {
    const std::int64_t n = std::min(kGdmlGroupRows, n_rows - first);
    for (std::int64_t r = 0; r < n; ++r) gather_row(e, x, first + r, w.q + r * width, w.square + r);
    std::fill_n(w.sum, n * width, 0.0);
    std::fill_n(w.weight, n, 0.0);
    std::fill_n(w.row_energy, n, 0.0);
    const GdmlRowSums rows{w.q, w.square, w.sum, w.weight, w.row_energy};
    for (std::int64_t b = begin; b < end; b += kGdmlTileBlocks) {
      GdmlTile tile{nullptr, std::min(kGdmlTileBlocks, end - b), width};
      tile.packed = e.packed + b * tile.stride();
      gdml_group_and_tile<Energies>(profile, tile, rows, n, w.weights);
    }
    for (std::int64_t r = 0; r < n; ++r) scatter_row(e, w, r, first + r);
  }
}

void add_partial_sums(const GdmlExpansion& e, std::int64_t n_queries, const Workspace& from, const Workspace& to) {
  for (std::int64_t k = 0; k < n_queries * e.n_pairs; ++k) to.f[k] += from.f[k];
  for (std::int64_t k = 0; k < n_queries; ++k) to.energy[k] += from.energy[k];
}

// task.descriptors(first, n, workspace): x of queries first .. first + n - 1; task.finish(first, n, workspace).
template <bool Energies, class Profile, class Task>
void evaluate(const Profile& profile, const GdmlExpansion& e, std::int64_t n_queries, double* scratch, int threads,
              const Task& task) {
  const std::int64_t group = gdml_group_queries(e), per_thread = gdml_scratch_per_thread(e);
  const auto workspace = [&](int thread) { return Workspace(e, scratch + thread * per_thread); };
  const double work = 8.0 * kGdmlPoints * n_queries * e.n_perms * e.n_blocks * e.n_pairs;
  if (work < kParallelThreshold) threads = 1;
  if (threads == 1 || n_queries >= 2 * threads) {
    return parallel_ranges(threads, n_queries, [&](int thread, std::int64_t begin, std::int64_t end) {
      const Workspace w = workspace(thread);
      for (std::int64_t first = begin; first < end; first += group) {
        const std::int64_t n = std::min(group, end - first);
        add_blocks<Energies>(profile, e, task.descriptors(first, n, w), n, 0, e.n_blocks, w);
        task.finish(first, n, w);
      }
    });
  }
  threads = static_cast<int>(std::min<std::int64_t>(threads, e.n_blocks));
  const Workspace own = workspace(0);
  for (std::int64_t first = 0; first < n_queries; first += group) {
    const std::int64_t n = std::min(group, n_queries - first);
    const double* const x = task.descriptors(first, n, own);
    parallel_ranges(threads, e.n_blocks, [&](int thread, std::int64_t begin, std::int64_t end) {
      add_blocks<Energies>(profile, e, x, n, begin, end, workspace(thread));
    });
    for (int thread = 1; thread < threads; ++thread) add_partial_sums(e, n, workspace(thread), own);
    task.finish(first, n, own);
  }
}

struct ProductTask {
  const GdmlProductParams& p;

  const double* descriptors(std::int64_t first, std::int64_t, const Workspace&) const {
    return p.query + first * p.expansion.n_pairs;
  }
  void finish(std::int64_t first, std::int64_t n, const Workspace& w) const {
    const std::int64_t n_pairs = p.expansion.n_pairs;
    std::copy_n(w.f, n * n_pairs, p.f + first * n_pairs);
    std::copy_n(w.energy, n, p.energy + first);
  }
};

struct PredictTask {
  const GdmlPredictParams& p;

  const double* descriptors(std::int64_t first, std::int64_t n, const Workspace& w) const {
    const std::int64_t n_pairs = p.expansion.n_pairs;
    for (std::int64_t k = 0; k < n; ++k) {
      const double* const pos = p.pos + 3 * p.n_atoms * (first + k);
      double *const x = w.x + k * n_pairs, *const g = w.g + 3 * k * n_pairs;
      if (p.cell) {
        const MinimumImage image(p.cell + p.cell_stride * (first + k), p.images);
        inverse_distances(pos, p.n_atoms, &image, x, g);
      } else {
        inverse_distances(pos, p.n_atoms, nullptr, x, g);
      }
    }
    return w.x;
  }
  void finish(std::int64_t first, std::int64_t n, const Workspace& w) const {
    const std::int64_t n_pairs = p.expansion.n_pairs;
    for (std::int64_t k = 0; k < n; ++k) {
      const double *const f = w.f + k * n_pairs, *const g = w.g + 3 * k * n_pairs;
      p.energy[first + k] = w.energy[k] + p.constant;
      jacobian_transpose_product(g, p.n_atoms, f, p.forces + 3 * p.n_atoms * (first + k));
      if (p.virial) descriptor_virial(w.x + k * n_pairs, g, f, n_pairs, p.virial + 9 * (first + k));
    }
  }
};

template <class Task>
void run(const Task& task) {
  const auto& p = task.p;
  with_radial_profile(p.expansion.profile, [&](const auto& profile) {
    if (p.expansion.energies)
      evaluate<true>(profile, p.expansion, p.n_queries, p.scratch, p.threads, task);
    else
      evaluate<false>(profile, p.expansion, p.n_queries, p.scratch, p.threads, task);
  });
}

}  // namespace

void gdml_product(const GdmlProductParams& p) { run(ProductTask{p}); }

void gdml_predict(const GdmlPredictParams& p) { run(PredictTask{p}); }

}  // namespace pyff::PYFF_ISA
