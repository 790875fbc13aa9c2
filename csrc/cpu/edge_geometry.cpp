// Edge vectors and distances, backward and double backward. Rows are reduced through edge_rev, so no thread writes
// another's atoms. With L the linear map (pos, cell) -> vec: backward is L^T, double backward L and L^T.
#include <cmath>

#include "api/pyff.hpp"
#include "core/parallel.hpp"

namespace pyff::PYFF_ISA {
namespace {

constexpr std::int64_t kParallelThreshold = 1 << 13;  // edges

struct Vec3 {
  double x, y, z;
};

inline Vec3 at(const double* p, std::int64_t k) { return {p[3 * k], p[3 * k + 1], p[3 * k + 2]}; }
inline void put(double* p, std::int64_t k, Vec3 v) {
  p[3 * k] = v.x;
  p[3 * k + 1] = v.y;
  p[3 * k + 2] = v.z;
}
inline double dot(Vec3 a, Vec3 b) { return a.x * b.x + a.y * b.y + a.z * b.z; }

// pos_j - pos_i + shift cell. Swapping i and j and negating the shift negates the result exactly.
inline Vec3 difference(const EdgeGeometryParams& p, const double* pos, const double* cell, std::int64_t i,
                       std::int64_t e) {
  const Vec3 a = at(pos, i), b = at(pos, p.graph.idx_j[e]);
  Vec3 r{b.x - a.x, b.y - a.y, b.z - a.z};
  const std::int32_t* s = p.shift + 3 * e;
  if (s[0] | s[1] | s[2]) {
    const double* c = cell + 9 * p.batch[i];
    r.x += s[0] * c[0] + s[1] * c[3] + s[2] * c[6];
    r.y += s[0] * c[1] + s[1] * c[4] + s[2] * c[7];
    r.z += s[0] * c[2] + s[1] * c[5] + s[2] * c[8];
  }
  return r;
}

// body(i, e) for all edges, rows cut among threads
template <class Body>
void for_edges(const EdgeGeometryParams& p, Body&& body) {
  const int threads = p.graph.n_edges < kParallelThreshold ? 1 : p.threads;
  parallel_ranges(threads, p.graph.n_atoms, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      for (std::int64_t e = p.graph.row_ptr[i]; e < p.graph.row_ptr[i + 1]; ++e) body(i, e);
  });
}

// L^T: cotangents of the vectors become those of pos and cell (null: not wanted)
template <class Cotangent>
void transpose(const EdgeGeometryParams& p, double* grad_pos, double* grad_cell, Cotangent&& cotangent) {
  const Graph& g = p.graph;
  if (grad_pos) {
    const int threads = g.n_edges < kParallelThreshold ? 1 : p.threads;
    parallel_ranges(threads, g.n_atoms, [&](int, std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        Vec3 sum{0, 0, 0};
        for (std::int64_t e = g.row_ptr[i]; e < g.row_ptr[i + 1]; ++e) {
          const Vec3 out = cotangent(e), in = cotangent(g.edge_rev[e]);
          sum = {sum.x + in.x - out.x, sum.y + in.y - out.y, sum.z + in.z - out.z};
        }
        put(grad_pos, i, sum);
      }
    });
  }
  if (!grad_cell) return;
  for (std::int64_t k = 0; k < 9 * p.n_systems; ++k) grad_cell[k] = 0;
  for (std::int64_t i = 0; i < g.n_atoms; ++i)
    for (std::int64_t e = g.row_ptr[i]; e < g.row_ptr[i + 1]; ++e) {
      const std::int32_t* s = p.shift + 3 * e;
      if (!(s[0] | s[1] | s[2])) continue;
      const Vec3 c = cotangent(e);
      double* out = grad_cell + 9 * p.batch[i];
      for (int a = 0; a < 3; ++a) {
        out[3 * a] += s[a] * c.x;
        out[3 * a + 1] += s[a] * c.y;
        out[3 * a + 2] += s[a] * c.z;
      }
    }
}

// Direction r / d; zero for coincident atoms, where it is undefined.
inline Vec3 direction(const EdgeGeometryParams& p, std::int64_t e) {
  const double d = p.distance[e], inv = d > 0 ? 1 / d : 0;
  const Vec3 r = at(p.vec, e);
  return {r.x * inv, r.y * inv, r.z * inv};
}

}  // namespace

void edge_geometry_forward(const EdgeGeometryParams& p) {
  for_edges(p, [&](std::int64_t i, std::int64_t e) {
    const Vec3 r = difference(p, p.pos, p.cell, i, e);
    put(p.vec, e, r);
    p.distance[e] = std::sqrt(dot(r, r));
  });
}

void edge_geometry_backward(const EdgeGeometryParams& p) {
  transpose(p, p.grad_pos, p.grad_cell, [&](std::int64_t e) -> Vec3 {
    Vec3 g = p.grad_vec ? at(p.grad_vec, e) : Vec3{0, 0, 0};
    if (!p.grad_distance) return g;
    const Vec3 n = direction(p, e);
    const double s = p.grad_distance[e];
    return {g.x + s * n.x, g.y + s * n.y, g.z + s * n.z};
  });
}

// delta = L(cot_pos, cot_cell): cotangent of grad_vec is delta, of grad_distance n.delta, of vec
// grad_distance (delta - n (n.delta)) / d.
void edge_geometry_double_backward(const EdgeGeometryParams& p) {
  for_edges(p, [&](std::int64_t i, std::int64_t e) {
    const Vec3 delta = difference(p, p.cot_pos, p.cot_cell, i, e);
    if (p.out_vec) put(p.out_vec, e, delta);
    if (p.out_distance) p.out_distance[e] = dot(direction(p, e), delta);
  });
  if (!p.grad_pos && !p.grad_cell) return;
  transpose(p, p.grad_pos, p.grad_cell, [&](std::int64_t e) -> Vec3 {
    const double d = p.distance[e];
    if (!p.grad_distance || !(d > 0)) return {0, 0, 0};
    const Vec3 n = direction(p, e), delta = difference(p, p.cot_pos, p.cot_cell, p.graph.idx_i[e], e);
    const double along = dot(n, delta), s = p.grad_distance[e] / d;
    return {s * (delta.x - n.x * along), s * (delta.y - n.y * along), s * (delta.z - n.z * along)};
  });
}

}  // namespace pyff::PYFF_ISA
