// Chosen columns of kernel matrices. A column is a row of the transposed matrix, in which the geometry that owns it is
// the fixed one and the permutations are the inverse ones; all columns of a geometry share its t, u and v.
#include "core/parallel.hpp"
#include "cpu/gdml_pair.hpp"

namespace pyff::PYFF_ISA {
namespace {

constexpr double kParallelThreshold = 1e5;  // flop

template <class Profile>
void write(const GdmlColumnsParams& p, GdmlPair<Profile>& pair, std::int64_t q, std::int64_t i, bool add) {
  const std::int64_t width = 3 * p.n_atoms, height = (width + (p.energies ? 1 : 0)) * p.rows.n;
  for (std::int64_t c = p.first[q]; c < p.first[q + 1]; ++c) {
    double *const out = p.out + p.target[c] * height, *const forces = out + width * i;
    double* const energy = out + width * p.rows.n + i;
    const std::int64_t atom = p.component[c] / 3;
    const int axis = static_cast<int>(p.component[c] % 3);
    if (atom == p.n_atoms)
      pair.energy_forces(forces, 1, add);
    else
      pair.block_row(atom, axis, forces, add);
    if (!p.energies) continue;
    const double value = atom == p.n_atoms ? pair.energy_energy() : pair.force_energy(atom, axis);
    *energy = (add ? *energy : 0.0) + value;
  }
}

template <class Profile>
void run(const GdmlColumnsParams& p, GdmlPair<Profile>& pair, const double* tables, std::int64_t begin,
         std::int64_t end) {
  const std::int64_t n_pairs = p.n_atoms * (p.n_atoms - 1) / 2, m = p.rows.n;
  for (std::int64_t k = begin; k < end;) {
    const std::int64_t q = k / m, start = q * m, last = (end < start + m ? end : start + m) - start;
    const std::int64_t first = k - start;
    pair.fix(p.columns.x + p.point[q] * n_pairs, p.columns.g + 3 * p.point[q] * n_pairs);
    gdml_for_perms(p.n_atoms, p.n_perms, p.inverse_perms, [&](const std::int64_t* some, std::int64_t count, bool add) {
      pair.permute(some, count);
      for (std::int64_t i = first; i < last; ++i) {
        pair.template meet<false>(tables + i * pair.s.table());
        write(p, pair, q, i, add);
      }
    });
    k = start + last;
  }
}

}  // namespace

void gdml_columns(const GdmlColumnsParams& p) {
  const GdmlShape s(p.n_atoms);
  const std::int64_t n_pairs = p.n_atoms * (p.n_atoms - 1) / 2, count = p.end - p.begin;
  const double flop = 32.0 * static_cast<double>(p.n_perms * count) * static_cast<double>(n_pairs);
  const int threads = flop < kParallelThreshold ? 1 : p.threads;
  double* const tables = gdml_aligned(p.scratch);
  double* const own = tables + p.rows.n * gdml_table_elements(p.n_atoms);
  parallel_ranges(threads, p.rows.n, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      gdml_table(s, p.rows.x + i * n_pairs, p.rows.g + 3 * i * n_pairs, tables + i * s.table());
  });
  with_radial_profile(p.profile, [&](const auto& profile) {
    parallel_ranges(threads, count, [&](int thread, std::int64_t begin, std::int64_t end) {
      GdmlPair pair(p.n_atoms, p.n_perms, profile, own + thread * gdml_thread_elements(p.n_atoms, p.n_perms));
      run(p, pair, tables, p.begin + begin, p.begin + end);
    });
  });
}

}  // namespace pyff::PYFF_ISA
