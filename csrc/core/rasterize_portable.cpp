// Lanes as plain arrays.
#include <algorithm>

#include "core/rasterize_draw.h"

namespace mirror {
namespace raster {
namespace {

template <class T, int kCount>
struct Vector {
  T at[kCount];
};

struct Portable {
  static constexpr int kLanes = 8, kHalf = 4;
  static constexpr unsigned kAll = 0xff;
  using I = Vector<int32_t, 8>;
  using F = Vector<float, 8>;
  using D = Vector<double, 4>;
  using M = Vector<bool, 8>;
  using HalfM = Vector<bool, 4>;
  using Row = Portable;
  using Wide = Portable;

  template <class R, class Work>
  static R each(const Work& work) {
    R result;
    for (int k = 0; k < static_cast<int>(sizeof(result.at) / sizeof(result.at[0])); ++k)
      result.at[k] = work(k);
    return result;
  }
  static I set(int32_t x) {
    return each<I>([&](int) { return x; });
  }
  static F set(float x) {
    return each<F>([&](int) { return x; });
  }
  static D set(double x) {
    return each<D>([&](int) { return x; });
  }
  static I lanes() {
    return each<I>([](int k) { return k; });
  }
  static I load(const int32_t* p) {
    return each<I>([&](int k) { return p[k]; });
  }
  static F load(const float* p) {
    return each<F>([&](int k) { return p[k]; });
  }
  static I load_short(const uint16_t* p) {
    return each<I>([&](int k) { return int32_t{p[k]}; });
  }
  template <class T>
  static D load_double(const T* p) {
    return each<D>([&](int k) { return static_cast<double>(p[k]); });
  }
  template <class T>
  static void store(T* p, const Vector<T, 8>& x) {
    std::copy(x.at, x.at + 8, p);
  }
  template <class T>
  static void store_where(T* p, const M& m, const Vector<T, 8>& yes, const Vector<T, 8>& no) {
    store(p, select(m, yes, no));
  }
  static void store_rounded(int32_t* p, const D& x) {
    for (int k = 0; k < 4; ++k) p[k] = nearest(x.at[k]);
  }
  static void store_float(float* p, const D& x) {
    for (int k = 0; k < 4; ++k) p[k] = static_cast<float>(x.at[k]);
  }
  template <class T>
  static Vector<T, 8> gather(const T* p, const I& index) {
    return each<Vector<T, 8>>([&](int k) { return p[index.at[k]]; });
  }

  template <class A>
  static A add(const A& a, const A& b) {
    return each<A>([&](int k) { return a.at[k] + b.at[k]; });
  }
  template <class A>
  static A sub(const A& a, const A& b) {
    return each<A>([&](int k) { return a.at[k] - b.at[k]; });
  }
  template <class A>
  static A mul(const A& a, const A& b) {
    return each<A>([&](int k) { return a.at[k] * b.at[k]; });
  }
  template <class A>
  static A div(const A& a, const A& b) {
    return each<A>([&](int k) { return a.at[k] / b.at[k]; });
  }
  template <class A>
  static A min(const A& a, const A& b) {
    return each<A>([&](int k) { return a.at[k] < b.at[k] ? a.at[k] : b.at[k]; });
  }
  template <class A>
  static A max(const A& a, const A& b) {
    return each<A>([&](int k) { return a.at[k] > b.at[k] ? a.at[k] : b.at[k]; });
  }
  static F clamp(const F& x, const F& low, const F& high) { return min(max(x, low), high); }
  static D abs(const D& x) {
    return each<D>([&](int k) { return x.at[k] < 0 ? -x.at[k] : x.at[k]; });
  }
  template <int kBits>
  static I shift(const I& x) {
    return each<I>([&](int k) { return x.at[k] >> kBits; });
  }
  template <int kBits>
  static I grow(const I& x) {
    return each<I>([&](int k) { return x.at[k] * (1 << kBits); });
  }
  // (a dx + b dy - bias) / 4096, rounded down.
  static I edge(const I& a, const I& dx, const I& b, const I& dy, const I& bias) {
    return each<I>([&](int k) {
      return static_cast<int32_t>(
          shifted(int64_t{a.at[k]} * dx.at[k] + int64_t{b.at[k]} * dy.at[k] - bias.at[k]));
    });
  }
  static D to_double(const I& x, int half) {
    return each<D>([&](int k) { return static_cast<double>(x.at[4 * half + k]); });
  }
  static D to_double(const F& x, int half) {
    return each<D>([&](int k) { return static_cast<double>(x.at[4 * half + k]); });
  }
  static F to_float(const I& x) {
    return each<F>([&](int k) { return static_cast<float>(x.at[k]); });
  }
  static F to_float(const D& low, const D& high) {
    return each<F>([&](int k) { return static_cast<float>(k < 4 ? low.at[k] : high.at[k - 4]); });
  }

  template <class A>
  static M less(const A& a, const A& b) {
    return each<M>([&](int k) { return a.at[k] < b.at[k]; });
  }
  template <class A>
  static M equal(const A& a, const A& b) {
    return each<M>([&](int k) { return a.at[k] == b.at[k]; });
  }
  static M not_negative(const I& x) {
    return each<M>([&](int k) { return x.at[k] >= 0; });
  }
  static HalfM at_most(const D& a, const D& b) {
    return each<HalfM>([&](int k) { return a.at[k] <= b.at[k]; });
  }
  template <class A>
  static A both(const A& a, const A& b) {
    return each<A>([&](int k) { return a.at[k] & b.at[k]; });
  }
  template <class A>
  static A either(const A& a, const A& b) {
    return each<A>([&](int k) { return a.at[k] | b.at[k]; });
  }
  static M but_not(const M& a, const M& b) {
    return each<M>([&](int k) { return a.at[k] && !b.at[k]; });
  }
  template <class A>
  static A select(const M& m, const A& yes, const A& no) {
    return each<A>([&](int k) { return m.at[k] ? yes.at[k] : no.at[k]; });
  }
  static D keep(const HalfM& m, const D& x) {
    return each<D>([&](int k) { return m.at[k] ? x.at[k] : 0.0; });
  }
  static unsigned bits(const M& m) {
    unsigned result = 0;
    for (int k = 0; k < 8; ++k) result |= static_cast<unsigned>(m.at[k]) << k;
    return result;
  }
  static bool any(const M& m) { return bits(m) != 0; }
  static bool every(const HalfM& m) { return m.at[0] && m.at[1] && m.at[2] && m.at[3]; }
  static unsigned moving(unsigned kept) { return kept; }
  static I together(const I& x, unsigned kept) {
    I result = x;
    for (int n = 0; kept != 0; kept &= kept - 1) result.at[n++] = x.at[__builtin_ctz(kept)];
    return result;
  }
};

}  // namespace

Kernels portable_kernels() { return {draw<Portable>, invert<Portable>}; }

}  // namespace raster
}  // namespace mirror
