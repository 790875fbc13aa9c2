#include "cpu/dispatch.hpp"

#include "core/isa.hpp"

namespace pyff {

#if defined(PYFF_HAVE_avx512)
#define PYFF_CASE_AVX512(name) \
  case Isa::avx512:            \
    return avx512::name(params);
#else
#define PYFF_CASE_AVX512(name)
#endif
#if defined(PYFF_HAVE_avx2)
#define PYFF_CASE_AVX2(name) \
  case Isa::avx2:            \
    return avx2::name(params);
#else
#define PYFF_CASE_AVX2(name)
#endif

#define PYFF_KERNEL(name, ...)            \
  void name(const __VA_ARGS__& params) {  \
    switch (active_isa()) {               \
      PYFF_CASE_AVX512(name)              \
      PYFF_CASE_AVX2(name)                \
      default:                            \
        return baseline::name(params);    \
    }                                     \
  }
#include "cpu/kernels.def"
#undef PYFF_KERNEL

}  // namespace pyff
