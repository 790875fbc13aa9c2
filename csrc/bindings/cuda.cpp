// CUDA twins of the CPU's functions: the same arguments and then a Target. Nothing here waits for the GPU.
#include "bindings/attention_args.hpp"
#include "bindings/cfconv_args.hpp"
#include "bindings/cuda_library.hpp"
#include "bindings/distance_args.hpp"
#include "bindings/gdml_matrix_args.hpp"
#include "bindings/gdml_product_args.hpp"
#include "bindings/pair_energy_args.hpp"
#include "core/status.hpp"

namespace {

using pyff::cuda::Library;

// device index, stream, and a function bytes -> address that allocates scratch on that device. The scratch may be
// freed when the call returns, if the allocator reuses memory in the order of the stream, as torch's does.
using Target = std::tuple<int, Address, py::function>;

pyff::cuda::Call call_on(const Target& target, std::int64_t bytes) {
  const Address scratch = bytes > 0 ? std::get<2>(target)(bytes).cast<Address>() : 0;
  return {pointer<void>(std::get<1>(target)), pointer<void>(scratch), bytes, std::get<0>(target)};
}

template <class Params>
void run(const pyff::cuda::OpFunctions<Params> Library::* functions, int order, const Params& params,
         const Target& target) {
  const Library& library = cuda_library();
  std::int64_t bytes = 0;
  check_cuda(library, (library.*functions).scratch(order, &params, &bytes));
  const auto call = call_on(target, bytes);
  py::gil_scoped_release release;
  check_cuda(library, (library.*functions).run(order, &params, &call));
}

template <class T>
constexpr bool kSingle = sizeof(T) == 4;

template <class T>
void table_on(int order, const GraphArgs& g, const DataArgs& d,
              const std::tuple<Address, std::int64_t, double, double>& filter, const OutArgs& out, Address grad,
              const Target& target) {
  const auto [coef, intervals, start, spacing] = filter;
  const pyff::CfconvTableParams<T> p{data<T>(g, d, nullptr),
                                     {pointer<const T>(coef), intervals, start, spacing},
                                     result<T>(out),
                                     {pointer<T>(grad)}};
  if constexpr (kSingle<T>)
    run(&Library::cfconv_table_float32, order, p, target);
  else
    run(&Library::cfconv_table_float64, order, p, target);
}

template <class T>
void network_on(int order, const GraphArgs& g, const DataArgs& d, const Weights& weights, const ShapeArgs& shape,
                const OutArgs& out, const Weights& grad, const Target& target) {
  const pyff::CfconvNetworkParams<T> p{data<T>(g, d, nullptr), network_filter<T>(weights, shape), result<T>(out),
                                       network_gradient<T>(grad)};
  if constexpr (kSingle<T>)
    run(&Library::cfconv_network_float32, order, p, target);
  else
    run(&Library::cfconv_network_float64, order, p, target);
}

template <class T>
void attention_on(int order, const GraphArgs& g, const AttentionShapeArgs& shape, const AttentionTensorArgs& in,
                  const AttentionTensorArgs& tangent, const std::array<Address, 4>& messages,
                  const AttentionTensorArgs& grad, int /*threads*/, const Target& target) {
  auto p = attention_params<T>(g, shape, in, tangent, messages, grad);
  p.shape.degrees = std::get<2>(shape).data();
  if constexpr (kSingle<T>)
    run(&Library::equivariant_attention_float32, order, p, target);
  else
    run(&Library::equivariant_attention_float64, order, p, target);
}

void pair_energy_on(int order, std::int64_t n_atoms, int kind, const PairConstants& constants,
                    const PairArrays& arrays, int threads, const Target& target) {
  run(&Library::pair_energy, order, pair_energy_params(n_atoms, kind, constants, arrays, threads), target);
}

void gdml_matrix_on(const GdmlGeometryArgs& rows, const GdmlGeometryArgs& columns, const GdmlKernelArgs& kernel,
                    bool upper, Address out, std::int64_t stride, int threads, const Target& target) {
  run(&Library::gdml_matrix, 0, gdml_matrix_params(rows, columns, kernel, upper, out, stride, threads), target);
}

void gdml_columns_on(const GdmlGeometryArgs& rows, const GdmlGeometryArgs& columns, const GdmlKernelArgs& kernel,
                     const GdmlColumnArgs& chosen, Address out, int threads, const Target& target) {
  run(&Library::gdml_columns, 0, gdml_columns_params(rows, columns, kernel, chosen, out, threads), target);
}

void distance_matrix_on(const DistanceSizes& sizes, const std::array<Address, 3>& arrays, int kind, double sigma,
                        int threads, const Target& target) {
  run(&Library::distance_matrix, 0, distance_params(sizes, arrays, kind, sigma, threads), target);
}

void gdml_descriptors_on(std::int64_t n_structures, std::int64_t n_atoms, const std::array<Address, 4>& arrays,
                         int images, int threads, const Target& target) {
  run(&Library::gdml_descriptors, 0, gdml_descriptor_params(n_structures, n_atoms, arrays, images, threads), target);
}

void gdml_jacobian_on(int order, std::int64_t n_structures, std::int64_t n_atoms, const std::array<Address, 3>& arrays,
                      int threads, const Target& target) {
  run(&Library::gdml_jacobian, order, gdml_jacobian_params(n_structures, n_atoms, arrays, threads), target);
}

void gdml_product_on(const ExpansionArgs& expansion, std::int64_t n_queries, const std::array<Address, 3>& arrays,
                     int threads, const Target& target) {
  run(&Library::gdml_product, 0, gdml_product_params(expansion, n_queries, arrays, threads), target);
}

// n_atoms, n_systems, pos, cell, pbc, batch, ptr, cutoff
using StructureArgs =
    std::tuple<std::int64_t, std::int64_t, Address, Address, Address, Address, Address, double>;

pyff::cuda::NeighborParams neighbor_params(const StructureArgs& a, Address row_ptr) {
  pyff::cuda::NeighborParams p{};
  p.n_atoms = std::get<0>(a);
  p.n_systems = std::get<1>(a);
  p.pos = pointer<const double>(std::get<2>(a));
  p.cell = pointer<const double>(std::get<3>(a));
  p.pbc = pointer<const std::uint8_t>(std::get<4>(a));
  p.batch = pointer<const std::int64_t>(std::get<5>(a));
  p.ptr = pointer<const std::int64_t>(std::get<6>(a));
  p.cutoff = std::get<7>(a);
  p.row_ptr = pointer<std::int64_t>(row_ptr);
  return p;
}

// summary: int64 [2], the number of edges and the faults (cuda/neighbor_list.hpp). Returns the address of its scratch,
// which has to stay as it is until the fill.
Address neighbor_count(const StructureArgs& structures, Address row_ptr, Address summary, const Target& target) {
  const Library& library = cuda_library();
  auto params = neighbor_params(structures, row_ptr);
  params.summary = pointer<pyff::cuda::NeighborSummary>(summary);
  std::int64_t bytes = 0;
  check_cuda(library, library.neighbor_count_scratch(&params, &bytes));
  const auto call = call_on(target, bytes);
  py::gil_scoped_release release;
  check_cuda(library, library.neighbor_count(&params, &call));
  return reinterpret_cast<Address>(call.scratch);
}

// out: idx_i, idx_j, shift, edge_rev
void neighbor_fill(const StructureArgs& structures, Address row_ptr, std::int64_t n_edges,
                   const std::array<Address, 4>& out, Address count_scratch, const Target& target) {
  const Library& library = cuda_library();
  auto params = neighbor_params(structures, row_ptr);
  params.n_edges = n_edges;
  params.idx_i = pointer<std::int64_t>(out[0]);
  params.idx_j = pointer<std::int64_t>(out[1]);
  params.shift = pointer<std::int32_t>(out[2]);
  params.edge_rev = pointer<std::int64_t>(out[3]);
  std::int64_t bytes = 0;
  check_cuda(library, library.neighbor_fill_scratch(&params, &bytes));
  const auto call = call_on(target, bytes);
  py::gil_scoped_release release;
  check_cuda(library, library.neighbor_fill(&params, pointer<const void>(count_scratch), &call));
}

bool available() {
  try {
    cuda_library();
    return true;
  } catch (const pyff::RuntimeFailure&) {
    return false;
  }
}

std::string status() {
  try {
    return "live on " + cuda_devices();
  } catch (const pyff::RuntimeFailure& e) {
    return std::string("not live: ") + e.what();
  }
}

}  // namespace

void bind_cuda(py::module_& m) {
  m.def("cuda_available", &available, "Whether pyff's CUDA kernels run on a GPU of this machine.");
  m.def("cuda_status", &status, "'live on <GPUs>' or 'not live: <why>'.");
  m.def("cuda_require", [] { cuda_library(); }, "Raises RuntimeError with the reason where CUDA kernels cannot run.");
  m.def("cuda_cfconv_table_float32", &table_on<float>);
  m.def("cuda_cfconv_table_float64", &table_on<double>);
  m.def("cuda_cfconv_network_float32", &network_on<float>);
  m.def("cuda_cfconv_network_float64", &network_on<double>);
  m.def("cuda_equivariant_attention_float32", &attention_on<float>);
  m.def("cuda_equivariant_attention_float64", &attention_on<double>);
  m.def("cuda_pair_energy", &pair_energy_on);
  m.def("cuda_distance_matrix", &distance_matrix_on);
  m.def("cuda_gdml_descriptors", &gdml_descriptors_on);
  m.def("cuda_gdml_jacobian", &gdml_jacobian_on);
  m.def("cuda_gdml_product", &gdml_product_on);
  m.def("cuda_gdml_matrix", &gdml_matrix_on);
  m.def("cuda_gdml_columns", &gdml_columns_on);
  m.def("cuda_neighbor_count", &neighbor_count);
  m.def("cuda_neighbor_fill", &neighbor_fill);
}
