// The Params of kernel matrices as Python passes them, for the CPU and for CUDA.
#pragma once

#include <pybind11/stl.h>

#include <tuple>

#include "api/gdml.hpp"
#include "bindings/module.hpp"
#include "math/gdml_blocks.hpp"

namespace {

// number, x, g
using GdmlGeometryArgs = std::tuple<std::int64_t, std::uintptr_t, std::uintptr_t>;
// atoms, permutations, their address, kind of profile, sigma, energies
using GdmlKernelArgs = std::tuple<std::int64_t, std::int64_t, std::uintptr_t, int, double, bool>;

inline pyff::GdmlGeometries gdml_geometries(const GdmlGeometryArgs& a) {
  return {std::get<0>(a), pointer<const double>(std::get<1>(a)), pointer<const double>(std::get<2>(a))};
}

inline pyff::GdmlMatrixParams gdml_matrix_params(const GdmlGeometryArgs& rows, const GdmlGeometryArgs& columns,
                                                 const GdmlKernelArgs& k, bool upper, std::uintptr_t out,
                                                 std::int64_t stride, int threads) {
  const auto [n_atoms, n_perms, perms, kind, sigma, energies] = k;
  return {n_atoms,
          gdml_geometries(rows),
          gdml_geometries(columns),
          n_perms,
          pointer<const std::int64_t>(perms),
          {kind, sigma},
          energies,
          upper,
          pointer<double>(out),
          stride,
          nullptr,
          threads,
          0,
          pyff::PYFF_ISA::GdmlBlocks{std::get<0>(rows), std::get<0>(columns), upper}.count()};
}

// points, and the addresses of point, first, component, target
using GdmlColumnArgs = std::tuple<std::int64_t, std::uintptr_t, std::uintptr_t, std::uintptr_t, std::uintptr_t>;

inline pyff::GdmlColumnsParams gdml_columns_params(const GdmlGeometryArgs& rows, const GdmlGeometryArgs& columns,
                                                   const GdmlKernelArgs& k, const GdmlColumnArgs& chosen,
                                                   std::uintptr_t out, int threads) {
  const auto [n_atoms, n_perms, perms, kind, sigma, energies] = k;
  const auto [n_points, point, first, component, target] = chosen;
  const auto index = [](std::uintptr_t a) { return pointer<const std::int64_t>(a); };
  return {n_atoms,
          gdml_geometries(rows),
          gdml_geometries(columns),
          n_perms,
          index(perms),
          {kind, sigma},
          energies,
          n_points,
          index(point),
          index(first),
          index(component),
          index(target),
          pointer<double>(out),
          nullptr,
          threads,
          0,
          n_points * std::get<0>(rows)};
}

}  // namespace
