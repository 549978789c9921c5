// What the instruction sets differ in. A kernel sees plain pointers: pooling_regions.cpp and pooling_masked.cpp deal with
// layouts, storage types and threads.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/pooling_plan.h"

namespace mirror {
namespace pooling {

// Regions are pooled for so many channels at a time: 256 bytes.
template <class T>
constexpr int64_t kLanes = 256 / sizeof(T);

// Positions in a map, as wide as the values beside them.
template <class T>
using Index = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;

// Values and, where argmax is wanted, their positions; two arrays in step.
template <class T>
struct Found {
  T* value = nullptr;
  Index<T>* index = nullptr;  // nullptr: values only

  Found at(int64_t offset) const { return {value + offset, index ? index + offset : nullptr}; }
};

// Some rows of a map: row r, column c are kLanes numbers at data + r * row_step + c * column_step.
template <class T>
struct Cells {
  const T* data;
  int64_t row_step, column_step;
};

template <class T>
struct Kernels {
  // Cells of kLanes planes side by side: tile[i * kLanes + l] = planes[l][i] for i < cells.
  void (*interleave)(const T* const* planes, int64_t cells, T* tile);

  // Takes `rows` rows into one row of the grid, grid [columns, kLanes]: the maximum between each two cuts. `first_row`
  // is where the rows lie in the map of `width` columns; `fresh`: nothing is in the grid yet. Is there no NaN?
  // (It may also say no where infinities of both signs meet; what is in the grid is then not used.)
  bool (*reduce)(const Cells<T>& cells, int64_t rows, const int64_t* cuts, int64_t columns, int64_t first_row,
                 int64_t width, bool fresh, const Found<T>& grid);

  // node[target] = max(node[first], node[second]) for every step. Node i < leaves is at leaf + i * length, later ones
  // at made + (i - leaves) * length; length is a multiple of kLanes.
  void (*combine)(const Step* begin, const Step* end, int64_t leaves, int64_t length, const Found<T>& leaf,
                  const Found<T>& made);

  // Maxima of planes under one mask: `count` vectors of `width` cells at plane + offsets[i], of which those count whose
  // mask[i * width + lane] is all ones (else 0). Offsets rise; vectors may overlap. best [planes]. Is there no NaN?
  // (As above.)
  int64_t width;
  bool (*masked_planes)(const T* plane, int64_t plane_step, int64_t planes, const int32_t* offsets,
                        const Index<T>* mask, int64_t count, const Found<T>& best);

  // The maximum over listed cells for `channels` channels side by side: cells[i] are channels numbers at
  // data + offsets[i], their position is positions[i]; rising. Is there no NaN? (As above.)
  bool (*masked_cells)(const T* data, const int64_t* offsets, const int32_t* positions, int64_t count,
                       int64_t channels, const Found<T>& best);
};

template <class T>
Kernels<T> portable_kernels();
#if defined(MIRROR_X86)
template <class T>
Kernels<T> avx2_kernels();
template <class T>
Kernels<T> avx512_kernels();
#endif

}  // namespace pooling
}  // namespace mirror
