// Atoms wrapped into the cell and the periodic images that lie within reach of them.
#pragma once

#include <cstdint>

#include "neighbors/arena.hpp"
#include "neighbors/kernel_params.hpp"
#include "neighbors/lattice.hpp"

namespace pyff {

// One structure as the caller gives it. pos [N, 3] A, cell [3, 3] A (rows are lattice vectors).
struct Structure {
  std::int64_t n_atoms;
  const double* pos;
  double cell[9];
  bool pbc[3];
};

struct Particles {
  std::int64_t n_atoms;  // the first n_atoms particles are the atoms themselves
  std::int64_t n_particles;
  double* coordinate[3];  // [M] wrapped or image positions
  std::int32_t* shift;    // [M, 3] against the given position
  std::int32_t* atom;     // [M]
  double margin;          // bound of the coordinates' rounding error, A
};

// Throws Error naming the argument: pos not finite or out of range, cell singular along periodic axes, cutoff so
// large against the cell that the images would not fit in memory.
Particles make_particles(const Structure& structure, double cutoff, int threads, Arena& arena);

// Bytes of physical memory; lists that cannot fit are refused before anything is allocated.
double physical_memory();

}  // namespace pyff
