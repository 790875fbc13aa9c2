// Which instruction set the hot kernels use on this processor.
#pragma once

namespace pyff {

enum class Isa { baseline, avx2, avx512 };

// The best set that processor and operating system support, or the one that PYFF_ISA=baseline|avx2|avx512 forces.
// Decided once. A forced set that the processor lacks throws Error.
Isa active_isa();

const char* isa_name(Isa isa);
Isa best_isa();

}  // namespace pyff
