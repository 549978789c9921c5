// One view's set of visible triangles, from its pixels in any order and in any pieces.
#pragma once

#include <cstdint>
#include <vector>

#include "core/overlap_kernels.h"

namespace mirror {
namespace overlap {

// Owned by one thread, used for one view after the other.
class VisibleSet {
 public:
  // 0 <= num_faces <= INT32_MAX, min_pixels >= 1. Scratch memory: nothing for one pixel, a byte per triangle for up
  // to 255, else four.
  VisibleSet(int64_t num_faces, int64_t min_pixels);

  // A new view, whose set will be bits [words_of(num_faces)]; they are cleared.
  void start(uint64_t* bits);

  // Pixels of the view. std::invalid_argument, which names op and view, unless every id is -1..num_faces-1.
  void add(const int32_t* ids, int64_t pixels, const char* op, int64_t view);

  // How many triangles are in the set, which is complete now.
  int64_t finish() const;

 private:
  void add_piece(const int32_t* ids, int64_t pixels, const char* op, int64_t view);

  Kernels kernels_;
  int64_t faces_, min_pixels_;
  uint64_t* bits_ = nullptr;
  std::vector<uint8_t> few_;  // pixels so far, but at most 255
  std::vector<uint32_t> many_;
  std::vector<int32_t> starts_, ids_;  // of the runs in a piece of the map
  std::vector<RowMask> mask_;
};

}  // namespace overlap
}  // namespace mirror
