// Declarations of all CPU kernels, one set per instruction set in namespaces pyff::baseline, avx2 and avx512, and the
// dispatching functions pyff::<kernel>(params).
#pragma once

#include "api/atom_matching.hpp"
#include "api/distance.hpp"
#include "api/gdml.hpp"
#include "api/gdml_product.hpp"
#include "api/pyff.hpp"

namespace pyff {

#define PYFF_KERNEL(name, ...) void name(const __VA_ARGS__& params);
namespace baseline {
#include "cpu/kernels.def"
}
namespace avx2 {
#include "cpu/kernels.def"
}
namespace avx512 {
#include "cpu/kernels.def"
}
#include "cpu/kernels.def"
#undef PYFF_KERNEL

}  // namespace pyff
