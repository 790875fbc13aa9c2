// The Params of GDML products as Python passes them, for the CPU and for CUDA.
#pragma once

#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <tuple>

#include "api/gdml_product.hpp"
#include "bindings/module.hpp"

namespace {

using Address = std::uintptr_t;

// profile, sigma, energies, n_blocks, n_pairs, n_perms, packed, centre, orders
using ExpansionArgs =
    std::tuple<int, double, bool, std::int64_t, std::int64_t, std::int64_t, Address, Address, Address>;
// n_queries, n_atoms, pos, cell, cell_stride, images
using GeometryArgs = std::tuple<std::int64_t, std::int64_t, Address, Address, std::int64_t, int>;

inline pyff::GdmlExpansion gdml_expansion(const ExpansionArgs& a) {
  return {{std::get<0>(a), std::get<1>(a)},
          std::get<2>(a),
          std::get<3>(a),
          std::get<4>(a),
          std::get<5>(a),
          pointer<const double>(std::get<6>(a)),
          pointer<const double>(std::get<7>(a)),
          pointer<const std::int64_t>(std::get<8>(a))};
}

// query, f, energy
inline pyff::GdmlProductParams gdml_product_params(const ExpansionArgs& expansion, std::int64_t n_queries,
                                                   const std::array<Address, 3>& a, int threads) {
  return {gdml_expansion(expansion), n_queries, pointer<const double>(a[0]), pointer<double>(a[1]),
          pointer<double>(a[2]),     nullptr,   threads};
}

// energy, forces, virial
inline pyff::GdmlPredictParams gdml_predict_params(const ExpansionArgs& expansion, const GeometryArgs& g,
                                                   double constant, const std::array<Address, 3>& out, int threads) {
  return {gdml_expansion(expansion),
          std::get<0>(g),
          std::get<1>(g),
          pointer<const double>(std::get<2>(g)),
          pointer<const double>(std::get<3>(g)),
          std::get<4>(g),
          static_cast<pyff::ImageSearch>(std::get<5>(g)),
          constant,
          pointer<double>(out[0]),
          pointer<double>(out[1]),
          pointer<double>(out[2]),
          nullptr,
          threads};
}

// pos, cell, x, g
inline pyff::GdmlDescriptorParams gdml_descriptor_params(std::int64_t n_structures, std::int64_t n_atoms,
                                                         const std::array<Address, 4>& a, int images, int threads) {
  return {n_structures,          n_atoms, pointer<const double>(a[0]), pointer<const double>(a[1]),
          static_cast<pyff::ImageSearch>(images), pointer<double>(a[2]), pointer<double>(a[3]), threads};
}

// g, v, u
inline pyff::GdmlJacobianParams gdml_jacobian_params(std::int64_t n_structures, std::int64_t n_atoms,
                                                     const std::array<Address, 3>& a, int threads) {
  return {n_structures, n_atoms, pointer<const double>(a[0]), pointer<double>(a[1]), pointer<double>(a[2]), threads};
}

}  // namespace
