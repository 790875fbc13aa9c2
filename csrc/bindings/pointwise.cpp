#include "bindings/module.hpp"
#include "bindings/radial_args.hpp"

#include "cpu/dispatch.hpp"

namespace {

using Address = std::uintptr_t;

template <class T>
void bias_activation(int order, std::int64_t rows, std::int64_t n_features, int kind, Address x, Address bias,
                     Address grad_y, Address u, Address y, Address grad_x, Address grad_grad_y, int threads) {
  const pyff::BiasActivationParams<T> p{rows,
                                        n_features,
                                        pointer<const T>(x),
                                        pointer<const T>(bias),
                                        static_cast<pyff::Activation>(kind),
                                        pointer<const T>(grad_y),
                                        pointer<const T>(u),
                                        pointer<T>(y),
                                        pointer<T>(grad_x),
                                        pointer<T>(grad_grad_y),
                                        threads};
  py::gil_scoped_release release;
  if (order == 0) return pyff::bias_activation_forward(p);
  if (order == 1) return pyff::bias_activation_backward(p);
  pyff::bias_activation_double_backward(p);
}

template <class T>
void radial_basis(std::int64_t n, Address distance, const BasisArgs& basis, int order, Address out, int threads) {
  const pyff::RadialParams<T> p{n,  pointer<const double>(distance), basis_from(basis), {}, order, pointer<T>(out),
                                threads};
  py::gil_scoped_release release;
  pyff::radial_basis(p);
}

template <class T>
void cutoff_function(std::int64_t n, Address distance, int kind, double radius, double onset, int order, Address out,
                     int threads) {
  const pyff::RadialParams<T> p{n, pointer<const double>(distance), {}, {kind, radius, onset}, order, pointer<T>(out),
                                threads};
  py::gil_scoped_release release;
  pyff::cutoff_function(p);
}

}  // namespace

void bind_pointwise(py::module_& m) {
  m.def("bias_activation_float32", &bias_activation<float>);
  m.def("bias_activation_float64", &bias_activation<double>);
  m.def("radial_basis_float32", &radial_basis<float>);
  m.def("radial_basis_float64", &radial_basis<double>);
  m.def("cutoff_function_float32", &cutoff_function<float>);
  m.def("cutoff_function_float64", &cutoff_function<double>);
}
