#include "neighbors/particles.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/parallel.hpp"
#include "core/status.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace pyff {

using baseline::dot3;
using baseline::Lattice;
using baseline::parallel_ranges;

namespace {

// Beyond this float64 no longer resolves interatomic distances.
constexpr double kLargestPosition = 1e15;
constexpr double kLargestWrap = 1e9;  // shifts are int32
constexpr double kMaxParticles = 2147483000.0;
constexpr double kBytesPerParticle = 128;

struct Box {
  double lo[3], hi[3];
  void add(int axis, double v) {
    lo[axis] = std::min(lo[axis], v);
    hi[axis] = std::max(hi[axis], v);
  }
  void add(const Box& other) {
    for (int k = 0; k < 3; ++k) {
      lo[k] = std::min(lo[k], other.lo[k]);
      hi[k] = std::max(hi[k], other.hi[k]);
    }
  }
};

Box empty_box() {
  constexpr double inf = std::numeric_limits<double>::infinity();
  return {{inf, inf, inf}, {-inf, -inf, -inf}};
}

inline std::int64_t floor_to_int(double x) {
  const auto i = static_cast<std::int64_t>(x);
  return i - (x < static_cast<double>(i));
}
inline std::int64_t ceil_to_int(double x) { return -floor_to_int(-x); }

double largest_position(const Structure& s) {
  double largest = 0;
  bool ok = true;
  for (std::int64_t k = 0; k < 3 * s.n_atoms; ++k) {
    const double v = std::fabs(s.pos[k]);
    ok &= v <= kLargestPosition;  // false for NaN too
    largest = v > largest ? v : largest;
  }
  if (ok) return largest;
  for (std::int64_t k = 0; k < 3 * s.n_atoms; ++k) {
    PYFF_REQUIRE(std::isfinite(s.pos[k]), "positions must be finite; received " << s.pos[k] << " for atom " << k / 3);
    PYFF_REQUIRE(std::fabs(s.pos[k]) <= kLargestPosition,
                 "positions must lie within 1e15 A of the origin, where float64 still resolves distances; received "
                     << s.pos[k] << " for atom " << k / 3);
  }
  return largest;
}

Lattice checked_lattice(const Structure& s) {
  for (double v : s.cell)
    PYFF_REQUIRE(std::isfinite(v) && std::fabs(v) <= kLargestPosition,
                 "cell must be finite and below 1e15 A; received an entry " << v);
  Lattice lattice{};
  if (!s.pbc[0] && !s.pbc[1] && !s.pbc[2]) return lattice;  // not read
  const bool regular = baseline::make_lattice(s.cell, s.pbc, lattice);
  PYFF_REQUIRE(regular, "cell must have linearly independent, non-zero vectors along periodic axes; received rows ("
                            << s.cell[0] << ", " << s.cell[1] << ", " << s.cell[2] << "), (" << s.cell[3] << ", "
                            << s.cell[4] << ", " << s.cell[5] << "), (" << s.cell[6] << ", " << s.cell[7] << ", "
                            << s.cell[8] << ") with pbc = (" << s.pbc[0] << ", " << s.pbc[1] << ", " << s.pbc[2]
                            << "); set pbc to False along axes without a lattice vector");
  return lattice;
}

void copy_atoms(const Structure& s, const Particles& p) {
  for (std::int64_t i = 0; i < s.n_atoms; ++i) {
    for (int c = 0; c < 3; ++c) {
      p.coordinate[c][i] = s.pos[3 * i + c];
      p.shift[3 * i + c] = 0;
    }
    p.atom[i] = static_cast<std::int32_t>(i);
  }
}

// Fractional coordinates of the wrapped atoms, and boxes around them.
struct Wrapped {
  double* fractional[3];
  Box fractional_box, box;
};

void wrap_atom(const Structure& s, const Lattice& lattice, std::int64_t i, const Particles& p, Wrapped& w) {
  const double* r = s.pos + 3 * i;
  double out[3] = {r[0], r[1], r[2]};
  for (int k = 0; k < 3; ++k) {
    if (!lattice.periodic[k]) {
      p.shift[3 * i + k] = 0;
      continue;
    }
    const double f = dot3(lattice.inverse[k], r);
    PYFF_REQUIRE(std::fabs(f) < kLargestWrap,
                 "positions must lie within 1e9 cells of the origin along periodic axes; received atom "
                     << i << " at " << f << " cell vectors");
    const std::int64_t n = floor_to_int(f);
    p.shift[3 * i + k] = static_cast<std::int32_t>(-n);
    const double rest = f - static_cast<double>(n);
    w.fractional[k][i] = rest;
    w.fractional_box.add(k, rest);
    if (n != 0)
      for (int c = 0; c < 3; ++c) out[c] -= static_cast<double>(n) * s.cell[3 * k + c];
  }
  for (int c = 0; c < 3; ++c) {
    p.coordinate[c][i] = out[c];
    w.box.add(c, out[c]);
  }
  p.atom[i] = static_cast<std::int32_t>(i);
}

// All atoms, each thread its share.
void wrap_atoms(const Structure& s, const Lattice& lattice, int threads, const Particles& p, Wrapped& w) {
  std::vector<Wrapped> parts(static_cast<std::size_t>(std::max(1, threads)), w);
  parallel_ranges(threads, s.n_atoms, [&](int chunk, std::int64_t begin, std::int64_t end) {
    Wrapped part = w;
    for (std::int64_t i = begin; i < end; ++i) wrap_atom(s, lattice, i, p, part);
    parts[static_cast<std::size_t>(chunk)] = part;
  });
  for (const Wrapped& part : parts) {
    w.fractional_box.add(part.fractional_box);
    w.box.add(part.box);
  }
}

// Images of an atom needed along axis k, counted from the wrapped atom: first .. last, within +-2e9.
struct ImageRange {
  std::int32_t atom;
  std::int32_t first[3], last[3];
};

struct ImageFinder {
  const Lattice& lattice;
  const Wrapped& wrapped;
  double low[3], high[3];  // fractional bounds within which an image may have neighbors

  ImageFinder(const Lattice& l, const Wrapped& w, double reach) : lattice(l), wrapped(w) {
    for (int k = 0; k < 3; ++k) {
      if (!l.periodic[k]) continue;
      const double f = reach / l.height[k] * (1 + 1e-9) + 1e-9;
      low[k] = w.fractional_box.lo[k] - f;
      high[k] = w.fractional_box.hi[k] + f;
    }
  }

  // False where only the atom itself is needed.
  bool range(std::int64_t i, ImageRange& out) const {
    out = {static_cast<std::int32_t>(i), {0, 0, 0}, {0, 0, 0}};
    bool any = false;
    for (int k = 0; k < 3; ++k) {
      if (!lattice.periodic[k]) continue;
      const double f = wrapped.fractional[k][i];
      if (f - 1 < low[k] && f + 1 > high[k]) continue;
      out.first[k] = static_cast<std::int32_t>(ceil_to_int(std::max(low[k] - f, -2 * kLargestWrap)));
      out.last[k] = static_cast<std::int32_t>(floor_to_int(std::min(high[k] - f, 2 * kLargestWrap)));
      any = true;
    }
    return any;
  }
};

// The atoms that have images, and how many there are at most.
struct ImagedAtoms {
  ImageRange* range;
  std::int64_t n;
  double n_images;
};

ImagedAtoms find_images(const ImageFinder& finder, std::int64_t n_atoms, Arena& arena) {
  ImagedAtoms found{arena.allocate<ImageRange>(n_atoms), 0, 0};
  for (std::int64_t i = 0; i < n_atoms; ++i) {
    ImageRange& r = found.range[found.n];
    if (!finder.range(i, r)) continue;
    ++found.n;
    double n = 1;
    for (int k = 0; k < 3; ++k) n *= static_cast<double>(r.last[k]) - static_cast<double>(r.first[k]) + 1;
    found.n_images += n - 1;
  }
  return found;
}

// Appends the images of an atom that lie within reach of the atoms' Cartesian box.
void add_images(const Structure& s, const ImageRange& r, const Box& box, double reach, Particles& p) {
  const std::int64_t i = r.atom;
  const double at[3] = {p.coordinate[0][i], p.coordinate[1][i], p.coordinate[2][i]};
  for (std::int32_t a = r.first[0]; a <= r.last[0]; ++a)
    for (std::int32_t b = r.first[1]; b <= r.last[1]; ++b) {
      double plane[3];
      for (int x = 0; x < 3; ++x)
        plane[x] = at[x] + (static_cast<double>(a) * s.cell[x] + static_cast<double>(b) * s.cell[3 + x]);
      for (std::int32_t c = r.first[2]; c <= r.last[2]; ++c) {
        if (a == 0 && b == 0 && c == 0) continue;
        double image[3], d2 = 0;
        for (int x = 0; x < 3; ++x) {
          image[x] = plane[x] + static_cast<double>(c) * s.cell[6 + x];
          const double out = std::max(0.0, std::max(box.lo[x] - image[x], image[x] - box.hi[x]));
          d2 += out * out;
        }
        if (d2 > reach * reach * (1 + 1e-9)) continue;
        const std::int64_t m = p.n_particles++;
        for (int x = 0; x < 3; ++x) p.coordinate[x][m] = image[x];
        const std::int32_t shift[3] = {a, b, c};
        for (int x = 0; x < 3; ++x) p.shift[3 * m + x] = p.shift[3 * i + x] + shift[x];
        p.atom[m] = static_cast<std::int32_t>(i);
      }
    }
}

Particles allocate_particles(std::int64_t n_atoms, std::int64_t capacity, Arena& arena) {
  Particles p{n_atoms, n_atoms, {}, nullptr, nullptr, 0};
  for (double*& x : p.coordinate) x = arena.allocate<double>(capacity);
  p.shift = arena.allocate<std::int32_t>(3 * capacity);
  p.atom = arena.allocate<std::int32_t>(capacity);
  return p;
}

// The same particles with room for the images.
Particles enlarge(const Particles& old, std::int64_t capacity, Arena& arena) {
  Particles p = allocate_particles(old.n_atoms, capacity, arena);
  for (int k = 0; k < 3; ++k) std::copy_n(old.coordinate[k], old.n_atoms, p.coordinate[k]);
  std::copy_n(old.shift, 3 * old.n_atoms, p.shift);
  std::copy_n(old.atom, old.n_atoms, p.atom);
  p.margin = old.margin;
  return p;
}

double rounding_margin(double largest_given, const Structure& s, double cutoff) {
  double largest = largest_given + cutoff;
  for (int k = 0; k < 3; ++k)
    if (s.pbc[k])
      largest += 2 * (std::fabs(s.cell[3 * k]) + std::fabs(s.cell[3 * k + 1]) + std::fabs(s.cell[3 * k + 2]));
  return 16 * std::numeric_limits<double>::epsilon() * largest;
}

}  // namespace

double physical_memory() {
#if defined(_SC_PHYS_PAGES) && defined(_SC_PAGESIZE)
  static const double bytes = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  if (bytes > 0) return bytes;
#endif
  return 6.4e10;
}

Particles make_particles(const Structure& s, double cutoff, int threads, Arena& arena) {
  const double largest = largest_position(s);
  const bool open = !s.pbc[0] && !s.pbc[1] && !s.pbc[2];
  const Lattice lattice = checked_lattice(s);
  PYFF_REQUIRE(static_cast<double>(s.n_atoms) < kMaxParticles,
               "positions must hold fewer than 2^31 atoms; received " << s.n_atoms);
  Particles p = allocate_particles(s.n_atoms, s.n_atoms, arena);
  p.margin = rounding_margin(largest, s, cutoff);
  Wrapped w{{}, empty_box(), empty_box()};
  if (open) {
    copy_atoms(s, p);
    return p;
  }
  for (double*& f : w.fractional) f = arena.allocate<double>(s.n_atoms);
  wrap_atoms(s, lattice, threads, p, w);
  if (s.n_atoms == 0) return p;

  const double reach = cutoff + p.margin;
  const ImagedAtoms imaged = find_images(ImageFinder(lattice, w, reach), s.n_atoms, arena);
  const double total = imaged.n_images + static_cast<double>(s.n_atoms);
  PYFF_REQUIRE(total < kMaxParticles && total * kBytesPerParticle < physical_memory(),
               "cutoff must be small enough for the periodic images to fit in memory; received "
                   << cutoff << " A for a cell with heights (" << lattice.height[0] << ", " << lattice.height[1] << ", "
                   << lattice.height[2] << ") A, which asks for " << imaged.n_images << " images");
  p = enlarge(p, s.n_atoms + static_cast<std::int64_t>(imaged.n_images), arena);
  for (std::int64_t k = 0; k < imaged.n; ++k) add_images(s, imaged.range[k], w.box, reach, p);
  return p;
}

}  // namespace pyff
