// Visiting pairs. Each thread owns a contiguous range of receivers and writes only their rows. A pair with both ends
// in the range is visited once: what is symmetric serves both directions. A pair that crosses ranges is visited by
// both threads, so no output is shared and results are the same on every run with the same number of threads.
#pragma once

#include "api/pyff.hpp"

namespace pyff::PYFF_ISA {

struct Pair {
  std::int64_t i, j;      // receiver, sender
  std::int64_t edge;      // i <- j
  std::int64_t reversed;  // j <- i
  bool both;              // both directions belong to this thread
};

// First receiver of a chunk, so that chunks have about the same number of edges.
inline std::int64_t chunk_begin(const Graph& g, int chunk, int chunks) {
  const std::int64_t target = g.n_edges * chunk / chunks + g.n_atoms * chunk / chunks;
  std::int64_t low = 0, high = g.n_atoms;
  while (low < high) {  // first row whose edges and atoms before it reach the target
    const std::int64_t mid = (low + high) / 2;
    if (g.row_ptr[mid] + mid < target)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

// Calls flush(pairs, count) for tiles of those pairs of receivers [begin, end) that keep(pair) accepts.
template <int Tile, class Keep, class Flush>
void for_tiles(const Graph& g, std::int64_t begin, std::int64_t end, Keep&& keep, Flush&& flush) {
  Pair pairs[Tile];
  int count = 0;
  for (std::int64_t i = begin; i < end; ++i)
    for (std::int64_t e = g.row_ptr[i]; e < g.row_ptr[i + 1]; ++e) {
      const std::int64_t j = g.idx_j[e], reversed = g.edge_rev[e];
      const bool both = j >= begin && j < end;
      if (both && reversed < e) continue;
      pairs[count] = {i, j, e, reversed, both};
      if (!keep(pairs[count])) continue;
      if (++count == Tile) {
        flush(pairs, count);
        count = 0;
      }
    }
  if (count) flush(pairs, count);
}

}  // namespace pyff::PYFF_ISA
