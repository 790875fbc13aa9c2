// Charges to a periodic mesh and a mesh's values to the atoms, with B-splines: the two halves of particle-mesh Ewald,
// each the other's transpose, with the derivatives that first and second order need.
//
// Spreading is parallel over planes of the mesh: each thread runs through all atoms and writes only its own planes.
// Nothing is shared, and every sum runs in the order of the atoms, whatever the number of threads.
#include <cmath>

#include "api/pyff.hpp"
#include "core/parallel.hpp"
#include "math/bspline.hpp"

namespace pyff::PYFF_ISA {
namespace {

constexpr std::int64_t kParallelThreshold = 200;  // atoms

template <int Order>
struct Stencil {
  SplineWeights<Order> x, y, z;
  std::int64_t plane[Order], row[Order], column[Order];

  Stencil(const MeshParams& p, std::int64_t atom) {
    const double* u = p.u + 3 * atom;
    x = axis(u[0], p.shape[0], plane);
    y = axis(u[1], p.shape[1], row);
    z = axis(u[2], p.shape[2], column);
  }

  static SplineWeights<Order> axis(double u, std::int64_t size, std::int64_t* points) {
    const double base = std::floor(u);
    std::int64_t m = static_cast<std::int64_t>(base) - (Order - 1);
    for (int t = 0; t < Order; ++t, ++m) points[t] = m < 0 ? m + size : m >= size ? m - size : m;
    return spline_weights<Order>(u - base);
  }
};

template <int Order>
void spread(const MeshParams& p, std::int64_t first, std::int64_t last) {
  const std::int64_t area = p.shape[1] * p.shape[2];
  for (std::int64_t k = first * area; k < last * area; ++k) p.mesh_out[k] = 0.0;
  for (std::int64_t i = 0; i < p.n_atoms; ++i) {
    const Stencil<Order> s(p, i);
    const double a = p.weight ? p.weight[i] : 0.0;
    const double none[3] = {0, 0, 0}, *b = p.direction ? p.direction + 3 * i : none;
    for (int jx = 0; jx < Order; ++jx) {
      if (s.plane[jx] < first || s.plane[jx] >= last) continue;
      for (int jy = 0; jy < Order; ++jy) {
        const double xy = s.x.v[jx] * s.y.v[jy], slope = b[2] * xy;
        const double value = a * xy + b[0] * s.x.d1[jx] * s.y.v[jy] + b[1] * s.x.v[jx] * s.y.d1[jy];
        double* const line = p.mesh_out + s.plane[jx] * area + s.row[jy] * p.shape[2];
        for (int jz = 0; jz < Order; ++jz) line[s.column[jz]] += value * s.z.v[jz] + slope * s.z.d1[jz];
      }
    }
  }
}

struct Sums {
  double v = 0, x = 0, y = 0, z = 0, xx = 0, xy = 0, xz = 0, yy = 0, yz = 0, zz = 0;
};

template <int Order, bool Curvature>
void gather(const MeshParams& p, std::int64_t i) {
  const Stencil<Order> s(p, i);
  Sums t;
  for (int jx = 0; jx < Order; ++jx)
    for (int jy = 0; jy < Order; ++jy) {
      const double* const line = p.mesh + (s.plane[jx] * p.shape[1] + s.row[jy]) * p.shape[2];
      double z0 = 0, z1 = 0, z2 = 0;
      for (int jz = 0; jz < Order; ++jz) {
        const double m = line[s.column[jz]];
        z0 += s.z.v[jz] * m;
        z1 += s.z.d1[jz] * m;
        if constexpr (Curvature) z2 += s.z.d2[jz] * m;
      }
      const double x0 = s.x.v[jx], x1 = s.x.d1[jx], y0 = s.y.v[jy], y1 = s.y.d1[jy];
      t.v += x0 * y0 * z0;
      t.x += x1 * y0 * z0;
      t.y += x0 * y1 * z0;
      t.z += x0 * y0 * z1;
      if constexpr (Curvature) {
        t.xx += s.x.d2[jx] * y0 * z0;
        t.xy += x1 * y1 * z0;
        t.xz += x1 * y0 * z1;
        t.yy += x0 * s.y.d2[jy] * z0;
        t.yz += x0 * y1 * z1;
        t.zz += x0 * y0 * z2;
      }
    }
  if (p.value) p.value[i] = t.v;
  if (p.gradient) {
    double* g = p.gradient + 3 * i;
    g[0] = t.x, g[1] = t.y, g[2] = t.z;
  }
  if constexpr (Curvature) {
    const double* b = p.direction + 3 * i;
    double* c = p.curvature + 3 * i;
    c[0] = t.xx * b[0] + t.xy * b[1] + t.xz * b[2];
    c[1] = t.xy * b[0] + t.yy * b[1] + t.yz * b[2];
    c[2] = t.xz * b[0] + t.yz * b[1] + t.zz * b[2];
  }
}

template <int Order>
void gather_all(const MeshParams& p, int threads) {
  parallel_ranges(threads, p.n_atoms, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) p.curvature ? gather<Order, true>(p, i) : gather<Order, false>(p, i);
  });
}

}  // namespace

void mesh_spread(const MeshParams& p) {
  const int threads = p.n_atoms < kParallelThreshold ? 1 : p.threads;
  parallel_ranges(threads, p.shape[0], [&](int, std::int64_t first, std::int64_t last) {
    p.order == 4 ? spread<4>(p, first, last) : spread<6>(p, first, last);
  });
}

void mesh_gather(const MeshParams& p) {
  const int threads = p.n_atoms < kParallelThreshold ? 1 : p.threads;
  p.order == 4 ? gather_all<4>(p, threads) : gather_all<6>(p, threads);
}

}  // namespace pyff::PYFF_ISA
