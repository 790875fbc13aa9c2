// Particles sorted into bins about as wide as the cutoff, or a fraction of it where they are dense.
#pragma once

#include "neighbors/arena.hpp"
#include "neighbors/particles.hpp"

namespace pyff {

// Sorts the particles. What the result points to lives in `keep`; `scratch` is free afterwards.
NeighborCells make_cells(const Structure& structure, const Particles& particles, double cutoff, int threads,
                         Arena& keep, Arena& scratch);

}  // namespace pyff
