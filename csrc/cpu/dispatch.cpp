#include "cpu/dispatch.hpp"

#include "core/isa.hpp"

namespace pyff {

#if defined(PYFF_X86_KERNELS)
#define PYFF_KERNEL(name, ...)            \
  void name(const __VA_ARGS__& params) {  \
    switch (active_isa()) {               \
      case Isa::avx512:                   \
        return avx512::name(params);      \
      case Isa::avx2:                     \
        return avx2::name(params);        \
      default:                            \
        return baseline::name(params);    \
    }                                     \
  }
#else
#define PYFF_KERNEL(name, ...) \
  void name(const __VA_ARGS__& params) { baseline::name(params); }
#endif
#include "cpu/kernels.def"
#undef PYFF_KERNEL

}  // namespace pyff
