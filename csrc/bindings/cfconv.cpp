#include "bindings/module.hpp"

void bind_cfconv(py::module_&) {}
