// The neighbor list of one structure or many: search first, then fill arrays of the size found.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "neighbors/arena.hpp"
#include "neighbors/kernel_params.hpp"
#include "neighbors/particles.hpp"

namespace pyff {

struct SearchOptions {
  double cutoff;                          // A; of the pair's own cutoffs, the largest
  const double* radius = nullptr;         // [N] A or null: d < radius_i + radius_j
  const std::int32_t* species = nullptr;  // [N] or null: d < table[species_i, species_j]
  const double* table = nullptr;          // [n_species, n_species] A
  std::int64_t n_species = 0;
  bool half = false;
  bool self_interaction = false;
  std::int64_t bytes_per_pair = 60;  // of the arrays to be filled; lists that cannot fit in memory are refused
  int threads = 1;
};

// Any pointer may be null; idx_i, idx_j and shift are needed for edge_rev.
struct NeighborArrays {
  std::int64_t* idx_i = nullptr;
  std::int64_t* idx_j = nullptr;
  std::int32_t* shift = nullptr;
  double* vec = nullptr;
  double* distance = nullptr;
  std::int64_t* edge_rev = nullptr;
};

// Reusable: keeps a few MiB of working memory between searches. Not to be shared by threads.
class NeighborSearch {
 public:
  // Finds all pairs. The structures' positions must stay alive until fill. Atoms are numbered through all structures.
  void search(const Structure* structures, std::int64_t n_structures, const SearchOptions& options);

  std::int64_t n_pairs() const { return row_ptr_.back(); }
  const std::vector<std::int64_t>& row_ptr() const { return row_ptr_; }  // [N + 1]

  void fill(const NeighborArrays& out);

  // Gives working memory beyond a few MiB back; the result is lost.
  void release();

 private:
  // Consecutive rows of one structure and where their hits are.
  struct Segment {
    std::int64_t structure, home_begin, home_end;
    const std::int32_t* hits;
  };
  struct Worker {
    Arena keep, scratch, hits;
    std::vector<Segment> segments;
    float* candidate = nullptr;
    std::int32_t* candidate_index = nullptr;
    std::int64_t candidate_capacity = 0;
    std::int32_t* free_hits = nullptr;
    std::int64_t n_free_hits = 0;
    std::int64_t n_pairs = 0;
    std::string error;
    bool out_of_memory = false;
  };
  struct Prepared {
    NeighborCells cells;
    NeighborRule rule;
    std::int64_t atom_offset;
  };

  void start(const Structure* structures, std::int64_t n_structures);
  void prepare(std::int64_t structure, int threads, Worker& worker);
  void scan(std::int64_t structure, std::int64_t home_begin, std::int64_t home_end, Worker& worker);
  void add_segment(std::int64_t structure, std::int64_t home_begin, const NeighborScanState& state, Worker& worker);
  void search_by_structure(int threads);
  void search_by_atom(int threads);
  void check_workers() const;
  void fill_segment(const Segment& segment, const NeighborArrays& out, std::uint32_t* key) const;
  void fill_reverse(const NeighborArrays& out, const std::uint32_t* key, int threads);
  template <class Body>
  void guarded(Worker& worker, Body&& body);

  const Structure* structures_ = nullptr;
  SearchOptions options_{};
  std::vector<Prepared> prepared_;
  std::vector<Worker> workers_;
  std::vector<std::int64_t> row_ptr_{0};
  Arena keys_;
};

}  // namespace pyff
