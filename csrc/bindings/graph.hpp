// The graph as Python passes it.
#pragma once

#include <cstdint>
#include <tuple>

#include "api/pyff.hpp"
#include "bindings/module.hpp"

using Address = std::uintptr_t;

// n_atoms, n_edges, row_ptr, idx_i, idx_j, edge_rev
using GraphArgs = std::tuple<std::int64_t, std::int64_t, Address, Address, Address, Address>;

inline pyff::Graph graph_from(const GraphArgs& a) {
  const auto index = [](Address x) { return pointer<const std::int64_t>(x); };
  return {std::get<0>(a),        std::get<1>(a),        index(std::get<2>(a)),
          index(std::get<3>(a)), index(std::get<4>(a)), index(std::get<5>(a))};
}
