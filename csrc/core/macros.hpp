// Qualifiers shared by host and device code.
#pragma once

#if defined(__CUDACC__)
#define PYFF_HD __host__ __device__ __forceinline__
#else
#define PYFF_HD inline
#endif

#if defined(__GNUC__) || defined(__clang__)
#define PYFF_RESTRICT __restrict__
#else
#define PYFF_RESTRICT
#endif

// Every file that is compiled once per instruction set defines PYFF_ISA on the command line; all its code, that of
// the headers it includes too, lives in namespace pyff::PYFF_ISA, so that the linker never merges an AVX-512 template
// instance into code that an older processor runs.
#ifndef PYFF_ISA
#define PYFF_ISA baseline
#endif
