// All the test framework the core needs: CHECK macros that print and count failures, and random numbers that
// are the same everywhere. A test's main() ends with `return check::result();`.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "core/isa.h"

namespace check {

inline int failures = 0;
inline int64_t checks = 0;

inline bool report(bool ok, const char* file, int line, const std::string& what) {
  ++checks;
  if (ok) return true;
  if (++failures <= 30) std::cerr << file << ':' << line << ": " << what << std::endl;
  return false;
}

template <class A, class B>
bool equal(const A& a, const B& b, const char* text, const char* file, int line) {
  if (a == b) return report(true, file, line, {});
  return report(false, file, line,
                std::string(text) + ": " + std::to_string(a) + " against " + std::to_string(b));
}

inline bool near(double a, double b, double tolerance, const char* text, const char* file, int line) {
  if (a == b || std::abs(a - b) <= tolerance) return report(true, file, line, {});  // a == b: infinities
  return report(false, file, line,
                std::string(text) + ": " + std::to_string(a) + " against " + std::to_string(b));
}

// printf, as a string.
template <class... Arguments>
std::string text(const char* format, Arguments... arguments) {
  std::string out(static_cast<size_t>(std::snprintf(nullptr, 0, format, arguments...)), '\0');
  std::snprintf(&out[0], out.size() + 1, format, arguments...);
  return out;
}
inline std::string text(const char* plain) { return plain; }

// The exit status of main(). A test that checked nothing has failed.
inline int result() {
  std::printf("%lld checks, %d failures\n", static_cast<long long>(checks), failures);
  return failures == 0 && checks > 0 ? 0 : 1;
}

// Sanitizers slow everything down ten to fifty times: under them tests leave out their largest inputs, and under
// ThreadSanitizer what only one thread does.
#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitizer = true;
#else
constexpr bool kSanitizer = kThreadSanitizer;
#endif

// splitmix64: small, good, and the same on every machine (std::uniform_* are not).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t bits() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  int64_t below(int64_t n) { return static_cast<int64_t>(bits() % static_cast<uint64_t>(n)); }
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }  // [0, 1)
  double normal() {  // twelve uniforms: no libm, so the same bits everywhere
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += uniform();
    return sum;
  }

 private:
  uint64_t state_;
};

// The instruction-set levels of this machine, lowest first. use_isa makes the next op calls take one of them.
inline std::vector<mirror::Isa> isa_levels() {
  std::vector<mirror::Isa> levels;
  for (int i = 0; i <= static_cast<int>(mirror::isa_available()); ++i)
    levels.push_back(static_cast<mirror::Isa>(i));
  return levels;
}
inline void use_isa(mirror::Isa isa) { setenv("MIRROR_ISA", mirror::isa_name(isa), 1); }

}  // namespace check

#define CHECK(condition) \
  ::check::report(static_cast<bool>(condition), __FILE__, __LINE__, "CHECK(" #condition ")")
// With a message for printf, made only when the check fails.
#define CHECK_SAY(condition, ...)                                                                     \
  do {                                                                                                \
    const bool passed = static_cast<bool>(condition);                                                 \
    ::check::report(passed, __FILE__, __LINE__,                                                       \
                    passed ? std::string() : "CHECK(" #condition "): " + ::check::text(__VA_ARGS__)); \
  } while (false)
#define CHECK_EQ(a, b) ::check::equal((a), (b), #a " == " #b, __FILE__, __LINE__)
#define CHECK_NEAR(a, b, tolerance) ::check::near((a), (b), (tolerance), #a " ~ " #b, __FILE__, __LINE__)
#define CHECK_THROWS(expression, Exception)                                                   \
  do {                                                                                        \
    bool thrown = false;                                                                      \
    try {                                                                                     \
      expression;                                                                             \
    } catch (const Exception&) {                                                              \
      thrown = true;                                                                          \
    }                                                                                         \
    ::check::report(thrown, __FILE__, __LINE__, "expected " #Exception " from " #expression); \
  } while (false)
