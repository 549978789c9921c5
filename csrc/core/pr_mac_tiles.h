// What a pr_mac kernel is, inside the core: packed query rows times packed target regions, reduced to maxima.
//
//   lanes = target images, one target region at a time        so the maximum over regions is elementwise
//   rows  = regions of several query images, one after another     and no number of regions needs padding
//
//            lane 0   lane 1  ...           for each region r of the targets:
//   row 0  [ q0.t0r   q0.t1r  ...             best[row][lane] = max(best, product - bias[r][lane])
//   row 1  [ q1.t0r   ...                     self-join also: column_best[image of row][r][lane] =
//   ...                                                             max(column_best, product - row_bias[row])
//
// bias is 0 for similarities and |t|^2 / 2 for distances (|q - t|^2 = |q|^2 - 2 (q.t - |t|^2 / 2)); +infinity marks
// regions that do not exist. A product that is NaN never becomes a maximum.
#pragma once

#include <cstdint>

#include "core/isa.h"
#include "mirror/pr_mac.h"

namespace mirror {
namespace prmac {

// Rows of a block of query images against a group of target images. The caller fills best and column_best with
// -infinity and index with 0.
template <class T>
struct Tile {
  const void* panels = nullptr;  // packed rows, panel after panel
  int64_t panel_count = 0;
  const void* regions = nullptr;  // packed target regions
  const T* bias = nullptr;        // [region_count, lanes]
  int64_t region_count = 0;
  int64_t channels = 0;
  const void* upcoming = nullptr;  // packed target regions that come next, to be fetched early; or nullptr
  T* best = nullptr;               // [rows, lanes], rows = panel_count * panel
  int32_t* index = nullptr;        // [rows, lanes]: region of the first maximum; or nullptr
  // Self-join only (column_best not nullptr; index is nullptr then):
  const T* row_bias = nullptr;         // [rows]
  const int32_t* row_image = nullptr;  // [rows]: image within the block, rising
  T* column_best = nullptr;            // [images, region_count, lanes]
};

// Regions of one query image (lanes) against the regions of one candidate (rows, as they lie in memory).
template <class T>
struct Strip {
  const T* lanes = nullptr;     // [channels, width]
  int64_t width = 0;            // as Kernel::strip_width gave it
  const T* target = nullptr;    // [regions, channels]
  const T* upcoming = nullptr;  // the candidate that comes next, to be fetched early; or nullptr
  const T* bias = nullptr;      // [regions]
  int64_t regions = 0;
  int64_t channels = 0;
  T* best = nullptr;  // [width]: the maximum over the regions of product - bias
};

template <class T>
struct Kernel {
  int64_t panel;        // rows of a panel
  int64_t lanes;        // target images of a group
  int64_t block_bytes;  // packed query rows that stay in the cache while a group of targets passes
  // Bytes of one packed panel and of one packed region of a group.
  int64_t (*panel_bytes)(int64_t channels);
  int64_t (*region_bytes)(int64_t channels);
  // Pack `panel` or `lanes` rows [channels] of T; nullptr stands for zeros.
  void (*pack_panel)(const T* const* rows, int64_t channels, void* packed);
  void (*pack_region)(const T* const* rows, int64_t channels, void* packed);
  void (*multiply)(const Tile<T>& tile);
  // Re-ranking: how many lanes to take of the remaining ones (rounded up), and the products of such a strip.
  int64_t (*strip_width)(int64_t remaining);
  void (*strip)(const Strip<T>& strip);
};

extern const Kernel<float> kPortableFloat;
extern const Kernel<double> kPortableDouble;
#if MIRROR_X86
extern const Kernel<float> kAvx2;
extern const Kernel<float> kAvx512;
extern const Kernel<float> kAvx512Bf16;  // expects values that are bfloat16 already; no strips
extern const Kernel<float> kAmxBf16;     // the same
#endif

// The kernel of the selected instruction set. kBf16 falls back to float32 products where there are no others.
template <class T>
const Kernel<T>& select_kernel(Precision precision);

}  // namespace prmac
}  // namespace mirror
