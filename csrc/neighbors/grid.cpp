#include "neighbors/grid.hpp"

#include <algorithm>
#include <cmath>

#include "core/parallel.hpp"

namespace pyff {

using baseline::parallel_ranges;

namespace {

// Systems with fewer particles than this are one bin: all of them fit in a few vectors.
constexpr std::int64_t kOneBin = 160;
// Bins are made this many particles full, as far as integer fractions of the cutoff allow: fewer, and packing the
// candidates of a bin costs more than testing them.
constexpr double kParticlesPerBin = 10;
constexpr double kLargestFraction = 4;
constexpr double kMostBins = 1 << 30;  // bins are counted in int32
constexpr std::int64_t kPadding = 32;  // the hot loop reads whole vectors

struct Axis {
  const double* coordinate;  // [M], possibly with gaps closed
  double lo, extent, per_length;
  std::int32_t bins, reach;

  std::int32_t bin_of(std::int64_t m) const {
    const double at = (coordinate[m] - lo) * per_length;
    return at < bins ? static_cast<std::int32_t>(at) : bins - 1;
  }
};

// All axes in one loop: six independent chains of comparisons instead of one after the other.
void measure(Axis (&axes)[3], std::int64_t n) {
  double lo[3], hi[3];
  for (int k = 0; k < 3; ++k) lo[k] = hi[k] = axes[k].coordinate[0];
  for (std::int64_t m = 1; m < n; ++m)
    for (int k = 0; k < 3; ++k) {
      const double v = axes[k].coordinate[m];
      lo[k] = v < lo[k] ? v : lo[k];
      hi[k] = v > hi[k] ? v : hi[k];
    }
  for (int k = 0; k < 3; ++k) {
    axes[k].lo = lo[k];
    axes[k].extent = hi[k] - lo[k];
  }
}

// Replaces empty stretches longer than the radius by one radius: no pair reaches across either. A few atoms far away
// then cost a few bins and not a grid of the size of the void.
void close_gaps(Axis& axis, std::int64_t n, double radius, Arena& scratch) {
  double* sorted = scratch.allocate<double>(n);
  double* begin = scratch.allocate<double>(n);   // of each stretch of particles without a gap
  double* offset = scratch.allocate<double>(n);  // its new begin, relative to the axis' own
  double* closed = scratch.allocate<double>(n);
  std::copy_n(axis.coordinate, n, sorted);
  std::sort(sorted, sorted + n);
  std::int64_t stretches = 1;
  begin[0] = sorted[0];
  offset[0] = 0;
  const double gap = 1.001 * radius;
  for (std::int64_t k = 1; k < n; ++k) {
    if (sorted[k] - sorted[k - 1] <= gap) continue;
    begin[stretches] = sorted[k];
    offset[stretches] = offset[stretches - 1] + (sorted[k - 1] - begin[stretches - 1]) + gap;
    ++stretches;
  }
  for (std::int64_t m = 0; m < n; ++m) {
    const auto k = std::upper_bound(begin, begin + stretches, axis.coordinate[m]) - begin - 1;
    closed[m] = offset[k] + (axis.coordinate[m] - begin[k]);
  }
  axis.coordinate = closed;
}

double bins_for(const Axis& axis, double width) { return std::max(1.0, std::floor(axis.extent / width)); }

// Chooses the number of bins of each axis; `limit` bounds their product.
bool choose_bins(Axis (&axes)[3], std::int64_t n, double radius, double limit) {
  double volume = 1;
  for (const Axis& a : axes) volume *= std::max(a.extent, radius);
  const double in_cutoff_cube = static_cast<double>(n) / volume * radius * radius * radius;
  const double fraction =
      std::min(kLargestFraction, std::max(1.0, std::round(std::cbrt(in_cutoff_cube / kParticlesPerBin))));
  double bins[3];
  for (int k = 0; k < 3; ++k) bins[k] = bins_for(axes[k], radius / fraction);
  const bool fits = bins[0] * bins[1] * bins[2] <= limit;
  while (bins[0] * bins[1] * bins[2] > limit) {
    double& largest = *std::max_element(bins, bins + 3);
    largest = std::max(1.0, std::floor(std::min(largest / 2, limit)));
  }
  for (int k = 0; k < 3; ++k) {
    Axis& a = axes[k];
    a.bins = static_cast<std::int32_t>(bins[k]);
    a.per_length = a.extent > 0 ? a.bins / a.extent : 0;
    const double reach = std::ceil(radius * a.per_length * (1 + 1e-9));
    a.reach = static_cast<std::int32_t>(std::min<double>(reach, a.bins - 1));
  }
  return fits;
}

void choose_axes(Axis (&axes)[3], const Particles& p, double radius, Arena& scratch) {
  for (int k = 0; k < 3; ++k) axes[k] = {p.coordinate[k], 0, 0, 0, 1, 0};
  if (p.n_particles <= kOneBin) return;
  measure(axes, p.n_particles);
  const double limit = std::min(kMostBins, std::max(64.0, 2.0 * static_cast<double>(p.n_particles)));
  if (choose_bins(axes, p.n_particles, radius, limit)) return;
  for (Axis& a : axes)
    if (a.extent > 8 * radius) close_gaps(a, p.n_particles, radius, scratch);
  measure(axes, p.n_particles);
  choose_bins(axes, p.n_particles, radius, limit);
}

// Counting sort, stable: within a bin the atoms keep their order and come before the images.
struct Sorter {
  const Particles& p;
  std::int64_t n_bins;
  std::int32_t* bin;         // [M]
  std::int32_t* start;       // [bins + 1]
  std::int32_t* home_start;  // [bins + 1]

  void count(const Axis (&axes)[3]) {
    std::fill_n(start, n_bins + 1, 0);
    std::fill_n(home_start, n_bins + 1, 0);
    for (std::int64_t m = 0; m < p.n_particles; ++m) {
      const std::int64_t b =
          (std::int64_t{axes[0].bin_of(m)} * axes[1].bins + axes[1].bin_of(m)) * axes[2].bins + axes[2].bin_of(m);
      bin[m] = static_cast<std::int32_t>(b);
      ++start[b + 1];
      if (m + 1 == p.n_atoms) std::copy_n(start, n_bins + 1, home_start);
    }
    for (std::int64_t b = 0; b < n_bins; ++b) {
      start[b + 1] += start[b];
      home_start[b + 1] += home_start[b];
    }
  }

  void list_homes(std::int32_t* home) const {
    for (std::int64_t b = 0; b < n_bins; ++b)
      for (std::int32_t h = home_start[b], m = start[b]; h < home_start[b + 1]; ++h, ++m) home[h] = m;
  }

  // The particles of bins [begin, end). Each thread places those of its own bins: it is the one that will scan them,
  // and lines of memory that two cores write to are slow.
  void place(const double* pos, std::int32_t* next, double* const (&out)[3], NeighborParticle* particle,
             std::int64_t begin, std::int64_t end) const {
    std::copy(start + begin, start + end, next + begin);
    for (std::int64_t m = 0; m < p.n_particles; ++m) {
      if (bin[m] < begin || bin[m] >= end) continue;
      const std::int32_t to = next[bin[m]]++;
      for (int k = 0; k < 3; ++k) out[k][to] = p.coordinate[k][m];
      const double* r = pos + 3 * std::int64_t{p.atom[m]};
      const std::int32_t* s = p.shift + 3 * m;
      particle[to] = {{r[0], r[1], r[2], 0}, {s[0], s[1], s[2]}, p.atom[m]};
    }
  }
};

}  // namespace

NeighborCells make_cells(const Structure& structure, const Particles& p, double cutoff, int threads, Arena& keep,
                         Arena& scratch) {
  NeighborCells cells{};
  const std::int64_t n = p.n_particles;
  cells.n_particles = n;
  cells.search_radius = cutoff + p.margin;
  Axis axes[3];
  choose_axes(axes, p, cells.search_radius, scratch);
  for (int k = 0; k < 3; ++k) {
    cells.bins[k] = axes[k].bins;
    cells.reach[k] = axes[k].reach;
  }
  const std::int64_t n_bins = std::int64_t{axes[0].bins} * axes[1].bins * axes[2].bins;
  Sorter sorter{p, n_bins, scratch.allocate<std::int32_t>(n), keep.allocate<std::int32_t>(n_bins + 1),
                keep.allocate<std::int32_t>(n_bins + 1)};
  sorter.count(axes);
  auto* home = keep.allocate<std::int32_t>(p.n_atoms);
  sorter.list_homes(home);
  double* sorted[3];
  for (double*& x : sorted) {
    x = keep.allocate<double>(n + kPadding);
    std::fill_n(x + n, kPadding, 0.0);
  }
  auto* particle = keep.allocate<NeighborParticle>(n);
  auto* next = scratch.allocate<std::int32_t>(n_bins);
  parallel_ranges(threads, n_bins, [&](int, std::int64_t begin, std::int64_t end) {
    sorter.place(structure.pos, next, sorted, particle, begin, end);
  });
  cells.x = sorted[0], cells.y = sorted[1], cells.z = sorted[2];
  cells.particle = particle;
  cells.bin_start = sorter.start;
  cells.bin_home_start = sorter.home_start;
  cells.home = home;
  return cells;
}

}  // namespace pyff
