// One bind_<group> function per file of this folder.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

namespace py = pybind11;

// An address as Python passes it (torch's data_ptr(), numpy's ctypes.data); 0 means absent.
template <class T>
T* pointer(std::uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

void bind_atom_matching(py::module_& m);
void bind_attention(py::module_& m);
void bind_cfconv(py::module_& m);
void bind_cuda(py::module_& m);
void bind_distance(py::module_& m);
void bind_edge_geometry(py::module_& m);
void bind_gdml_matrix(py::module_& m);
void bind_gdml_product(py::module_& m);
void bind_mesh(py::module_& m);
void bind_pair_energy(py::module_& m);
void bind_pointwise(py::module_& m);
void bind_neighbors(py::module_& m);
