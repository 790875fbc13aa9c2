#include "bindings/gdml_matrix_args.hpp"

#include <memory>

#include "bindings/parts.hpp"
#include "cpu/dispatch.hpp"
#include "cpu/gdml_memory.hpp"

namespace {

constexpr double kPart = 2e9;  // flop: 0.1 to 0.3 s

std::unique_ptr<double[]> scratch(std::int64_t n_atoms, std::int64_t n_perms, std::int64_t n_tables, int threads) {
  const std::int64_t n = pyff::PYFF_ISA::gdml_scratch_elements(n_atoms, n_perms, n_tables, threads);
  return std::unique_ptr<double[]>(new double[static_cast<std::size_t>(n)]);
}

void gdml_matrix(const GdmlGeometryArgs& rows, const GdmlGeometryArgs& columns, const GdmlKernelArgs& kernel,
                 bool upper, std::uintptr_t out, std::int64_t stride, int threads) {
  auto p = gdml_matrix_params(rows, columns, kernel, upper, out, stride, threads);
  const auto memory = scratch(p.n_atoms, p.n_perms, p.columns.n, threads);
  p.scratch = memory.get();
  in_parts(p.end, 66.0 * static_cast<double>(p.n_perms * p.n_atoms * p.n_atoms), kPart, threads,
           [&](std::int64_t begin, std::int64_t end) {
             p.begin = begin, p.end = end;
             pyff::gdml_matrix(p);
           });
}

void gdml_columns(const GdmlGeometryArgs& rows, const GdmlGeometryArgs& columns, const GdmlKernelArgs& kernel,
                  const GdmlColumnArgs& chosen, std::uintptr_t out, int threads) {
  auto p = gdml_columns_params(rows, columns, kernel, chosen, out, threads);
  const auto memory = scratch(p.n_atoms, p.n_perms, p.rows.n, threads);
  p.scratch = memory.get();
  const std::int64_t n_columns = p.n_points ? p.first[p.n_points] : 0;
  const double of_columns = 1 + static_cast<double>(n_columns) / (64.0 * std::max<std::int64_t>(p.n_points, 1));
  in_parts(p.end, 16.0 * static_cast<double>(p.n_perms * p.n_atoms * p.n_atoms) * of_columns, kPart, threads,
           [&](std::int64_t begin, std::int64_t end) {
             p.begin = begin, p.end = end;
             pyff::gdml_columns(p);
           });
}

}  // namespace

void bind_gdml_matrix(py::module_& m) {
  m.def("gdml_matrix", &gdml_matrix);
  m.def("gdml_columns", &gdml_columns);
}
