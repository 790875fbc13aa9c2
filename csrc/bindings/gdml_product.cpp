// Descriptors and expansions of GDML. Scratch is allocated here, per call: a prepared expansion may be used by several
// threads at once.
#include "bindings/gdml_product_args.hpp"
#include "bindings/parts.hpp"
#include "core/status.hpp"
#include "cpu/dispatch.hpp"
#include "cpu/gdml_product_memory.hpp"

namespace {

constexpr double kPart = 5e9;  // flop: 0.1 to 0.3 s

std::unique_ptr<double[]> scratch_for(const pyff::GdmlExpansion& e, int threads) {
  return std::unique_ptr<double[]>(new double[pyff::PYFF_ISA::gdml_scratch_per_thread(e) * std::max(threads, 1)]);
}

// run(part, first) for parts of the queries, from query `first` on.
template <class Params, class Run>
void in_queries(const Params& p, Run&& run) {
  const pyff::GdmlExpansion& e = p.expansion;
  const double flop = 8.0 * pyff::kGdmlPoints * static_cast<double>(e.n_blocks * e.n_perms * e.n_pairs);
  in_parts(p.n_queries, flop, kPart, p.threads, [&](std::int64_t begin, std::int64_t end) {
    Params part = p;
    part.n_queries = end - begin;
    run(part, begin);
  });
}

// Where a cell is singular no image is nearest; the kernels trust the cells they get.
void require_cells(const double* cells, std::int64_t n) {
  const bool pbc[3] = {true, true, true};
  pyff::PYFF_ISA::Lattice lattice;
  for (std::int64_t k = 0; k < n; ++k)
    PYFF_REQUIRE(pyff::PYFF_ISA::make_lattice(cells + 9 * k, pbc, lattice),
                 "cell must have three linearly independent, finite rows; received a singular cell");
}

void product(const ExpansionArgs& expansion, std::int64_t n_queries, const std::array<Address, 3>& arrays,
             int threads) {
  auto p = gdml_product_params(expansion, n_queries, arrays, threads);
  const auto scratch = scratch_for(p.expansion, threads);
  p.scratch = scratch.get();
  in_queries(p, [](auto part, std::int64_t first) {
    part.query += first * part.expansion.n_pairs;
    part.f += first * part.expansion.n_pairs;
    part.energy += first;
    pyff::gdml_product(part);
  });
}

void predict(const ExpansionArgs& expansion, const GeometryArgs& geometry, double constant,
             const std::array<Address, 3>& outputs, int threads) {
  auto p = gdml_predict_params(expansion, geometry, constant, outputs, threads);
  if (p.cell) require_cells(p.cell, p.cell_stride ? p.n_queries : 1);
  const auto scratch = scratch_for(p.expansion, threads);
  p.scratch = scratch.get();
  in_queries(p, [](auto part, std::int64_t first) {
    part.pos += 3 * first * part.n_atoms;
    if (part.cell) part.cell += first * part.cell_stride;
    part.energy += first;
    part.forces += 3 * first * part.n_atoms;
    if (part.virial) part.virial += 9 * first;
    pyff::gdml_predict(part);
  });
}

void descriptors(std::int64_t n_structures, std::int64_t n_atoms, const std::array<Address, 4>& arrays, int images,
                 int threads) {
  const auto p = gdml_descriptor_params(n_structures, n_atoms, arrays, images, threads);
  if (p.cell) require_cells(p.cell, 1);
  py::gil_scoped_release release;
  pyff::gdml_descriptors(p);
}

void jacobian(int order, std::int64_t n_structures, std::int64_t n_atoms, const std::array<Address, 3>& arrays,
              int threads) {
  const auto p = gdml_jacobian_params(n_structures, n_atoms, arrays, threads);
  py::gil_scoped_release release;
  order == 0 ? pyff::gdml_jacobian_forward(p) : pyff::gdml_jacobian_backward(p);
}

}  // namespace

void bind_gdml_product(py::module_& m) {
  m.def("gdml_descriptors", &descriptors);
  m.def("gdml_jacobian", &jacobian);
  m.def("gdml_predict", &predict);
  m.def("gdml_product", &product);
}
