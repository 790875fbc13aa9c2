// Which instruction set the hot kernels use on this processor.
#pragma once

namespace pyff {

enum class Isa { baseline, avx2, avx512 };

const char* isa_name(Isa isa);

// Whether this build has kernels for the set (PYFF_WIDE_ISAS of CMakeLists.txt).
bool is_built(Isa isa);

// The best set that this build has and that processor and operating system support.
Isa best_isa();

// The set named by `wish`, `best` if that is null or empty. Throws Error for an unknown name or a set above `best`.
Isa choose_isa(const char* wish, Isa best);

// choose_isa(environment variable PYFF_ISA, best_isa()), decided at the first call that does not throw.
Isa active_isa();

}  // namespace pyff
