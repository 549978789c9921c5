#include "core/overlap_visible.h"

#include <algorithm>

#include "core/overlap_check.h"
#include "core/tasks.h"
#include "mirror/overlap.h"

namespace mirror {
namespace overlap {
namespace {

// Pixels are taken in pieces whose runs stay in the nearest cache.
constexpr int64_t kPiece = 4096;

// A triangle joins the set with the pixel that makes it enough.
template <class Count>
void mark_counted(const int32_t* ids, const int32_t* starts, int64_t runs, int64_t enough, Count* counts,
                  uint64_t* bits) {
  constexpr int64_t kMost = static_cast<Count>(-1);
  for (int64_t k = 0; k < runs; ++k) {
    const int32_t id = ids[k];
    if (id < 0) continue;
    const int64_t count = std::min<int64_t>(kMost, int64_t{counts[id]} + starts[k + 1] - starts[k]);
    counts[id] = static_cast<Count>(count);
    bits[id >> 6] |= static_cast<uint64_t>(count >= enough) << (id & 63);
  }
}

void mark(const int32_t* ids, int64_t runs, uint64_t* bits) {
  for (int64_t k = 0; k < runs; ++k)
    if (ids[k] >= 0) bits[ids[k] >> 6] |= uint64_t{1} << (ids[k] & 63);
}

}  // namespace

VisibleSet::VisibleSet(int64_t num_faces, int64_t min_pixels)
    : kernels_(selected_kernels()),
      faces_(num_faces),
      min_pixels_(min_pixels),
      few_(static_cast<size_t>(min_pixels > 1 && min_pixels <= UINT8_MAX ? num_faces : 0)),
      many_(static_cast<size_t>(min_pixels > UINT8_MAX ? num_faces : 0)),
      starts_(kPiece + 16),
      ids_(kPiece + 16),
      mask_(kPiece / 64 + 1) {}

void VisibleSet::start(uint64_t* bits) {
  bits_ = bits;
  std::fill_n(bits, words_of(faces_), 0);
  std::fill(few_.begin(), few_.end(), uint8_t{0});
  std::fill(many_.begin(), many_.end(), 0u);
}

void VisibleSet::add(const int32_t* ids, int64_t pixels, const char* op, int64_t view) {
  for (int64_t first = 0; first < pixels; first += kPiece)
    add_piece(ids + first, std::min(kPiece, pixels - first), op, view);
}

void VisibleSet::add_piece(const int32_t* ids, int64_t pixels, const char* op, int64_t view) {
  const int64_t runs = kernels_.find_runs(ids, pixels, starts_.data(), ids_.data(), mask_.data());
  if (kernels_.largest_id(ids_.data(), runs) > faces_) fail_ids(op, ids_.data(), runs, faces_, view);
  if (!few_.empty())
    mark_counted(ids_.data(), starts_.data(), runs, min_pixels_, few_.data(), bits_);
  else if (!many_.empty())
    mark_counted(ids_.data(), starts_.data(), runs, min_pixels_, many_.data(), bits_);
  else
    mark(ids_.data(), runs, bits_);
}

int64_t VisibleSet::finish() const {
  int64_t count = 0;
  for (int64_t w = 0; w < words_of(faces_); ++w) count += __builtin_popcountll(bits_[w]);
  return count;
}

}  // namespace overlap

void visible_triangles(const IdMaps& maps, int64_t num_faces, int64_t min_pixels, uint64_t* bitsets,
                       int64_t* counts, const Parallel& parallel) {
  constexpr const char* op = "visible_triangles";
  overlap::check_maps(op, maps);
  overlap::check_visible(op, num_faces, min_pixels);
  const int64_t pixels = maps.height * maps.width, words = words_of(num_faces);
  run_tasks(parallel, maps.views, [&] {
    return [&, set = overlap::VisibleSet(num_faces, min_pixels)](int64_t view) mutable {
      set.start(bitsets + view * words);
      set.add(maps.ids + view * pixels, pixels, op, view);
      counts[view] = set.finish();
    };
  });
}

}  // namespace mirror
