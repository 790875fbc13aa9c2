// The search itself: one warp per atom; its lanes take the atoms of the bins around.
#pragma once

#include "cuda/neighbor_grid.hpp"

namespace pyff::cuda {

struct alignas(16) Neighbor {
  std::int32_t j;
  std::int32_t shift[3];
};

// Order of the pairs in a row.
PYFF_DEVICE bool comes_before(const Neighbor& a, const Neighbor& b) {
  if (a.j != b.j) return a.j < b.j;
  for (int c = 0; c < 2; ++c)
    if (a.shift[c] != b.shift[c]) return a.shift[c] < b.shift[c];
  return a.shift[2] < b.shift[2];
}

PYFF_DEVICE std::int32_t floor_divide(std::int32_t a, std::int32_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

// Counting and writing are the same walk.
struct SearchPairs {
  static constexpr const char* kName = "search pairs";
  static constexpr int kThreads = 128;
  NeighborParams p;
  NeighborWork work;
  Neighbor* found;  // [E] unsorted within rows; null: count into row_ptr

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    const std::int64_t at = block.index() * (kThreads / simt::kWarp) + block.warp();
    if (at >= p.n_atoms) return;  // the same for the whole warp
    Atom atom;
    atom.n = work.order[at];
    atom.out = found ? p.row_ptr[atom.n] : 0;
    for (int c = 0; c < 3; ++c) {
      atom.pos[c] = work.sorted_pos[3 * at + c];
      atom.wrap[c] = work.sorted_wrap[3 * at + c];
    }
    if (found || *work.faults == 0) walk(block, atom);
    if (!found && block.lane() == 0) p.row_ptr[atom.n] = atom.out;
  }

 private:
  struct Atom {
    std::int32_t n;
    double pos[3];
    std::int32_t wrap[3];
    std::int64_t out;  // how many pairs before this one, or where the next goes
  };

  // Bins around the atom's, one row of bins along the last axis at a time. A bin beyond the edge of a periodic axis
  // is the image of one inside: extended index = bin + image bins.
  PYFF_DEVICE void walk(const simt::Block& block, Atom& atom) const {
    const std::int64_t b = p.batch[atom.n];
    const SystemGrid& grid = work.grid[b];
    std::int32_t low[3], high[3];
    for (int c = 0; c < 3; ++c) {
      const std::int32_t own = bin_along(grid, c, work.frac[3 * static_cast<std::int64_t>(atom.n) + c]);
      low[c] = own - grid.span[c];
      high[c] = own + grid.span[c];
      if (grid.lattice.periodic[c]) continue;
      low[c] = low[c] > 0 ? low[c] : 0;
      high[c] = high[c] < grid.bins[c] ? high[c] : grid.bins[c] - 1;
    }
    const double* cell = p.cell + 9 * b;
    std::int32_t image[3];
    for (std::int32_t x = low[0]; x <= high[0]; ++x) {
      image[0] = floor_divide(x, grid.bins[0]);
      for (std::int32_t y = low[1]; y <= high[1]; ++y) {
        image[1] = floor_divide(y, grid.bins[1]);
        const std::int64_t row =
            (static_cast<std::int64_t>(x - image[0] * grid.bins[0]) * grid.bins[1] + (y - image[1] * grid.bins[1])) *
            grid.bins[2];
        for (std::int32_t z = low[2]; z <= high[2];) {
          image[2] = floor_divide(z, grid.bins[2]);
          const std::int32_t begin = z - image[2] * grid.bins[2];
          const std::int32_t left = high[2] - z, until_edge = grid.bins[2] - 1 - begin;
          const std::int32_t steps = left < until_edge ? left : until_edge;
          const auto* first = work.n_in_bin + grid.first_bin + row + begin;
          scan_atoms(block, static_cast<std::int64_t>(first[0]), static_cast<std::int64_t>(first[steps + 1]), image,
                     cell, atom);
          z += steps + 1;
        }
      }
    }
  }

  PYFF_DEVICE void scan_atoms(const simt::Block& block, std::int64_t begin, std::int64_t end,
                              const std::int32_t (&image)[3], const double* cell, Atom& atom) const {
    for (std::int64_t first = begin; first < end; first += simt::kWarp) {
      const std::int64_t at = first + block.lane();
      Neighbor candidate{};
      const bool hit = at < end && is_neighbor(at, image, cell, atom, candidate);
      const unsigned hits = block.ballot(hit), mine = 1u << block.lane();
      if (found && hit) found[atom.out + simt::popcount(hits & (mine - 1))] = candidate;
      atom.out += simt::popcount(hits);
    }
  }

  // Both directions of a pair do the same arithmetic up to signs, so both are found or none; and the CPU's list does
  // the same (this file is compiled without fused multiply-add).
  PYFF_DEVICE bool is_neighbor(std::int64_t at, const std::int32_t (&image)[3], const double* cell, const Atom& atom,
                               Neighbor& out) const {
    out.j = work.order[at];
    double s[3];
    bool home = true;
    for (int c = 0; c < 3; ++c) {
      out.shift[c] = image[c] - work.sorted_wrap[3 * at + c] + atom.wrap[c];
      s[c] = out.shift[c];
      home &= out.shift[c] == 0;
    }
    if (home && out.j == atom.n) return false;
    double square = 0;
    for (int c = 0; c < 3; ++c) {
      const double translation = (s[0] * cell[c] + s[1] * cell[3 + c]) + s[2] * cell[6 + c];
      const double d = (work.sorted_pos[3 * at + c] - atom.pos[c]) + translation;
      square += d * d;
    }
    constexpr double kRounding = 1 + 1e-14;
    return square <= p.cutoff * p.cutoff * kRounding && std::sqrt(square) < p.cutoff;
  }
};

struct Summarise {
  static constexpr const char* kName = "summarise";
  static constexpr int kThreads = 32;
  NeighborParams p;
  const std::uint32_t* faults;
  PYFF_DEVICE void operator()(const simt::Block& block) const {
    if (block.thread() == 0) *p.summary = {p.row_ptr[p.n_atoms], static_cast<std::int64_t>(*faults)};
  }
};

// One warp per row: a pair's place is the number of pairs that come before it.
struct SortRows {
  static constexpr const char* kName = "sort rows";
  static constexpr int kThreads = 128;
  NeighborParams p;
  const Neighbor* found;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    const std::int64_t i = block.index() * (kThreads / simt::kWarp) + block.warp();
    if (i >= p.n_atoms) return;
    const std::int64_t begin = p.row_ptr[i], end = p.row_ptr[i + 1];
    for (std::int64_t e = begin + block.lane(); e < end; e += simt::kWarp) {
      const Neighbor mine = found[e];
      std::int64_t to = begin;
      for (std::int64_t k = begin; k < end; ++k) to += comes_before(found[k], mine);
      p.idx_i[to] = i;
      p.idx_j[to] = mine.j;
      for (int c = 0; c < 3; ++c) p.shift[3 * to + c] = mine.shift[c];
    }
  }
};

// The reversed pair (j, i, -shift), by bisection of row j.
struct FindReversed {
  static constexpr const char* kName = "find reversed edges";
  static constexpr int kThreads = 128;
  NeighborParams p;

  PYFF_DEVICE void operator()(const simt::Block& block) const {
    for (std::int64_t e = block.global_thread(); e < p.n_edges; e += block.global_threads()) {
      const std::int64_t j = p.idx_j[e];
      const Neighbor reversed{static_cast<std::int32_t>(p.idx_i[e]),
                              {-p.shift[3 * e], -p.shift[3 * e + 1], -p.shift[3 * e + 2]}};
      std::int64_t low = p.row_ptr[j], high = p.row_ptr[j + 1];
      while (low < high) {
        const std::int64_t middle = (low + high) / 2;
        if (comes_before(at(middle), reversed))
          low = middle + 1;
        else
          high = middle;
      }
      p.edge_rev[e] = low;
    }
  }

 private:
  PYFF_DEVICE Neighbor at(std::int64_t e) const {
    return {static_cast<std::int32_t>(p.idx_j[e]), {p.shift[3 * e], p.shift[3 * e + 1], p.shift[3 * e + 2]}};
  }
};

}  // namespace pyff::cuda
