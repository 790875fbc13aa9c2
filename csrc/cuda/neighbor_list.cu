#include "cuda/neighbor_list.hpp"

#include <cmath>
#include <cstring>

#include "cuda/neighbor_grid.hpp"
#include "cuda/neighbor_search.hpp"
#include "cuda/reduce.hpp"

namespace pyff::cuda {

std::int64_t NeighborWork::scan_elements(const NeighborParams& p) {
  return scan_scratch(n_bins(p) + 1);  // n_bins >= n_atoms, so the scan of the rows fits too
}

namespace {

void check_params(const NeighborParams& p) {
  constexpr std::int64_t kMostAtoms = std::int64_t{1} << 31;
  PYFF_REQUIRE(std::isfinite(p.cutoff) && p.cutoff >= 0,
               "cutoff must be finite and not negative; received " << p.cutoff);
  PYFF_REQUIRE(p.n_atoms < kMostAtoms, "one call takes at most 2^31 - 1 atoms; received " << p.n_atoms);
}

simt::Grid grid_of(std::int64_t n, int per_block, simt::Stream stream) {
  return {simt::divide_up(n, per_block), 0, stream};
}

void sort_into_bins(const NeighborParams& p, const NeighborWork& work, simt::Stream stream) {
  const std::int64_t n_bins = NeighborWork::n_bins(p);
  simt::set_zero(work.faults, sizeof *work.faults, stream);
  simt::set_zero(work.n_in_bin, (n_bins + 1) * static_cast<std::int64_t>(sizeof *work.n_in_bin), stream);
  simt::launch(PrepareSystems{p, work}, grid_of(p.n_systems, PrepareSystems::kThreads, stream));
  simt::launch(WrapAtoms{p, work}, grid_of(p.n_atoms, WrapAtoms::kThreads, stream));
  simt::launch(PrepareGrids{p, work}, grid_of(p.n_systems, PrepareGrids::kThreads, stream));
  simt::launch(CountInBins{p, work}, grid_of(p.n_atoms, CountInBins::kThreads, stream));
  static_assert(sizeof(unsigned long long) == sizeof(std::int64_t), "atomics count in unsigned long long");
  exclusive_scan(reinterpret_cast<std::int64_t*>(work.n_in_bin), n_bins + 1, work.scan, stream);
  simt::launch(SortIntoBins{p, work}, grid_of(p.n_atoms, SortIntoBins::kThreads, stream));
}

constexpr int kAtomsPerBlock = SearchPairs::kThreads / simt::kWarp;

}  // namespace

std::int64_t neighbor_count_scratch(const NeighborParams& p) {
  Arena arena;
  NeighborWork(p, arena);
  return arena.used();
}

void neighbor_count(const NeighborParams& p, const Call& call) {
  check_params(p);
  Arena arena(call);
  const NeighborWork work(p, arena);
  simt::set_zero(p.row_ptr + p.n_atoms, sizeof *p.row_ptr, call.stream);
  sort_into_bins(p, work, call.stream);
  simt::launch(SearchPairs{p, work, nullptr}, grid_of(p.n_atoms, kAtomsPerBlock, call.stream));
  exclusive_scan(p.row_ptr, p.n_atoms + 1, work.scan, call.stream);
  simt::launch(Summarise{p, work.faults}, simt::Grid{1, 0, call.stream});
}

std::int64_t neighbor_fill_scratch(const NeighborParams& p) {
  Arena arena;
  arena.take<Neighbor>(p.n_edges);
  return arena.used();
}

void neighbor_fill(const NeighborParams& p, const void* count_scratch, const Call& call) {
  check_params(p);
  if (p.n_edges == 0) return;
  Arena of_count(Call{call.stream, const_cast<void*>(count_scratch), neighbor_count_scratch(p)});
  const NeighborWork work(p, of_count);
  Arena arena(call);
  Neighbor* const found = arena.take<Neighbor>(p.n_edges);
  simt::launch(SearchPairs{p, work, found}, grid_of(p.n_atoms, kAtomsPerBlock, call.stream));
  simt::launch(SortRows{p, found}, grid_of(p.n_atoms, kAtomsPerBlock, call.stream));
  simt::launch(FindReversed{p}, simt::Grid{simt::blocks_for(p.n_edges, FindReversed::kThreads), 0, call.stream});
}

}  // namespace pyff::cuda
