#include "bindings/cfconv_args.hpp"
#include "bindings/scratch.hpp"
#include "cpu/dispatch.hpp"
#include "cpu/scratch.hpp"

namespace {

template <class Params>
void call(int order, const Params& p) {
  py::gil_scoped_release release;
  if (order == 0) return pyff::cfconv_forward(p);
  if (order == 1) return pyff::cfconv_backward(p);
  pyff::cfconv_double_backward(p);
}

template <class T>
void table(int order, const GraphArgs& g, const DataArgs& d, std::tuple<Address, std::int64_t, double, double> filter,
           const OutArgs& out, Address grad) {
  const auto per_thread = pyff::PYFF_ISA::cfconv_tile_elements<T>(std::get<0>(d));
  const auto [coef, intervals, start, spacing] = filter;
  call(order, pyff::CfconvTableParams<T>{data<T>(g, d, scratch<T>(per_thread * std::get<6>(d))),
                                         {pointer<const T>(coef), intervals, start, spacing},
                                         result<T>(out),
                                         {pointer<T>(grad)}});
}

template <class T>
T* network_scratch(std::int64_t f, const ShapeArgs& shape, int threads) {
  const auto g = basis_from(std::get<0>(shape)).size;
  using namespace pyff::PYFF_ISA;
  return scratch<T>((cfconv_tile_elements<T>(f) + filter_network_elements<T>(f, g)) * threads);
}

template <class T>
void network(int order, const GraphArgs& g, const DataArgs& d, const Weights& weights, const ShapeArgs& shape,
             const OutArgs& out, const Weights& grad) {
  call(order, pyff::CfconvNetworkParams<T>{
                  data<T>(g, d, network_scratch<T>(std::get<0>(d), shape, std::get<6>(d))),
                  network_filter<T>(weights, shape), result<T>(out), network_gradient<T>(grad)});
}

template <class T>
void filter_nodes(int order, std::int64_t n, std::int64_t n_features, Address distance, const Weights& weights,
                  const ShapeArgs& shape, Address out, Address grad_out, const Weights& grad, int threads) {
  const pyff::FilterNodesParams<T> p{n,
                                     n_features,
                                     pointer<const double>(distance),
                                     network_filter<T>(weights, shape),
                                     pointer<T>(out),
                                     pointer<const T>(grad_out),
                                     network_gradient<T>(grad),
                                     network_scratch<T>(n_features, shape, threads),
                                     threads};
  py::gil_scoped_release release;
  if (order == 0) return pyff::filter_nodes_forward(p);
  pyff::filter_nodes_backward(p);
}

}  // namespace

// order 0, 1, 2: forward, backward, double backward of api/pyff.hpp
void bind_cfconv(py::module_& m) {
  m.def("cfconv_table_float32", &table<float>);
  m.def("cfconv_table_float64", &table<double>);
  m.def("cfconv_network_float32", &network<float>);
  m.def("cfconv_network_float64", &network<double>);
  m.def("filter_nodes_float32", &filter_nodes<float>);
  m.def("filter_nodes_float64", &filter_nodes<double>);
}
