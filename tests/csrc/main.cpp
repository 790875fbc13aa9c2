// Runs every test, or those whose "file isa name" contains the first argument.
#include <algorithm>
#include <cstdlib>
#include <vector>

#include "check.hpp"
#include "core/isa.hpp"

namespace check {
namespace {

int failures = 0;
constexpr int kReported = 20;  // per test; one wrong formula fails at a thousand points

}  // namespace

Test*& tests() {
  static Test* first = nullptr;
  return first;
}

bool add(Test* test) {
  test->next = tests();
  tests() = test;
  return true;
}

void failed(const char* file, int line, const std::string& text) {
  if (++failures <= kReported) std::fprintf(stderr, "  %s:%d: %s\n", file, line, text.c_str());
}

namespace {

bool can_run(const Test& test) {
  for (pyff::Isa isa : {pyff::Isa::baseline, pyff::Isa::avx2, pyff::Isa::avx512})
    if (std::strcmp(test.isa, pyff::isa_name(isa)) == 0) return isa <= pyff::best_isa();
  return false;
}

std::string full_name(const Test& test) {
  const char* slash = std::strrchr(test.file, '/');
  return std::string(slash ? slash + 1 : test.file) + " " + test.isa + " " + test.name;
}

// Returns whether the test passed.
bool run(const Test& test) {
  failures = 0;
  try {
    test.body();
  } catch (const std::exception& e) {
    failed(test.file, 0, std::string("uncaught: ") + e.what());
  }
  if (failures) std::fprintf(stderr, "FAILED %s: %d checks\n", full_name(test).c_str(), failures);
  return failures == 0;
}

int run_all(const char* filter) {
  std::vector<Test*> chosen;
  for (Test* test = tests(); test; test = test->next)
    if (full_name(*test).find(filter) != std::string::npos) chosen.push_back(test);
  std::reverse(chosen.begin(), chosen.end());
  int passed = 0, failed_tests = 0, skipped = 0;
  for (const Test* test : chosen) {
    if (!can_run(*test))
      ++skipped;
    else
      ++(run(*test) ? passed : failed_tests);
  }
  std::printf("C++ tests: %d passed, %d failed, %d skipped (instruction set not on this processor)\n", passed,
              failed_tests, skipped);
  if (passed + failed_tests + skipped == 0) std::fprintf(stderr, "no test matches '%s'\n", filter);
  return failed_tests == 0 && passed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace check

int main(int argc, char** argv) { return check::run_all(argc > 1 ? argv[1] : ""); }
