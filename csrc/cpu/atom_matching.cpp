// Which atom of one geometry is which of another, for many pairs of geometries. Source: Umeyama, IEEE Trans. Pattern
// Anal. Mach. Intell. 10, 695 (1988), as used by Chmiela et al., Nat. Commun. 9, 3887 (2018).
#include "api/atom_matching.hpp"

#include <cmath>

#include "core/parallel.hpp"
#include "cpu/assignment.hpp"
#include "math/elementary.hpp"

namespace pyff::PYFF_ISA {
namespace {

// a permutation must be better by more than rounding
constexpr double kRelative = 1e-5, kAbsolute = 1e-8;
constexpr std::int64_t kParallelThreshold = 64;  // pairs

// cost[a][b], a of geometry j, b of geometry i
void spectral_cost(const AtomMatchingParams& p, const double* vi, const double* vj, double* cost) {
  const std::int64_t n = p.n_atoms;
  const double forbidden = static_cast<double>(n + 1);  // more than all of the others together
  for (std::int64_t a = 0; a < n; ++a) {
    double* const row = cost + a * n;
    for (std::int64_t b = 0; b < n; ++b) row[b] = p.Z[a] == p.Z[b] ? 0.0 : forbidden;
    for (std::int64_t k = 0; k < n; ++k) {
      const double weight = vj[k * n + a];
      for_lanes<double>(n, [&](std::int64_t b, auto lane) {
        lane.put(row + b, lane.get(row + b) - weight * lane.get(vi + k * n + b));
      });
    }
  }
}

double distance_between(std::int64_t n, const double* di, const std::int64_t* perm, const double* dj) {
  double sum = 0.0;
  for (std::int64_t a = 1; a < n; ++a)
    for (std::int64_t b = 0; b < a; ++b) {
      const double difference = (perm ? di[perm[a] * n + perm[b]] : di[a * n + b]) - dj[a * n + b];
      sum += difference * difference;
    }
  return std::sqrt(2.0 * sum);
}

}  // namespace

void atom_matching(const AtomMatchingParams& p) {
  const std::int64_t n = p.n_atoms;
  const int threads = p.n_pairs < kParallelThreshold ? 1 : p.threads;
  parallel_ranges(threads, p.n_pairs, [&](int thread, std::int64_t begin, std::int64_t end) {
    double* const cost = p.scratch + thread * n * (n + 3);
    AssignmentMemory memory(n, cost + n * n, p.indices + thread * AssignmentMemory::indices(n));
    for (std::int64_t k = begin; k < end; ++k) {
      const std::int64_t i = p.pairs[2 * k] * n * n, j = p.pairs[2 * k + 1] * n * n;
      spectral_cost(p, p.vectors + i, p.vectors + j, cost);
      assign(n, cost, memory);
      const double before = distance_between(n, p.distance + i, nullptr, p.distance + j);
      const double after = distance_between(n, p.distance + i, memory.column_of, p.distance + j);
      const bool better = before - after > kAbsolute + kRelative * before;
      p.score[k] = better ? after : before;
      if (!p.perms) continue;
      for (std::int64_t a = 0; a < n; ++a) p.perms[k * n + a] = better ? memory.column_of[a] : a;
    }
  });
}

}  // namespace pyff::PYFF_ISA
