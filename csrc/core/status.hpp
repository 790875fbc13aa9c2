// The one exception type that leaves native code; the bindings turn it into ValueError or RuntimeError.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace pyff {

// A caller's mistake: a value or a shape that the function cannot accept.
struct Error : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

// The environment's fault: no driver, no memory, a library that cannot be loaded.
struct RuntimeFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace pyff

#define PYFF_REQUIRE(condition, message)         \
  do {                                           \
    if (!(condition)) {                          \
      std::ostringstream pyff_text;              \
      pyff_text << message; /* streamed parts */ \
      throw ::pyff::Error(pyff_text.str());      \
    }                                            \
  } while (false)
