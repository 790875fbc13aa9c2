// Sorting atoms into cells. Each system has a grid of bins about as wide as the cutoff, at most as many as it has
// atoms; small systems have one bin, and the search becomes brute force over atoms and images.
#pragma once

#include <cmath>

#include "cuda/arena.hpp"
#include "cuda/neighbor_list.hpp"
#include "neighbors/lattice.hpp"

namespace pyff::cuda {

namespace math = ::pyff::PYFF_ISA;

struct SystemGrid {
  math::Lattice lattice;
  bool singular;
  double origin[3], scale[3];  // bin = (frac - origin) scale; frac of periodic axes is wrapped into [0, 1)
  std::int32_t bins[3];
  std::int32_t span[3];  // how many bins away a neighbor can be, images counted as further bins
  std::int64_t first_bin;
};

// Doubles as integers of the same order, for atomic minimum and maximum.
PYFF_DEVICE unsigned long long to_ordered(double x) {
  unsigned long long bits;
  static_assert(sizeof bits == sizeof x);
  memcpy(&bits, &x, sizeof x);
  return bits >> 63 ? ~bits : bits | (1ull << 63);
}
PYFF_DEVICE double from_ordered(unsigned long long bits) {
  bits = bits >> 63 ? bits & ~(1ull << 63) : ~bits;
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// The memory that count leaves to fill.
struct NeighborWork {
  SystemGrid* grid;             // [B]
  unsigned long long* box;      // [B, 2, 3] smallest and largest fractional coordinates, ordered
  std::uint32_t* faults;        // [1]
  double* frac;                 // [N, 3]
  std::int32_t* wrap;           // [N, 3] whole cells that frac was moved by
  std::int64_t* bin;            // [N]
  std::int64_t* place;          // [N] of the atom in its bin
  unsigned long long* n_in_bin; // [N + B + 1]; after the scan, first atom of each bin
  std::int64_t* scan;
  std::int32_t* order;          // [N] atoms sorted by bin
  double* sorted_pos;           // [N, 3]
  std::int32_t* sorted_wrap;    // [N, 3]

  NeighborWork(const NeighborParams& p, Arena& arena)
      : grid(arena.take<SystemGrid>(p.n_systems)),
        box(arena.take<unsigned long long>(6 * p.n_systems)),
        faults(arena.take<std::uint32_t>(1)),
        frac(arena.take<double>(3 * p.n_atoms)),
        wrap(arena.take<std::int32_t>(3 * p.n_atoms)),
        bin(arena.take<std::int64_t>(p.n_atoms)),
        place(arena.take<std::int64_t>(p.n_atoms)),
        n_in_bin(arena.take<unsigned long long>(n_bins(p) + 1)),
        scan(arena.take<std::int64_t>(scan_elements(p))),
        order(arena.take<std::int32_t>(p.n_atoms)),
        sorted_pos(arena.take<double>(3 * p.n_atoms)),
        sorted_wrap(arena.take<std::int32_t>(3 * p.n_atoms)) {}

  // An upper bound that needs no look at the structures: bins of a system <= max(1, its atoms).
  static std::int64_t n_bins(const NeighborParams& p) { return p.n_atoms + p.n_systems; }
  static std::int64_t scan_elements(const NeighborParams& p);
};

struct PrepareSystems {
  static constexpr const char* kName = "prepare systems";
  static constexpr int kThreads = 64;
  NeighborParams p;
  NeighborWork work;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    for (std::int64_t b = block.global_thread(); b < p.n_systems; b += block.global_threads()) {
      SystemGrid& grid = work.grid[b];
      bool periodic[3];
      for (int c = 0; c < 3; ++c) {
        periodic[c] = p.pbc[3 * b + c] != 0;
        work.box[6 * b + c] = ~0ull;
        work.box[6 * b + 3 + c] = 0ull;
      }
      grid.singular = !math::make_lattice(p.cell + 9 * b, periodic, grid.lattice);
      if (grid.singular) simt::atomic_or(work.faults, std::uint32_t{kSingularCell});
    }
  }
};

// Fractional coordinates, wrapped on periodic axes, and each system's box of unwrapped ones.
struct WrapAtoms {
  static constexpr const char* kName = "wrap atoms";
  static constexpr int kThreads = 128;
  NeighborParams p;
  NeighborWork work;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    const std::int64_t n = block.global_thread();
    const bool inside = n < p.n_atoms;
    const std::int64_t b = p.batch[inside ? n : p.n_atoms - 1];
    double frac[3];
    wrap(inside ? n : p.n_atoms - 1, work.grid[b], inside, frac);
    const bool one_system = block.ballot(b == block.shuffle(b, 0)) == 0xffffffffu;
    for (int c = 0; c < 3; ++c) {
      unsigned long long low = to_ordered(frac[c]), high = low;
      if (one_system) {
        for (int offset = simt::kWarp / 2; offset > 0; offset /= 2) {
          const unsigned long long l = block.shuffle_xor(low, offset), h = block.shuffle_xor(high, offset);
          low = l < low ? l : low;
          high = h > high ? h : high;
        }
      }
      if (one_system && block.lane() != 0) continue;
      simt::atomic_min(work.box + 6 * b + c, low);
      simt::atomic_max(work.box + 6 * b + 3 + c, high);
    }
  }

 private:
  PYFF_DEVICE void wrap(std::int64_t n, const SystemGrid& grid, bool write, double (&frac)[3]) const {
    constexpr double kFar = 1 << 29;  // differences of two wraps and the search's own shift stay 32-bit integers
    const double* r = p.pos + 3 * n;
    const bool finite = std::isfinite(r[0]) && std::isfinite(r[1]) && std::isfinite(r[2]);
    if (!finite) simt::atomic_or(work.faults, std::uint32_t{kBadPosition});
    for (int c = 0; c < 3; ++c) {
      const double* dual = grid.lattice.inverse[c];
      frac[c] = finite && !grid.singular ? r[0] * dual[0] + r[1] * dual[1] + r[2] * dual[2] : 0.0;
      double whole = grid.lattice.periodic[c] ? floor(frac[c]) : 0.0;
      if (!(std::fabs(whole) < kFar)) {
        simt::atomic_or(work.faults, std::uint32_t{kFarPosition});
        whole = 0.0;
      }
      if (!write) continue;
      work.frac[3 * n + c] = frac[c] - whole;
      work.wrap[3 * n + c] = static_cast<std::int32_t>(whole);
    }
  }
};

struct PrepareGrids {
  static constexpr const char* kName = "prepare grids";
  static constexpr int kThreads = 64;
  NeighborParams p;
  NeighborWork work;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    for (std::int64_t b = block.global_thread(); b < p.n_systems; b += block.global_threads()) {
      SystemGrid& grid = work.grid[b];
      grid.first_bin = p.ptr[b] + b;
      grid.singular ? one_bin(grid) : prepare(b, grid);
    }
  }

 private:
  PYFF_DEVICE void prepare(std::int64_t b, SystemGrid& grid) const {
    // bins a little wider than the cutoff, so that rounding never makes a neighbor two bins away
    constexpr double kWider = 1 + 1e-6;
    const std::int64_t n = p.ptr[b + 1] - p.ptr[b];
    double extent[3], far[3];
    for (int c = 0; c < 3; ++c) {
      const double low = n > 0 ? from_ordered(work.box[6 * b + c]) : 0.0;
      const double high = n > 0 ? from_ordered(work.box[6 * b + 3 + c]) : 0.0;
      far[c] = std::fabs(low) > std::fabs(high) ? std::fabs(low) : std::fabs(high);
      grid.origin[c] = grid.lattice.periodic[c] ? 0.0 : low;
      extent[c] = grid.lattice.periodic[c] ? 1.0 : high - low;
      const double fit = extent[c] * grid.lattice.height[c] / (p.cutoff * kWider);
      grid.bins[c] = fit >= 2 ? (fit < 1e6 ? static_cast<std::int32_t>(fit) : 1000000) : 1;
    }
    limit_bins(n, grid);
    double images = 1;
    for (int c = 0; c < 3; ++c) images *= set_span(extent[c], far[c], c, grid);
    constexpr double kMostImages = 1e9;
    if (!(images < kMostImages)) simt::atomic_or(work.faults, std::uint32_t{kTooManyImages});
  }

  // Something harmless for a system that will not be searched.
  PYFF_DEVICE void one_bin(SystemGrid& grid) const {
    for (int c = 0; c < 3; ++c) {
      grid.origin[c] = grid.scale[c] = 0.0;
      grid.bins[c] = 1;
      grid.span[c] = 0;
    }
  }

  // No more bins than atoms: a large, empty cell costs nothing.
  PYFF_DEVICE void limit_bins(std::int64_t n, SystemGrid& grid) const {
    const std::int64_t most = n > 1 ? n : 1;
    std::int32_t(&bins)[3] = grid.bins;
    while (static_cast<std::int64_t>(bins[0]) * bins[1] * bins[2] > most) {
      int largest = 0;
      for (int c = 1; c < 3; ++c)
        if (bins[c] > bins[largest]) largest = c;
      bins[largest] = (bins[largest] + 1) / 2;
    }
  }

  // Returns how many bins the search visits along the axis.
  PYFF_DEVICE double set_span(double extent, double far, int c, SystemGrid& grid) const {
    grid.scale[c] = grid.bins[c] / (extent > 0 ? extent : 1.0);
    // the error of a fractional coordinate grows with its size
    const double slack = 1e-9 + 1e-14 * far * grid.scale[c];
    const double span = ceil(p.cutoff / grid.lattice.height[c] * grid.scale[c] + slack);
    const double most = grid.lattice.periodic[c] ? 1e6 : grid.bins[c] - 1;
    grid.span[c] = static_cast<std::int32_t>(span < most ? span : most);
    return 2 * (span < most || grid.lattice.periodic[c] ? span : most) + 1;
  }
};

PYFF_DEVICE std::int32_t bin_along(const SystemGrid& grid, int c, double frac) {
  const double x = (frac - grid.origin[c]) * grid.scale[c];
  const std::int32_t k = static_cast<std::int32_t>(x);
  return k < 0 ? 0 : k >= grid.bins[c] ? grid.bins[c] - 1 : k;
}

struct CountInBins {
  static constexpr const char* kName = "count atoms in bins";
  static constexpr int kThreads = 128;
  NeighborParams p;
  NeighborWork work;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    for (std::int64_t n = block.global_thread(); n < p.n_atoms; n += block.global_threads()) {
      const SystemGrid& grid = work.grid[p.batch[n]];
      std::int64_t bin = 0;
      for (int c = 0; c < 3; ++c) bin = bin * grid.bins[c] + bin_along(grid, c, work.frac[3 * n + c]);
      work.bin[n] = grid.first_bin + bin;
      // the order within a bin is whatever comes; rows are sorted in the end
      work.place[n] = static_cast<std::int64_t>(simt::atomic_add(work.n_in_bin + work.bin[n], 1ull));
    }
  }
};

struct SortIntoBins {
  static constexpr const char* kName = "sort atoms into bins";
  static constexpr int kThreads = 128;
  NeighborParams p;
  NeighborWork work;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    for (std::int64_t n = block.global_thread(); n < p.n_atoms; n += block.global_threads()) {
      const std::int64_t at = static_cast<std::int64_t>(work.n_in_bin[work.bin[n]]) + work.place[n];
      work.order[at] = static_cast<std::int32_t>(n);
      for (int c = 0; c < 3; ++c) {
        work.sorted_pos[3 * at + c] = p.pos[3 * n + c];
        work.sorted_wrap[3 * at + c] = work.wrap[3 * n + c];
      }
    }
  }
};

}  // namespace pyff::cuda
