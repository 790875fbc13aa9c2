// pyff._core: pointers and sizes in, the GIL released around the work. The only folder that includes pybind11.
#include "bindings/module.hpp"

#include "core/isa.hpp"
#include "core/status.hpp"

PYBIND11_MODULE(_core, m) {
  m.doc() = "Native kernels of pyff. Use pyff.ops and pyff.neighbor_list instead.";
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const pyff::Error& e) {
      PyErr_SetString(PyExc_ValueError, e.what());
    } catch (const pyff::RuntimeFailure& e) {
      PyErr_SetString(PyExc_RuntimeError, e.what());
    }
  });
  m.attr("__version__") = PYFF_VERSION;
  m.def("isa", [] { return pyff::isa_name(pyff::active_isa()); }, "Instruction set of the kernels in use.");
  m.def("best_isa", [] { return pyff::isa_name(pyff::best_isa()); }, "Best instruction set of this processor.");
  bind_atom_matching(m);
  bind_attention(m);
  bind_cfconv(m);
  bind_cuda(m);
  bind_distance(m);
  bind_edge_geometry(m);
  bind_gdml_matrix(m);
  bind_gdml_product(m);
  bind_mesh(m);
  bind_pair_energy(m);
  bind_pointwise(m);
  bind_neighbors(m);
}
