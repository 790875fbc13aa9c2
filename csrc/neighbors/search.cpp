#include "neighbors/search.hpp"

#include <algorithm>
#include <new>

#include "core/parallel.hpp"
#include "core/status.hpp"
#include "cpu/dispatch.hpp"
#include "neighbors/grid.hpp"

namespace pyff {

using baseline::parallel_ranges;

namespace {

constexpr std::int64_t kMinAtomsPerThread = 256;
constexpr std::int64_t kHitsBlock = std::int64_t{1} << 18;
constexpr std::size_t kKeptBytes = std::size_t{4} << 20;
constexpr int kMaxLanes = 16;

NeighborRule rule_of(const Structure& s, const SearchOptions& o, std::int64_t atom_offset, double margin) {
  NeighborRule rule{};
  rule.cutoff = o.cutoff;
  rule.margin = margin;
  rule.radius = o.radius ? o.radius + atom_offset : nullptr;
  rule.species = o.species ? o.species + atom_offset : nullptr;
  rule.table = o.table;
  rule.n_species = o.n_species;
  rule.half = o.half;
  rule.self_interaction = o.self_interaction;
  rule.periodic = s.pbc[0] || s.pbc[1] || s.pbc[2];
  // open axes have no shifts, whatever their rows hold
  for (int k = 0; k < 9; ++k) rule.cell[k] = s.pbc[k / 3] ? s.cell[k] : 0.0;
  return rule;
}

}  // namespace

// Tasks on pool threads must not throw.
template <class Body>
void NeighborSearch::guarded(Worker& worker, Body&& body) {
  try {
    body();
  } catch (const Error& e) {
    worker.error = e.what();
  } catch (const std::bad_alloc&) {
    worker.out_of_memory = true;
  }
}

void NeighborSearch::check_workers() const {
  for (const Worker& w : workers_) {
    if (!w.error.empty()) throw Error(w.error);
    if (w.out_of_memory) throw std::bad_alloc();
  }
}

void NeighborSearch::start(const Structure* structures, std::int64_t n_structures) {
  structures_ = structures;
  prepared_.resize(static_cast<std::size_t>(n_structures));
  std::int64_t n_atoms = 0;
  for (std::int64_t b = 0; b < n_structures; ++b) {
    prepared_[b].atom_offset = n_atoms;
    n_atoms += structures[b].n_atoms;
  }
  row_ptr_.resize(static_cast<std::size_t>(n_atoms) + 1);
  row_ptr_[0] = 0;
  if (workers_.size() < static_cast<std::size_t>(options_.threads)) workers_.resize(options_.threads);
  for (Worker& w : workers_) {
    w.keep.reset();
    w.scratch.reset();
    w.hits.reset();
    w.segments.clear();
    w.candidate_capacity = w.n_free_hits = w.n_pairs = 0;
    w.error.clear();
    w.out_of_memory = false;
  }
}

void NeighborSearch::prepare(std::int64_t b, int threads, Worker& worker) {
  worker.scratch.reset();
  const Particles particles = make_particles(structures_[b], options_.cutoff, threads, worker.scratch);
  Prepared& p = prepared_[b];
  p.cells = make_cells(structures_[b], particles, options_.cutoff, threads, worker.keep, worker.scratch);
  p.rule = rule_of(structures_[b], options_, p.atom_offset, particles.margin);
  worker.scratch.trim(kKeptBytes);  // before the hits need their room
}

void NeighborSearch::add_segment(std::int64_t b, std::int64_t home_begin, const NeighborScanState& state,
                                 Worker& worker) {
  if (state.home > home_begin) worker.segments.push_back({b, home_begin, state.home, worker.free_hits});
  worker.free_hits += state.n_hits;
  worker.n_free_hits -= state.n_hits;
  worker.n_pairs += state.n_hits;
  const double bytes = static_cast<double>(worker.n_pairs) * static_cast<double>(options_.bytes_per_pair + 4);
  PYFF_REQUIRE(bytes < physical_memory(), "cutoff must be small enough for the list to fit in memory; received "
                                              << options_.cutoff << " A, with which the first atoms alone have "
                                              << worker.n_pairs << " pairs");
}

// Scans atoms home_begin .. home_end - 1 in the order of cells.home, giving the kernel memory as it asks for it.
void NeighborSearch::scan(std::int64_t b, std::int64_t home_begin, std::int64_t home_end, Worker& worker) {
  const Prepared& prepared = prepared_[b];
  NeighborScanParams params{};
  params.cells = prepared.cells;
  params.rule = prepared.rule;
  params.home_end = home_end;
  params.row_length = row_ptr_.data() + prepared.atom_offset + 1;
  const std::int32_t* starts = prepared.cells.bin_home_start;
  NeighborScanState state{};
  state.home = home_begin;
  state.bin = std::upper_bound(starts, starts + prepared.cells.n_bins() + 1, home_begin) - starts - 1;
  params.state = &state;
  std::int64_t done = home_begin;
  while (state.home < home_end) {
    params.candidate = worker.candidate;
    params.candidate_index = worker.candidate_index;
    params.candidate_capacity = worker.candidate_capacity;
    params.hits = worker.free_hits;
    params.hits_capacity = worker.n_free_hits;
    state.n_hits = state.candidates_needed = 0;
    state.hits_full = false;
    neighbor_scan(params);
    add_segment(b, done, state, worker);
    done = state.home;
    if (state.candidates_needed > 0) {
      worker.candidate_capacity = std::max<std::int64_t>(2 * state.candidates_needed, 1024);
      worker.candidate = worker.keep.allocate<float>(3 * worker.candidate_capacity);
      worker.candidate_index = worker.keep.allocate<std::int32_t>(worker.candidate_capacity);
    } else if (state.hits_full) {
      worker.n_free_hits = std::max(kHitsBlock, worker.candidate_capacity + kMaxLanes);
      worker.free_hits = worker.hits.allocate<std::int32_t>(worker.n_free_hits);
    }
  }
}

// Many structures: each is the work of one thread.
void NeighborSearch::search_by_structure(int threads) {
  const std::int64_t n = static_cast<std::int64_t>(prepared_.size());
  const std::int64_t n_atoms = static_cast<std::int64_t>(row_ptr_.size()) - 1;
  const auto first_of = [&](std::int64_t chunk) {
    if (chunk == threads) return n;
    const std::int64_t atom = n_atoms * chunk / threads;
    return std::lower_bound(prepared_.begin(), prepared_.end(), atom,
                            [](const Prepared& p, std::int64_t a) { return p.atom_offset < a; }) -
           prepared_.begin();
  };
  parallel_ranges(threads, threads, [&](int chunk, std::int64_t, std::int64_t) {
    Worker& worker = workers_[chunk];
    guarded(worker, [&] {
      for (std::int64_t b = first_of(chunk); b < first_of(chunk + 1); ++b) {
        prepare(b, 1, worker);
        scan(b, 0, structures_[b].n_atoms, worker);
      }
    });
  });
  check_workers();
}

// Few structures: the atoms of each are cut into one chunk per thread, always the same, and filled by the same thread:
// memory that is used again and again stays in the cache of one core. (Taking blocks as threads get to them balances
// better and was measured to be twice slower: every line moved between cores.)
void NeighborSearch::search_by_atom(int threads) {
  for (std::int64_t b = 0; b < static_cast<std::int64_t>(prepared_.size()); ++b) {
    prepare(b, threads, workers_[0]);
    parallel_ranges(threads, structures_[b].n_atoms, [&](int chunk, std::int64_t begin, std::int64_t end) {
      guarded(workers_[chunk], [&] { scan(b, begin, end, workers_[chunk]); });
    });
    check_workers();
  }
}

void NeighborSearch::search(const Structure* structures, std::int64_t n_structures, const SearchOptions& options) {
  std::int64_t n_atoms = 0;
  for (std::int64_t b = 0; b < n_structures; ++b) n_atoms += structures[b].n_atoms;
  options_ = options;
  const std::int64_t most = std::max<std::int64_t>(1, n_atoms / kMinAtomsPerThread);
  options_.threads = static_cast<int>(std::min<std::int64_t>(std::max(1, options.threads), most));
  wake_threads(options_.threads);
  start(structures, n_structures);
  if (n_structures >= 2 * options_.threads)
    search_by_structure(options_.threads);
  else
    search_by_atom(options_.threads);
  for (std::int64_t i = 0; i < n_atoms; ++i) row_ptr_[i + 1] += row_ptr_[i];
}

void NeighborSearch::fill(const NeighborArrays& out) {
  std::uint32_t* key = nullptr;
  keys_.reset();
  if (out.edge_rev) {
    key = keys_.allocate<std::uint32_t>(n_pairs() + kMaxLanes);
    std::fill_n(key + n_pairs(), kMaxLanes, 0u);
  }
  parallel_ranges(options_.threads, options_.threads, [&](int chunk, std::int64_t, std::int64_t) {
    for (const Segment& segment : workers_[chunk].segments) fill_segment(segment, out, key);
  });
  if (out.edge_rev) fill_reverse(out, key, options_.threads);
}

void NeighborSearch::fill_segment(const Segment& segment, const NeighborArrays& out, std::uint32_t* key) const {
  const Prepared& p = prepared_[segment.structure];
  NeighborFillParams params{};
  params.cells = p.cells;
  params.rule = p.rule;
  params.home_begin = segment.home_begin;
  params.home_end = segment.home_end;
  params.hits = segment.hits;
  params.row_ptr = row_ptr_.data() + p.atom_offset;
  params.atom_offset = p.atom_offset;
  params.idx_i = out.idx_i;
  params.idx_j = out.idx_j;
  params.shift = out.shift;
  params.vec = out.vec;
  params.distance = out.distance;
  params.key = key;
  neighbor_fill(params);
}

void NeighborSearch::fill_reverse(const NeighborArrays& out, const std::uint32_t* key, int threads) {
  const std::int64_t n_atoms = static_cast<std::int64_t>(row_ptr_.size()) - 1;
  parallel_ranges(threads, n_atoms, [&](int, std::int64_t begin, std::int64_t end) {
    NeighborReverseParams params{};
    params.row_begin = begin;
    params.row_end = end;
    params.row_ptr = row_ptr_.data();
    params.idx_j = out.idx_j;
    params.shift = out.shift;
    params.key = key;
    params.edge_rev = out.edge_rev;
    neighbor_reverse(params);
  });
}

void NeighborSearch::release() {
  for (Worker& w : workers_) {
    w.keep.trim(kKeptBytes);
    w.scratch.trim(kKeptBytes);
    w.hits.trim(kKeptBytes);
    w.candidate_capacity = w.n_free_hits = 0;
    w.segments.clear();
  }
  keys_.trim(kKeptBytes);
  if (row_ptr_.capacity() * sizeof(std::int64_t) > kKeptBytes) row_ptr_ = {0};
  if (prepared_.capacity() * sizeof(Prepared) > kKeptBytes) prepared_ = {};
  structures_ = nullptr;
}

}  // namespace pyff
