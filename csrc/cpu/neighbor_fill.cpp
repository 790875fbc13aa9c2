// Pass 2 of the neighbor list: hits become i, j, S, D, d at their final place, and reversed edges are found.
#include "cpu/neighbor_lanes.hpp"
#include "cpu/neighbor_pair.hpp"

namespace pyff::PYFF_ISA {
namespace {

typedef double Double4 __attribute__((vector_size(32)));
typedef std::int32_t Int4 __attribute__((vector_size(16)));

struct Row {
  std::int64_t begin, n;
  const std::int32_t* hits;
  const NeighborParticle* self;
};

// Linear in j and shift, so that nearby shifts of one j differ; other pairs may share a key.
inline std::uint32_t key_of(std::int64_t j, std::int32_t s0, std::int32_t s1, std::int32_t s2) {
  return static_cast<std::uint32_t>(j) * 512u +
         (static_cast<std::uint32_t>(s0) * 8u + static_cast<std::uint32_t>(s1)) * 8u + static_cast<std::uint32_t>(s2);
}

// One pass over the row for everything that is an integer. Four lanes per shift, the fourth overwritten by the next
// pair; the row's last pair is written exactly, because the next row may be there already.
template <bool Shift, bool Key>
void fill_integers(const NeighborFillParams& p, const Row& row) {
  const std::int64_t i = row.self->atom + p.atom_offset;
  std::int64_t* idx_i = p.idx_i + row.begin;
  std::int64_t* idx_j = p.idx_j + row.begin;
  std::int32_t* shift = p.shift + 3 * row.begin;
  Int4 self, s;
  std::memcpy(&self, row.self->shift, sizeof self);
  const std::uint32_t self_key = key_of(-p.atom_offset, self[0], self[1], self[2]);
  for (std::int64_t k = 0; k < row.n; ++k) {
    const NeighborParticle& particle = p.cells.particle[row.hits[k]];
    const std::int64_t j = particle.atom + p.atom_offset;
    idx_i[k] = i;
    idx_j[k] = j;
    if (Shift) {
      std::memcpy(&s, particle.shift, sizeof s);
      s -= self;
      if (k + 1 < row.n)
        std::memcpy(shift + 3 * k, &s, sizeof s);
      else
        std::memcpy(shift + 3 * k, &s, 3 * sizeof(std::int32_t));
    }
    if (Key) {
      const std::int32_t* t = particle.shift;
      p.key[row.begin + k] = key_of(particle.atom, t[0], t[1], t[2]) - self_key;
    }
  }
}

void fill_some_integers(const NeighborFillParams& p, const Row& row) {
  for (std::int64_t k = 0; k < row.n; ++k) {
    const NeighborParticle& j = p.cells.particle[row.hits[k]];
    if (p.idx_i) p.idx_i[row.begin + k] = row.self->atom + p.atom_offset;
    if (p.idx_j) p.idx_j[row.begin + k] = j.atom + p.atom_offset;
    if (p.shift)
      for (int c = 0; c < 3; ++c) p.shift[3 * (row.begin + k) + c] = j.shift[c] - row.self->shift[c];
  }
}

// D of pair_vector, all components at once.
template <bool Periodic>
inline void vector_of(const NeighborParticle& j, const NeighborParticle& i, const Double4* cell, Double4& out) {
  Double4 a, b;
  std::memcpy(&a, j.pos, sizeof a);
  std::memcpy(&b, i.pos, sizeof b);
  out = a - b;
  if (Periodic) {
    const double s0 = j.shift[0] - i.shift[0], s1 = j.shift[1] - i.shift[1], s2 = j.shift[2] - i.shift[2];
    out += (s0 * cell[0] + s1 * cell[1]) + s2 * cell[2];
  }
}

template <bool Periodic>
void fill_vectors(const NeighborFillParams& p, const Row& row, double* out) {
  if (row.n == 0) return;
  const double* c = p.rule.cell;
  const Double4 cell[3] = {{c[0], c[1], c[2], 0}, {c[3], c[4], c[5], 0}, {c[6], c[7], c[8], 0}};
  Double4 d;
  for (std::int64_t k = 0; k < row.n - 1; ++k) {
    vector_of<Periodic>(p.cells.particle[row.hits[k]], *row.self, cell, d);
    std::memcpy(out + 3 * k, &d, sizeof d);
  }
  vector_of<Periodic>(p.cells.particle[row.hits[row.n - 1]], *row.self, cell, d);
  std::memcpy(out + 3 * (row.n - 1), &d, 3 * sizeof(double));
}

void fill_distances(const double* PYFF_RESTRICT vec, double* PYFF_RESTRICT distance, std::int64_t n) {
  for (std::int64_t k = 0; k < n; ++k) {
    const double x = vec[3 * k], y = vec[3 * k + 1], z = vec[3 * k + 2];
    distance[k] = __builtin_sqrt((x * x + y * y) + z * z);
  }
}

void fill_geometry(const NeighborFillParams& p, const Row& row) {
  if (p.vec) {
    double* vec = p.vec + 3 * row.begin;
    p.rule.periodic ? fill_vectors<true>(p, row, vec) : fill_vectors<false>(p, row, vec);
    if (p.distance) fill_distances(vec, p.distance + row.begin, row.n);
    return;
  }
  if (!p.distance) return;
  for (std::int64_t k = 0; k < row.n; ++k)
    p.distance[row.begin + k] = pair_vector(*row.self, p.cells.particle[row.hits[k]], p.rule).distance;
}

// First position from `begin` on whose key is wanted; end if there is none. Reads whole vectors: the keys are padded.
inline std::int64_t find_key(const std::uint32_t* key, std::int64_t begin, std::int64_t end, std::uint32_t wanted) {
  const IntVec w = IntVec{} + static_cast<std::int32_t>(wanted);
  for (std::int64_t k = begin; k < end; k += kFloatLanes) {
    IntVec v;
    std::memcpy(&v, key + k, sizeof v);
    const Mask hit = kAllLanes & ~differs(v, w);
    if (hit) {
      const std::int64_t at = k + __builtin_ctz(hit);
      return at < end ? at : end;
    }
  }
  return end;
}

void pair_with_reverse(const NeighborReverseParams& p, std::int64_t i, std::int64_t e) {
  const std::int64_t j = p.idx_j[e], end = p.row_ptr[j + 1];
  const std::int32_t* s = p.shift + 3 * e;
  const std::uint32_t wanted = key_of(i, -s[0], -s[1], -s[2]);
  std::int64_t k = find_key(p.key, p.row_ptr[j], end, wanted);
  // different pairs may share a key
  while (k < end && !(p.idx_j[k] == i && p.shift[3 * k] == -s[0] && p.shift[3 * k + 1] == -s[1] &&
                      p.shift[3 * k + 2] == -s[2]))
    k = find_key(p.key, k + 1, end, wanted);
  p.edge_rev[e] = k;
  p.edge_rev[k] = e;
}

}  // namespace

void neighbor_fill(const NeighborFillParams& p) {
  const std::int32_t* hits = p.hits;
  for (std::int64_t h = p.home_begin; h < p.home_end; ++h) {
    const NeighborParticle& self = p.cells.particle[p.cells.home[h]];
    const std::int64_t begin = p.row_ptr[self.atom];
    const Row row{begin, p.row_ptr[self.atom + 1] - begin, hits, &self};
    if (!p.idx_i || !p.idx_j || (p.key && !p.shift))
      fill_some_integers(p, row);
    else if (p.shift)
      p.key ? fill_integers<true, true>(p, row) : fill_integers<true, false>(p, row);
    else
      fill_integers<false, false>(p, row);
    fill_geometry(p, row);
    hits += row.n;
  }
}

void neighbor_reverse(const NeighborReverseParams& p) {
  for (std::int64_t i = p.row_begin; i < p.row_end; ++i)
    for (std::int64_t e = p.row_ptr[i]; e < p.row_ptr[i + 1]; ++e) {
      if (is_chosen_half(i, p.idx_j[e], p.shift + 3 * e)) pair_with_reverse(p, i, e);
    }
}

}  // namespace pyff::PYFF_ISA
