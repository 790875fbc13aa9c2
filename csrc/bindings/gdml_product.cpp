// Descriptors and expansions of GDML. Scratch is allocated here, per call: a prepared expansion may be used by several
// threads at once.
#include "bindings/gdml_product_args.hpp"
#include "core/status.hpp"
#include "cpu/dispatch.hpp"
#include "cpu/gdml_product_memory.hpp"

namespace {

std::unique_ptr<double[]> scratch_for(const pyff::GdmlExpansion& e, int threads) {
  return std::unique_ptr<double[]>(new double[pyff::PYFF_ISA::gdml_scratch_per_thread(e) * std::max(threads, 1)]);
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
  py::gil_scoped_release release;
  const auto scratch = scratch_for(p.expansion, threads);
  p.scratch = scratch.get();
  pyff::gdml_product(p);
}

void predict(const ExpansionArgs& expansion, const GeometryArgs& geometry, double constant,
             const std::array<Address, 3>& outputs, int threads) {
  auto p = gdml_predict_params(expansion, geometry, constant, outputs, threads);
  py::gil_scoped_release release;
  if (p.cell) require_cells(p.cell, p.cell_stride ? p.n_queries : 1);
  const auto scratch = scratch_for(p.expansion, threads);
  p.scratch = scratch.get();
  pyff::gdml_predict(p);
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
