// Kernel matrices of forces as the equations read: dense Jacobians, one loop per index. The oracle of the tests;
// nothing ships on it.
#pragma once

#include "api/gdml.hpp"

namespace pyff::plain {

void gdml_matrix(const GdmlMatrixParams& params);

}  // namespace pyff::plain
