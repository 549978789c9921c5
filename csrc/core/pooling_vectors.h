// The kernels in vectors of MIRROR_VECTOR bytes, compiled once for every instruction set by the file that includes this:
// hence everything in an anonymous namespace. Vectors are those of GCC and Clang; the comparison `a > b ? a : b` on them is
// one maximum instruction, which drops a NaN in a. NaNs are looked for by adding everything up: a NaN makes a sum NaN.
#pragma once

#include <cstring>
#include <limits>

#include "core/pooling_kernels.h"
#include "core/pooling_lanes.h"

namespace mirror {
namespace pooling {
namespace {

template <class T>
struct VectorOf {
  typedef T Values __attribute__((vector_size(MIRROR_VECTOR)));
  typedef Index<T> Indices __attribute__((vector_size(MIRROR_VECTOR)));
};
template <class T>
using Values = typename VectorOf<T>::Values;
template <class T>
using Indices = typename VectorOf<T>::Indices;
template <class T>
constexpr int kWidth = MIRROR_VECTOR / sizeof(T);
template <class T>
constexpr int kVectors = kLanes<T> / kWidth<T>;  // of a block of channels

template <class Vector, class Element>
inline Vector load(const Element* from) {
  Vector v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
template <class Vector, class Element>
inline void store(Element* to, const Vector& v) {
  std::memcpy(to, &v, sizeof v);
}

#if defined(__AVX512DQ__)
using LaneMask = __m512i;
#elif defined(__AVX2__)
using LaneMask = __m256i;
#endif

template <class T>
constexpr T kLowest = -std::numeric_limits<T>::infinity();

template <class T>
inline Values<T> all(T x) {
  return x - Values<T>{};
}
template <class T>
inline Indices<T> every(Index<T> i) {
  return i - Indices<T>{};
}

template <class T>
inline uint32_t lane_bits(const Indices<T>& mask) {
#if defined(__AVX2__)
  return bits(load<LaneMask>(&mask), T());
#else
  return bits(mask, T());
#endif
}

// Running maxima of N vectors, with the position of the first cell that holds them.
template <class T, int N, bool kIndexed>
struct Running {
  Values<T> best[N], sum[N];
  Indices<T> where[N];

  void start(Index<T> position) {
    for (int v = 0; v < N; ++v) {
      best[v] = all<T>(kLowest<T>);
      if (kIndexed) where[v] = every<T>(position);
    }
  }
  void start(const Found<T>& from) {
    for (int v = 0; v < N; ++v) {
      best[v] = load<Values<T>>(from.value + v * kWidth<T>);
      if (kIndexed) where[v] = load<Indices<T>>(from.index + v * kWidth<T>);
    }
  }
  void take(const T* cell, Index<T> position) {
    for (int v = 0; v < N; ++v) {
      const Values<T> x = load<Values<T>>(cell + v * kWidth<T>);
      sum[v] += x;
      if (kIndexed) where[v] = x > best[v] ? every<T>(position) : where[v];
      best[v] = x > best[v] ? x : best[v];
    }
  }
  void put(const Found<T>& to) const {
    for (int v = 0; v < N; ++v) {
      store(to.value + v * kWidth<T>, best[v]);
      if (kIndexed) store(to.index + v * kWidth<T>, where[v]);
    }
  }
};

template <class T, int N>
inline bool no_nan(const Values<T> (&sum)[N]) {
  Indices<T> nan = sum[0] != sum[0];
  for (int v = 1; v < N; ++v) nan |= sum[v] != sum[v];
  return lane_bits<T>(nan) == 0;
}

// A block of channels into the first-level cache.
template <class T>
inline void fetch(const T* block) {
  for (int64_t l = 0; l < kLanes<T>; l += 64 / int64_t{sizeof(T)}) __builtin_prefetch(block + l);
}
constexpr int64_t kAhead = 16;  // cells
constexpr int64_t kRowsAhead = 3;

template <class T, bool kIndexed>
bool reduce_rows(const Cells<T>& cells, int64_t rows, const int64_t* cuts, int64_t columns, int64_t first_row,
                 int64_t width, bool fresh, const Found<T>& grid) {
  const bool far = cells.column_step != kLanes<T>;  // in the caller's memory, not in a tile
  Running<T, kVectors<T>, kIndexed> running;
  for (Values<T>& sum : running.sum) sum = Values<T>{};
  for (int64_t j = 0; j < columns; ++j) {
    const Found<T> to = grid.at(j * kLanes<T>);
    if (fresh)
      running.start(static_cast<Index<T>>(first_row * width + cuts[j]));
    else
      running.start(to);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = cuts[j]; c < cuts[j + 1]; ++c) {
        const T* const cell = cells.data + r * cells.row_step + c * cells.column_step;
        if (far) fetch(cell + kRowsAhead * cells.row_step);
        running.take(cell, static_cast<Index<T>>((first_row + r) * width + c));
      }
    running.put(to);
  }
  return no_nan<T>(running.sum);
}

template <class T>
bool reduce(const Cells<T>& cells, int64_t rows, const int64_t* cuts, int64_t columns, int64_t first_row,
            int64_t width, bool fresh, const Found<T>& grid) {
  return grid.index ? reduce_rows<T, true>(cells, rows, cuts, columns, first_row, width, fresh, grid)
                    : reduce_rows<T, false>(cells, rows, cuts, columns, first_row, width, fresh, grid);
}

template <class T>
void combine(const Step* begin, const Step* end, int64_t leaves, int64_t length, const Found<T>& leaf,
             const Found<T>& made) {
  const auto node = [&](int32_t i) {
    return i < leaves ? leaf.at(i * length) : made.at((i - leaves) * length);
  };
  for (const Step* step = begin; step != end; ++step) {
    const Found<T> a = node(step->first), b = node(step->second), to = node(step->target);
    for (int64_t i = 0; i < length; i += kWidth<T>) {
      const Values<T> x = load<Values<T>>(a.value + i), y = load<Values<T>>(b.value + i);
      store(to.value + i, y > x ? y : x);
      if (!to.index) continue;
      const Indices<T> p = load<Indices<T>>(a.index + i), q = load<Indices<T>>(b.index + i);
      store(to.index + i, y > x ? q : y == x ? (q < p ? q : p) : p);  // ties: the first cell
    }
  }
}

// The first cell under the mask that holds the value; there is one.
template <class T>
inline int32_t find(T value, const T* plane, const int32_t* offsets, const Index<T>* mask) {
  for (;; ++offsets, mask += kWidth<T>) {
    const Indices<T> equal = load<Values<T>>(plane + *offsets) == all<T>(value);
    const uint32_t found = lane_bits<T>(equal & load<Indices<T>>(mask));
    if (found != 0) return *offsets + __builtin_ctz(found);
  }
}

template <class T>
bool masked_planes(const T* plane, int64_t plane_step, int64_t planes, const int32_t* offsets,
                   const Index<T>* mask, int64_t count, const Found<T>& best) {
  constexpr int kAtOnce = 4;
  Values<T> most[kAtOnce], sum[kAtOnce] = {};
  const auto take = [&](int64_t i, int k) {
    const Values<T> x = load<Values<T>>(plane + offsets[i]);
    const Values<T> counted = load<Indices<T>>(mask + i * kWidth<T>) ? x : all<T>(kLowest<T>);
    sum[k] += x;
    most[k] = counted > most[k] ? counted : most[k];
  };
  for (int64_t p = 0; p < planes; ++p, plane += plane_step) {
    for (Values<T>& m : most) m = all<T>(kLowest<T>);
    int64_t i = 0;
    for (; i + kAtOnce <= count; i += kAtOnce)
      for (int k = 0; k < kAtOnce; ++k) take(i + k, k);
    for (; i < count; ++i) take(i, 0);
    for (int k = 1; k < kAtOnce; ++k) most[0] = most[k] > most[0] ? most[k] : most[0];
    best.value[p] = largest_lane(most[0]);
    if (!best.index) continue;
    if (!no_nan<T>(sum)) return false;  // it might not be found
    best.index[p] = find(best.value[p], plane, offsets, mask);
  }
  return no_nan<T>(sum);
}

// N vectors of channels at a time, all listed cells.
template <class T, int N, bool kIndexed>
bool masked_columns(const T* data, const int64_t* offsets, const int32_t* positions, int64_t count,
                    const Found<T>& best) {
  Running<T, N, kIndexed> running;
  for (Values<T>& sum : running.sum) sum = Values<T>{};
  running.start(positions[0]);
  for (int64_t i = 0; i < count; ++i) {
    fetch(data + offsets[i + kAhead < count ? i + kAhead : i]);
    running.take(data + offsets[i], positions[i]);
  }
  running.put(best);
  return no_nan<T>(running.sum);
}

// What is left of the channels, one by one.
template <class T>
bool masked_channel(const T* data, const int64_t* offsets, const int32_t* positions, int64_t count,
                    const Found<T>& best) {
  T largest = kLowest<T>, sum = 0;
  int32_t where = positions[0];
  for (int64_t i = 0; i < count; ++i) {
    const T x = data[offsets[i]];
    sum += x;
    if (x > largest) largest = x, where = positions[i];
  }
  *best.value = largest;
  if (best.index) *best.index = where;
  return sum == sum;
}

template <class T>
bool masked_cells(const T* data, const int64_t* offsets, const int32_t* positions, int64_t count,
                  int64_t channels, const Found<T>& best) {
  constexpr int64_t kBlock = kLanes<T>;
  bool good = true;
  int64_t c = 0;
  for (; c + kBlock <= channels; c += kBlock)
    good &= best.index
                ? masked_columns<T, kVectors<T>, true>(data + c, offsets, positions, count, best.at(c))
                : masked_columns<T, kVectors<T>, false>(data + c, offsets, positions, count, best.at(c));
  for (; c < channels; ++c) good &= masked_channel(data + c, offsets, positions, count, best.at(c));
  return good;
}

template <class T>
void interleave(const T* const* planes, int64_t cells, T* tile) {
  for (int64_t i = 0; i < cells; ++i)
    for (int64_t l = 0; l < kLanes<T>; ++l) tile[i * kLanes<T> + l] = planes[l][i];
}

template <class T>
Kernels<T> kernels() {
  return {interleave<T>, reduce<T>, combine<T>, kWidth<T>, masked_planes<T>, masked_cells<T>};
}

}  // namespace
}  // namespace pooling
}  // namespace mirror
