// What the hot loops of the neighbor search (csrc/cpu/neighbor_search.cpp, neighbor_fill.cpp) read and write.
#pragma once

#include <cstdint>

namespace pyff {

// One particle of an open-boundary search: an atom or one of its periodic images.
struct NeighborParticle {
  double pos[4];          // of the atom as given, not wrapped; the fourth makes a 32-byte load possible
  std::int32_t shift[3];  // the image lies at pos + shift @ cell
  std::int32_t atom;
};

// Particles sorted by bin; within a bin the atoms come before the images.
struct NeighborCells {
  std::int64_t n_particles;
  const double* x;  // [M + padding] Cartesian coordinates of the particles, atoms wrapped into the cell
  const double* y;
  const double* z;
  const NeighborParticle* particle;    // [M]
  const std::int32_t* bin_start;       // [bins + 1] first particle of each bin
  const std::int32_t* bin_home_start;  // [bins + 1] first atom of each bin in `home`
  const std::int32_t* home;            // [N] particle index of each atom, by bin
  std::int32_t bins[3];
  std::int32_t reach[3];  // a particle's neighbors lie within this many bins
  double search_radius;   // cutoff plus the rounding error of coordinates

  std::int64_t n_bins() const { return std::int64_t{bins[0]} * bins[1] * bins[2]; }
};

// Which pairs within reach are kept, beyond d < cutoff. At most one of radius and table is given.
struct NeighborRule {
  double cutoff;                // largest distance of any pair
  double margin;                // distances this close to cutoff are decided by the output's own formula
  const double* radius;         // [N] or null: d < radius_i + radius_j
  const std::int32_t* species;  // [N] or null: d < table[species_i, species_j]
  const double* table;
  std::int64_t n_species;
  bool half;              // each unordered pair once
  bool self_interaction;  // the pair (i, i, S = 0) too
  bool periodic;
  double cell[9];
};

// Where a scan stands; it returns when done, or when hits or candidates need more room.
struct NeighborScanState {
  std::int64_t home;  // next entry of cells.home
  std::int64_t bin;
  std::int64_t n_hits;             // written so far
  std::int64_t candidates_needed;  // > 0: grow the candidate arrays to this
  bool hits_full;
};

// Finds the neighbors of cells.home[state.home .. home_end - 1]: particle indices go to hits, one row after the other.
struct NeighborScanParams {
  NeighborCells cells;
  NeighborRule rule;
  std::int64_t home_end;
  float* candidate;  // [3, candidate_capacity] coordinates relative to a bin
  std::int32_t* candidate_index;
  std::int64_t candidate_capacity;
  std::int32_t* hits;
  std::int64_t hits_capacity;
  std::int64_t* row_length;  // [N] by atom
  NeighborScanState* state;
};

// Turns hits into output rows. Any output may be null.
struct NeighborFillParams {
  NeighborCells cells;
  NeighborRule rule;
  std::int64_t home_begin;
  std::int64_t home_end;
  const std::int32_t* hits;
  const std::int64_t* row_ptr;  // [N + 1]
  std::int64_t atom_offset;     // added to i and j
  std::int64_t* idx_i;          // [E]
  std::int64_t* idx_j;          // [E]
  std::int32_t* shift;          // [E, 3]
  double* vec;                  // [E, 3]
  double* distance;             // [E]
  std::uint32_t* key;           // [E] of (j, shift), for the reversed-edge search; needs idx_i, idx_j and shift
};

// edge_rev of the rows row_begin .. row_end - 1; each pair is handled from the side with the smaller index.
struct NeighborReverseParams {
  std::int64_t row_begin;
  std::int64_t row_end;
  const std::int64_t* row_ptr;
  const std::int64_t* idx_j;
  const std::int32_t* shift;
  const std::uint32_t* key;  // [E + 16], the last 16 of any value
  std::int64_t* edge_rev;
};

}  // namespace pyff
