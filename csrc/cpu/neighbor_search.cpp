// Pass 1 of the neighbor list: the particles within the cutoff of each atom, as indices.
//
// All atoms of a bin share one packed list of candidates: the particles of the surrounding bins that lie within the
// search radius of the bin's atoms, as float coordinates relative to the bin's centre. Single precision decides all
// pairs but those within a relative 4e-6 of the cutoff, which are decided again by the formula of the output.
#include "cpu/neighbor_lanes.hpp"
#include "cpu/neighbor_pair.hpp"

namespace pyff::PYFF_ISA {
namespace {

// |error| of the float d^2 relative to the cutoff's, for atoms within kWideTile search radii of the tile's centre
// and candidates within one search radius of them: 2 sqrt(3) (7e-7) + rounding of the sum < 3e-6.
constexpr double kFloatBand = 4e-6;
constexpr double kWideTile = 2.0;

// Atoms that share candidates, and the box around them.
struct Tile {
  std::int64_t home_begin, home_end;
  double center[3];
  float half[3];
};

struct Candidates {
  float *x, *y, *z;
  std::int32_t* index;
  std::int64_t n;
};

struct Window {  // bins begin .. end - 1 of each axis
  std::int32_t begin[3], end[3];
};

Window window_of(const NeighborCells& cells, std::int64_t bin) {
  const std::int32_t at[3] = {static_cast<std::int32_t>(bin / (std::int64_t{cells.bins[1]} * cells.bins[2])),
                              static_cast<std::int32_t>(bin / cells.bins[2] % cells.bins[1]),
                              static_cast<std::int32_t>(bin % cells.bins[2])};
  Window w;
  for (int k = 0; k < 3; ++k) {
    w.begin[k] = at[k] > cells.reach[k] ? at[k] - cells.reach[k] : 0;
    w.end[k] = at[k] + cells.reach[k] < cells.bins[k] ? at[k] + cells.reach[k] + 1 : cells.bins[k];
  }
  return w;
}

// body(begin, end) for each contiguous run of particles in the window.
template <class Body>
inline void for_each_run(const NeighborCells& cells, const Window& w, Body&& body) {
  for (std::int32_t bx = w.begin[0]; bx < w.end[0]; ++bx)
    for (std::int32_t by = w.begin[1]; by < w.end[1]; ++by) {
      const std::int64_t row = (std::int64_t{bx} * cells.bins[1] + by) * cells.bins[2];
      const std::int32_t begin = cells.bin_start[row + w.begin[2]], end = cells.bin_start[row + w.end[2]];
      if (begin < end) body(begin, end);
    }
}

// Smallest and largest of n > 0 values.
void range_of(const double* x, std::int64_t n, double& lo, double& hi) {
  lo = hi = x[0];
  std::int64_t k = 1;
  if (n > 2 * kLanes<double>) {
    DoubleVec low = load(x), high = low;
    for (k = kLanes<double>; k + kLanes<double> <= n; k += kLanes<double>) {
      const DoubleVec v = load(x + k);
      low = select(v < low, v, low);
      high = select(v > high, v, high);
    }
    for (int lane = 0; lane < kLanes<double>; ++lane) {
      lo = low[lane] < lo ? low[lane] : lo;
      hi = high[lane] > hi ? high[lane] : hi;
    }
  }
  for (; k < n; ++k) {
    lo = x[k] < lo ? x[k] : lo;
    hi = x[k] > hi ? x[k] : hi;
  }
}

// The atoms of a bin are consecutive particles.
Tile tile_around(const NeighborCells& cells, std::int64_t home_begin, std::int64_t home_end) {
  Tile t{home_begin, home_end, {}, {}};
  const double* coordinate[3] = {cells.x, cells.y, cells.z};
  for (int k = 0; k < 3; ++k) {
    double lo, hi;
    range_of(coordinate[k] + cells.home[home_begin], home_end - home_begin, lo, hi);
    t.center[k] = 0.5 * (lo + hi);
    // rounded up: the box must hold the atoms
    t.half[k] = static_cast<float>(0.5 * (hi - lo)) * (1 + 1e-6f);
  }
  return t;
}

bool is_wide(const Tile& t, double search_radius) {
  const float limit = static_cast<float>(kWideTile * search_radius);
  return t.home_end - t.home_begin > 1 && (t.half[0] > limit || t.half[1] > limit || t.half[2] > limit);
}

inline FloatVec relative(const double* x, double center) {
  float out[kFloatLanes];
  for (int k = 0; k < kFloatLanes; ++k) out[k] = static_cast<float>(x[k] - center);
  return load(out);
}

inline FloatVec outside(FloatVec x, float half) {  // distance from the interval [-half, half]
  return larger(abs_of(x) - half, FloatVec{});
}

// Packs the particles within the search radius of the tile's box.
void gather(const NeighborCells& cells, const Window& w, const Tile& tile, Candidates& c) {
  const double radius = cells.search_radius;
  const FloatVec limit = splat(static_cast<float>(radius * radius * (1 + 4 * kFloatBand)));
  IntVec lane;
  for (int k = 0; k < kFloatLanes; ++k) lane[k] = k;
  std::int64_t n = 0;
  for_each_run(cells, w, [&](std::int32_t begin, std::int32_t end) {
    for (std::int32_t p = begin; p < end; p += kFloatLanes) {
      const FloatVec x = relative(cells.x + p, tile.center[0]), y = relative(cells.y + p, tile.center[1]),
                     z = relative(cells.z + p, tile.center[2]);
      const FloatVec dx = outside(x, tile.half[0]), dy = outside(y, tile.half[1]), dz = outside(z, tile.half[2]);
      Mask m = less(square_sum(dx, dy, dz), limit);
      if (end - p < kFloatLanes) m &= (Mask{1} << (end - p)) - 1;
      pack_store(c.x + n, x, m);
      pack_store(c.y + n, y, m);
      pack_store(c.z + n, z, m);
      pack_store(c.index + n, lane + p, m);
      n += count_bits(m);
    }
  });
  c.n = n;
  for (int k = 0; k < kFloatLanes; ++k) {  // fills the last vector with particles that are never near
    c.x[n + k] = c.y[n + k] = c.z[n + k] = 1e18f;
    c.index[n + k] = -1;
  }
}

// Upper bound of the pair's own cutoff.
inline double pair_cutoff(const NeighborRule& rule, std::int32_t i, std::int32_t j) {
  if (rule.radius) return rule.radius[i] + rule.radius[j];
  if (rule.table) return rule.table[rule.species[i] * rule.n_species + rule.species[j]];
  return rule.cutoff;
}

// Keeps the hits that the output's formula and the rule accept. Returns their number.
std::int64_t refine(const NeighborCells& cells, const NeighborRule& rule, std::int32_t self, std::int32_t* hits,
                    std::int64_t n) {
  std::int64_t kept = 0;
  const NeighborParticle& i = cells.particle[self];
  for (std::int64_t k = 0; k < n; ++k) {
    const NeighborParticle& j = cells.particle[hits[k]];
    const PairVector pair = pair_vector(i, j, rule);
    const bool keep =
        pair.distance < pair_cutoff(rule, i.atom, j.atom) && (!rule.half || is_chosen_half(i.atom, j.atom, pair.shift));
    hits[kept] = hits[k];
    kept += keep;
  }
  return kept;
}

struct Thresholds {
  FloatVec certain, possible;  // d^2 below: certainly a pair; not below: certainly none
  bool always_refine;
};

Thresholds thresholds_of(const NeighborRule& rule) {
  const double inner = rule.cutoff > rule.margin ? rule.cutoff - rule.margin : 0, outer = rule.cutoff + rule.margin;
  return {splat(static_cast<float>(inner * inner * (1 - kFloatBand))),
          splat(static_cast<float>(outer * outer * (1 + kFloatBand))),
          rule.half || rule.radius != nullptr || rule.table != nullptr};
}

// Neighbors of one atom among the candidates; `excluded` is its own particle or -1.
inline std::int64_t scan_row(const Candidates& c, const Thresholds& t, const float* at, std::int32_t excluded,
                             std::int32_t* hits, bool& uncertain) {
  const IntVec self = IntVec{} + excluded;
  Mask doubt = 0;
  std::int64_t n = 0;
  for (std::int64_t k = 0; k < c.n; k += kFloatLanes) {
    const FloatVec dx = load(c.x + k) - at[0], dy = load(c.y + k) - at[1], dz = load(c.z + k) - at[2];
    const FloatVec d2 = square_sum(dx, dy, dz);
    IntVec index;
    std::memcpy(&index, c.index + k, sizeof index);
    const Mask possible = less(d2, t.possible);
    doubt |= possible & ~less(d2, t.certain);
    const Mask m = possible & differs(index, self);
    pack_store(hits + n, index, m);
    n += count_bits(m);
  }
  uncertain = doubt != 0;
  return n;
}

// False if hits may overflow: everything up to state.home is done.
bool scan_tile(const NeighborScanParams& p, const Thresholds& t, const Tile& tile, const Candidates& c) {
  NeighborScanState& s = *p.state;
  for (std::int64_t h = tile.home_begin; h < tile.home_end; ++h) {
    if (p.hits_capacity - s.n_hits < c.n + kFloatLanes) {
      s.hits_full = true;
      return false;
    }
    const std::int32_t self = p.cells.home[h];
    const float at[3] = {static_cast<float>(p.cells.x[self] - tile.center[0]),
                         static_cast<float>(p.cells.y[self] - tile.center[1]),
                         static_cast<float>(p.cells.z[self] - tile.center[2])};
    std::int32_t* hits = p.hits + s.n_hits;
    bool uncertain;
    std::int64_t n = scan_row(c, t, at, p.rule.self_interaction ? -1 : self, hits, uncertain);
    if (uncertain || t.always_refine) n = refine(p.cells, p.rule, self, hits, n);
    p.row_length[p.cells.particle[self].atom] = n;
    s.n_hits += n;
    s.home = h + 1;
  }
  return true;
}

// One bin's atoms, or as many of them as belong to this scan.
bool scan_bin(const NeighborScanParams& p, const Thresholds& t, std::int64_t home_end) {
  NeighborScanState& s = *p.state;
  const Window w = window_of(p.cells, s.bin);
  std::int64_t needed = 2 * kFloatLanes;
  for_each_run(p.cells, w, [&](std::int32_t begin, std::int32_t end) { needed += end - begin; });
  if (needed > p.candidate_capacity) {
    s.candidates_needed = needed;
    return false;
  }
  const std::int64_t stride = p.candidate_capacity;
  Candidates c{p.candidate, p.candidate + stride, p.candidate + 2 * stride, p.candidate_index, 0};
  while (s.home < home_end) {
    Tile tile = tile_around(p.cells, s.home, home_end);
    if (is_wide(tile, p.cells.search_radius)) tile = tile_around(p.cells, s.home, s.home + 1);
    gather(p.cells, w, tile, c);
    if (!scan_tile(p, t, tile, c)) return false;
  }
  return true;
}

}  // namespace

void neighbor_scan(const NeighborScanParams& p) {
  NeighborScanState& s = *p.state;
  const Thresholds t = thresholds_of(p.rule);
  while (s.home < p.home_end) {
    while (p.cells.bin_home_start[s.bin + 1] <= s.home) ++s.bin;
    const std::int64_t bin_end = p.cells.bin_home_start[s.bin + 1];
    if (!scan_bin(p, t, bin_end < p.home_end ? bin_end : p.home_end)) return;
  }
}

}  // namespace pyff::PYFF_ISA
