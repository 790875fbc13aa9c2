#include <pybind11/stl.h>

#include <array>
#include <vector>

#include "bindings/parts.hpp"
#include "cpu/dispatch.hpp"

namespace {

constexpr double kPart = 2e8;  // N^3 of a pair: 0.1 to 0.3 s

// addresses: distance, vectors, Z, pairs, score, perms (0 where not wanted)
void atom_matching(std::int64_t n_atoms, std::int64_t n_pairs, const std::array<std::uintptr_t, 6>& a, int threads) {
  const auto in = [&](int k) { return pointer<const double>(a[k]); };
  const auto index = [&](int k) { return pointer<const std::int64_t>(a[k]); };
  std::vector<double> scratch(static_cast<std::size_t>(threads * n_atoms * (n_atoms + 3)));
  std::vector<std::int64_t> indices(static_cast<std::size_t>(threads * 4 * n_atoms));
  double* const score = pointer<double>(a[4]);
  std::int64_t* const perms = pointer<std::int64_t>(a[5]);
  const auto n = static_cast<double>(n_atoms);
  in_parts(n_pairs, n * n * n, kPart, threads, [&](std::int64_t begin, std::int64_t end) {
    pyff::atom_matching({n_atoms, end - begin, in(0), in(1), index(2), index(3) + 2 * begin, score + begin,
                         perms ? perms + begin * n_atoms : nullptr, scratch.data(), indices.data(), threads});
  });
}

}  // namespace

void bind_atom_matching(py::module_& m) { m.def("atom_matching", &atom_matching); }
