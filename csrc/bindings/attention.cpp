#include "bindings/attention_args.hpp"
#include "bindings/scratch.hpp"
#include "cpu/attention_memory.hpp"
#include "cpu/dispatch.hpp"

namespace {

template <class T>
void attention(int order, const GraphArgs& g, const AttentionShapeArgs& shape, const AttentionTensorArgs& in,
               const AttentionTensorArgs& tangent, const std::array<Address, 4>& messages,
               const AttentionTensorArgs& grad, int threads) {
  const std::vector<int>& degrees = std::get<2>(shape);
  pyff::AttentionParams<T> p = attention_params<T>(g, shape, in, tangent, messages, grad);
  p.shape.degrees = degrees.data();
  p.threads = threads;
  const auto mode = static_cast<pyff::PYFF_ISA::AttentionMode>(order);
  p.scratch = scratch<T>(pyff::PYFF_ISA::attention_scratch_elements<T>(p.shape, p.graph.n_atoms, mode, threads));
  py::gil_scoped_release release;
  if (order == 0) return pyff::equivariant_attention_forward(p);
  if (order == 1) return pyff::equivariant_attention_backward(p);
  pyff::equivariant_attention_double_backward(p);
}

}  // namespace

// order 0, 1, 2: forward, backward, double backward of api/pyff.hpp
void bind_attention(py::module_& m) {
  m.def("equivariant_attention_float32", &attention<float>);
  m.def("equivariant_attention_float64", &attention<double>);
}
