// Kernel matrices of forces, block by block: about 66 P N^2 flop per block, all of it along vectors.
#include <algorithm>

#include "core/parallel.hpp"
#include "cpu/gdml_pair.hpp"
#include "math/gdml_blocks.hpp"

namespace pyff::PYFF_ISA {
namespace {

constexpr double kParallelThreshold = 1e5;  // flop

// Where the entries of block (i, j) go.
struct Target {
  const GdmlMatrixParams& p;
  std::int64_t width() const { return 3 * p.n_atoms; }
  double* at(std::int64_t row, std::int64_t column) const { return p.out + row * p.stride + column; }
  double* forces(std::int64_t i, std::int64_t j) const { return at(width() * i, width() * j); }
  double* force_energy(std::int64_t i, std::int64_t j) const { return at(width() * i, width() * p.columns.n + j); }
  double* energy_force(std::int64_t i, std::int64_t j) const { return at(width() * p.rows.n + i, width() * j); }
  double* energies(std::int64_t i, std::int64_t j) const {
    return at(width() * p.rows.n + i, width() * p.columns.n + j);
  }
};

template <class Profile>
void write_energies(GdmlPair<Profile>& pair, const Target& to, std::int64_t i, std::int64_t j, bool add) {
  const std::int64_t stride = to.p.stride;
  pair.forces_energy(to.force_energy(i, j), stride, add);
  if (!to.p.upper)
    pair.energy_forces(to.energy_force(i, j), 1, add);
  else if (i != j)
    pair.energy_forces(to.force_energy(j, i), stride, add);  // its mirror image
  double* const energy = to.energies(i, j);
  *energy = (add ? *energy : 0.0) + pair.energy_energy();
}

template <class Profile>
void run(const GdmlMatrixParams& p, GdmlPair<Profile>& pair, const double* tables, const GdmlBlocks& blocks,
         std::int64_t begin, std::int64_t end) {
  const Target to{p};
  const std::int64_t n_pairs = p.n_atoms * (p.n_atoms - 1) / 2;
  for (std::int64_t block = begin; block < end;) {
    const std::int64_t i = blocks.row_of(block), next = std::min(end, blocks.first_of(i + 1));
    const std::int64_t first = blocks.first_column(i) + block - blocks.first_of(i), last = first + next - block;
    pair.fix(p.rows.x + i * n_pairs, p.rows.g + 3 * i * n_pairs);
    gdml_for_perms(p.n_atoms, p.n_perms, p.perms, [&](const std::int64_t* perms, std::int64_t count, bool add) {
      pair.permute(perms, count);
      for (std::int64_t j = first; j < last; ++j) {
        pair.template meet<true>(tables + j * pair.s.table());
        pair.block(to.forces(i, j), p.stride, add);
        if (p.energies) write_energies(pair, to, i, j, add);
      }
    });
    block = next;
  }
}

}  // namespace

void gdml_matrix(const GdmlMatrixParams& p) {
  const GdmlBlocks blocks{p.rows.n, p.columns.n, p.upper};
  const GdmlShape s(p.n_atoms);
  const std::int64_t n_pairs = p.n_atoms * (p.n_atoms - 1) / 2;
  const double flop = 66.0 * static_cast<double>(p.n_perms * (p.end - p.begin)) * static_cast<double>(n_pairs);
  const int threads = flop < kParallelThreshold ? 1 : p.threads;
  double* const tables = gdml_aligned(p.scratch);
  double* const own = tables + p.columns.n * gdml_table_elements(p.n_atoms);
  parallel_ranges(threads, p.columns.n, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t j = begin; j < end; ++j)
      gdml_table(s, p.columns.x + j * n_pairs, p.columns.g + 3 * j * n_pairs, tables + j * s.table());
  });
  with_radial_profile(p.profile, [&](const auto& profile) {
    parallel_ranges(threads, p.end - p.begin, [&](int thread, std::int64_t begin, std::int64_t end) {
      GdmlPair pair(p.n_atoms, p.n_perms, profile, own + thread * gdml_thread_elements(p.n_atoms, p.n_perms));
      run(p, pair, tables, blocks, p.begin + begin, p.begin + end);
    });
  });
}

}  // namespace pyff::PYFF_ISA
