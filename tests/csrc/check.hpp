// A test framework in one header. TEST(name) { ... } registers itself; CHECK continues after a failure and says where.
// A file that is compiled once per instruction set (CMakeLists.txt, PYFF_ISA_TESTS) puts its tests in
// namespace pyff::PYFF_ISA; main skips those that the processor cannot run.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstring>
#include <sstream>
#include <string>

#include "core/macros.hpp"

namespace check {

struct Test {
  const char* file;
  const char* name;
  const char* isa;  // "baseline", "avx2" or "avx512"
  void (*body)();
  Test* next;
};

Test*& tests();
bool add(Test* test);  // takes a pointer only: a registrar compiled with AVX runs on processors that have none
void failed(const char* file, int line, const std::string& text);

template <class T>
std::string text_of(const T& value) {
  std::ostringstream out;
  out.precision(17);
  out << value;
  return out.str();
}

inline bool near(long double got, long double want, long double tolerance) {
  return std::fabs(got - want) <= tolerance;  // false for NaN
}

}  // namespace check

#define CHECK_STRING_(x) #x
#define CHECK_STRING(x) CHECK_STRING_(x)

#define TEST(test_name)                                                                                    \
  static void test_name();                                                                                 \
  static check::Test test_name##_entry{__FILE__, #test_name, CHECK_STRING(PYFF_ISA), &test_name, nullptr}; \
  static const bool test_name##_added = check::add(&test_name##_entry);                                    \
  static void test_name()

#define CHECK(condition)                                             \
  do {                                                               \
    if (!(condition)) check::failed(__FILE__, __LINE__, #condition); \
  } while (false)

#define CHECK_EQUAL(got, want)                                                                            \
  do {                                                                                                    \
    const auto check_got = (got);                                                                         \
    const auto check_want = (want);                                                                       \
    if (!(check_got == check_want))                                                                       \
      check::failed(__FILE__, __LINE__,                                                                   \
                    #got " is " + check::text_of(check_got) + ", must be " + check::text_of(check_want)); \
  } while (false)

#define CHECK_NEAR(got, want, tolerance)                                                                               \
  do {                                                                                                                 \
    const long double check_got = (got), check_want = (want), check_tolerance = (tolerance);                           \
    if (!check::near(check_got, check_want, check_tolerance))                                                          \
      check::failed(__FILE__, __LINE__,                                                                                \
                    #got " is " + check::text_of(check_got) + ", must be " + check::text_of(check_want) + " within " + \
                        check::text_of(check_tolerance));                                                              \
  } while (false)

#define CHECK_THROWS(expression, exception, part)                                                              \
  do {                                                                                                         \
    std::string check_what = "nothing was thrown";                                                             \
    try {                                                                                                      \
      (void)(expression);                                                                                      \
    } catch (const exception& e) {                                                                             \
      check_what = e.what();                                                                                   \
    }                                                                                                          \
    if (check_what.find(part) == std::string::npos)                                                            \
      check::failed(__FILE__, __LINE__, #expression " must throw '" + std::string(part) + "': " + check_what); \
  } while (false)
