#include "core/isa.hpp"

#include <cstdlib>
#include <cstring>
#include <string>

#include "core/status.hpp"

namespace pyff {

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::avx512:
      return "avx512";
    case Isa::avx2:
      return "avx2";
    default:
      return "baseline";
  }
}

bool is_built(Isa isa) {
#if defined(PYFF_HAVE_avx512)
  if (isa == Isa::avx512) return true;
#endif
#if defined(PYFF_HAVE_avx2)
  if (isa == Isa::avx2) return true;
#endif
  return isa == Isa::baseline;
}

Isa best_isa() {
#if defined(PYFF_HAVE_avx2) || defined(PYFF_HAVE_avx512)
  __builtin_cpu_init();  // asks cpuid and the operating system's saved state (XGETBV)
  // what CMakeLists.txt compiles each set with, flag by flag
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512cd");
  if (avx2 && avx512 && is_built(Isa::avx512)) return Isa::avx512;
  if (avx2 && is_built(Isa::avx2)) return Isa::avx2;
#endif
  return Isa::baseline;
}

Isa choose_isa(const char* wish, Isa best) {
  if (!wish || !*wish) return best;
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (std::strcmp(wish, isa_name(isa)) != 0) continue;
    PYFF_REQUIRE(static_cast<int>(isa) <= static_cast<int>(best) && is_built(isa),
                 "PYFF_ISA=" << wish << " asks for instructions that this processor or build lacks; the best is "
                             << isa_name(best) << "; unset PYFF_ISA to use it");
    return isa;
  }
  throw Error(std::string("PYFF_ISA must be baseline, avx2 or avx512; received '") + wish + "'");
}

Isa active_isa() {
  static const Isa isa = choose_isa(std::getenv("PYFF_ISA"), best_isa());
  return isa;
}

}  // namespace pyff
