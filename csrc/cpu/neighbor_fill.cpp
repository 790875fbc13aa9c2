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

// Where a row's integers go, in registers: stores through p could change p as far as the compiler knows.
struct IntegerRow {
  const NeighborParticle* particle;
  std::int64_t atom_offset, i;
  std::int64_t *idx_i, *idx_j;
  std::int32_t* shift;
  std::uint32_t* key;
  std::uint32_t self_key;
  Int4 self;
};

// Writes pair k; four lanes of the shift unless the pair is the last of its row.
template <bool Shift, bool Key, std::size_t ShiftBytes>
inline void fill_integers(const IntegerRow& row, std::int64_t k, std::int32_t hit) {
  const NeighborParticle& j = row.particle[hit];
  row.idx_i[k] = row.i;
  row.idx_j[k] = j.atom + row.atom_offset;
  if (Shift) {
    Int4 s;
    std::memcpy(&s, j.shift, sizeof s);
    s -= row.self;
    std::memcpy(row.shift + 3 * k, &s, ShiftBytes);
  }
  if (Key) row.key[k] = key_of(j.atom, j.shift[0], j.shift[1], j.shift[2]) - row.self_key;
}

// One pass over the row for everything that is an integer. The fourth lane of a shift is overwritten by the next pair;
// the row's last pair is written exactly, because the next row may be there already.
template <bool Shift, bool Key>
void fill_integers(const NeighborFillParams& p, const Row& row) {
  if (row.n == 0) return;
  IntegerRow r{};
  r.particle = p.cells.particle;
  r.atom_offset = p.atom_offset;
  r.i = row.self->atom + p.atom_offset;
  r.idx_i = p.idx_i + row.begin;
  r.idx_j = p.idx_j + row.begin;
  if (Shift) r.shift = p.shift + 3 * row.begin;
  if (Key) r.key = p.key + row.begin;
  std::memcpy(&r.self, row.self->shift, sizeof r.self);
  r.self_key = key_of(-p.atom_offset, r.self[0], r.self[1], r.self[2]);
  const std::int32_t* const hits = row.hits;
  const std::int64_t last = row.n - 1;
  for (std::int64_t k = 0; k < last; ++k) fill_integers<Shift, Key, sizeof(Int4)>(r, k, hits[k]);
  fill_integers<Shift, Key, 3 * sizeof(std::int32_t)>(r, last, hits[last]);
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

// The position of (i, -shift) in the row of the sender.
inline std::int64_t reverse_of(const std::int64_t* idx_j, const std::int32_t* shift, const std::uint32_t* key,
                               std::int64_t begin, std::int64_t end, std::int64_t i, const std::int32_t* s) {
  const std::uint32_t wanted = key_of(i, -s[0], -s[1], -s[2]);
  std::int64_t k = find_key(key, begin, end, wanted);
  // different pairs may share a key
  while (k < end && !(idx_j[k] == i && shift[3 * k] == -s[0] && shift[3 * k + 1] == -s[1] && shift[3 * k + 2] == -s[2]))
    k = find_key(key, k + 1, end, wanted);
  return k;
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
  const std::int64_t *const row_ptr = p.row_ptr, *const idx_j = p.idx_j;
  const std::int32_t* const shift = p.shift;
  const std::uint32_t* const key = p.key;
  std::int64_t* const edge_rev = p.edge_rev;
  for (std::int64_t i = p.row_begin; i < p.row_end; ++i) {
    const std::int64_t end = row_ptr[i + 1];
    for (std::int64_t e = row_ptr[i]; e < end; ++e) {
      const std::int64_t j = idx_j[e];
      if (!is_chosen_half(i, j, shift + 3 * e)) continue;
      const std::int64_t k = reverse_of(idx_j, shift, key, row_ptr[j], row_ptr[j + 1], i, shift + 3 * e);
      edge_rev[e] = k;
      edge_rev[k] = e;
    }
  }
}

}  // namespace pyff::PYFF_ISA
