// Max pooling under masks. Two ways, after the layout: plane by plane (cells side by side), or cell by cell (channels
// side by side).
#include <algorithm>
#include <vector>

#include "core/float_mode.h"
#include "core/pooling_maps.h"
#include "core/pooling_run.h"
#include "core/tasks.h"

namespace mirror {
namespace pooling {
namespace {

constexpr int64_t kChannelsOfTask = 128;

template <class T>
struct MaskWork {
  const Kernels<T>& kernels;
  const FeatureMaps& features;
  const uint8_t* mask;
  void* pooled;
  int32_t* argmax;

  int64_t cells() const { return features.height * features.width; }
  int64_t chunks() const { return (features.channels + kChannelsOfTask - 1) / kChannelsOfTask; }
  bool by_cells() const { return features.strides[1] == 1 && !flat(features); }
};

template <class T>
class MaskPooler {
 public:
  explicit MaskPooler(const MaskWork<T>& work)
      : work_(work), maps_(work.features), copy_(copies() ? copy_size() : 0) {}

  void operator()(int64_t task) {
    const FloatMode mode;
    const int64_t image = task / work_.chunks();
    if (image != image_) read_mask(image);
    first_channel_ = task % work_.chunks() * kChannelsOfTask;
    channels_ = std::min(kChannelsOfTask, maps_.channels - first_channel_);
    base_ = image_ * maps_.strides[0] + first_channel_ * maps_.strides[1];
    if (positions_.empty())
      for (int64_t l = 0; l < channels_; ++l) pool_one_by_one(l);
    else if (work_.by_cells())
      pool_cells();
    else
      pool_planes();
  }

 private:
  bool copies() const { return maps_.scalar != kOwn<T> || (!work_.by_cells() && !flat(maps_)); }
  int64_t copy_size() const { return work_.cells() * (work_.by_cells() ? kChannelsOfTask : 1); }

  // Which cells count, in the forms that the kernels take.
  void read_mask(int64_t image) {
    image_ = image;
    positions_.clear();
    cell_offsets_.clear();
    const uint8_t* const mask = work_.mask + image * work_.cells();
    for (int64_t i = 0; i < work_.cells(); ++i) {
      if (mask[i] == 0) continue;
      positions_.push_back(static_cast<int32_t>(i));
      cell_offsets_.push_back(i / maps_.width * maps_.strides[2] + i % maps_.width * maps_.strides[3]);
    }
    if (!work_.by_cells()) read_vectors(mask);
  }

  // Vectors of cells among which one counts; the last is moved back so that it ends where the plane ends.
  void read_vectors(const uint8_t* mask) {
    const int64_t width = work_.kernels.width, cells = work_.cells();
    vector_offsets_.clear();
    vector_masks_.clear();
    for (int64_t begin = 0; begin < cells && cells >= width; begin += width) {
      const int64_t at = std::min(begin, cells - width);
      if (std::all_of(mask + at, mask + at + width, [](uint8_t m) { return m == 0; })) continue;
      vector_offsets_.push_back(static_cast<int32_t>(at));
      for (int64_t l = 0; l < width; ++l) vector_masks_.push_back(mask[at + l] != 0 ? -1 : 0);
    }
  }

  void pool_planes() {
    const int64_t at_once = copies() ? 1 : channels_;
    for (int64_t l = 0; l < channels_; l += at_once) {
      const bool good =
          work_.cells() >= work_.kernels.width &&
          work_.kernels.masked_planes(plane(l), maps_.strides[1], at_once, vector_offsets_.data(),
                                      vector_masks_.data(), static_cast<int64_t>(vector_offsets_.size()),
                                      {values_, work_.argmax ? indices_ : nullptr});
      put(l, at_once, good);
    }
  }

  const T* plane(int64_t l) {
    const int64_t at = base_ + l * maps_.strides[1];
    if (!copies()) return static_cast<const T*>(maps_.data) + at;
    if (flat(maps_)) {
      read_line(maps_, at, 1, work_.cells(), copy_.get());
      return copy_.get();
    }
    for (int64_t r = 0; r < maps_.height; ++r)
      read_line(maps_, at + r * maps_.strides[2], maps_.strides[3], maps_.width,
                copy_.get() + r * maps_.width);
    return copy_.get();
  }

  void pool_cells() {
    const T* data = static_cast<const T*>(maps_.data) + base_;
    const int64_t count = static_cast<int64_t>(positions_.size());
    const std::vector<int64_t>* offsets = &cell_offsets_;
    if (copies()) {
      copy_offsets_.clear();
      for (int64_t i = 0; i < count; ++i) {
        copy_offsets_.push_back(i * channels_);
        read_line(maps_, base_ + cell_offsets_[i], 1, channels_, copy_.get() + i * channels_);
      }
      data = copy_.get();
      offsets = &copy_offsets_;
    }
    put(0, channels_,
        work_.kernels.masked_cells(data, offsets->data(), positions_.data(), count, channels_,
                                   {values_, work_.argmax ? indices_ : nullptr}));
  }

  // What the kernels found for `count` channels from l on, or (not good) what one sees cell by cell.
  void put(int64_t l, int64_t count, bool good) {
    if (!good) {
      for (int64_t i = l; i < l + count; ++i) pool_one_by_one(i);
      return;
    }
    const int64_t at = image_ * maps_.channels + first_channel_ + l;
    write_line(work_.pooled, maps_.scalar, at, count, values_);
    for (int64_t i = 0; i < count && work_.argmax; ++i)
      work_.argmax[at + i] = static_cast<int32_t>(indices_[i]);
  }

  // With NaNs, without a cell that counts, or smaller than a vector.
  void pool_one_by_one(int64_t l) {
    const int64_t at = base_ + l * maps_.strides[1];
    const bool empty = positions_.empty();
    Extreme<T> extreme(empty ? T(-1) : T(1));
    if (empty)
      for (int64_t i = 0; i < work_.cells(); ++i)
        extreme.take(read<T>(maps_.data, maps_.scalar,
                             at + i / maps_.width * maps_.strides[2] + i % maps_.width * maps_.strides[3]),
                     i);
    for (size_t i = 0; i < positions_.size(); ++i)
      extreme.take(read<T>(maps_.data, maps_.scalar, at + cell_offsets_[i]), positions_[i]);
    const int64_t out = image_ * maps_.channels + first_channel_ + l;
    write(work_.pooled, maps_.scalar, out, extreme.value());
    if (work_.argmax) work_.argmax[out] = extreme.position();
  }

  const MaskWork<T>& work_;
  const FeatureMaps& maps_;
  std::vector<int32_t> positions_;     // cells that count
  std::vector<int64_t> cell_offsets_;  // and where they are in memory
  std::vector<int64_t> copy_offsets_;
  std::vector<int32_t> vector_offsets_;
  std::vector<Index<T>> vector_masks_;
  Buffer<T> copy_;
  T values_[kChannelsOfTask];
  Index<T> indices_[kChannelsOfTask];
  int64_t image_ = -1, first_channel_ = 0, channels_ = 0, base_ = 0;
};

}  // namespace

template <class T>
void pool_masks(const Kernels<T>& kernels, const FeatureMaps& features, const uint8_t* mask, void* pooled,
                int32_t* argmax, const Parallel& parallel) {
  const MaskWork<T> work{kernels, features, mask, pooled, argmax};
  run_tasks(parallel, features.images * work.chunks(), [&] { return MaskPooler<T>(work); });
}

template void pool_masks(const Kernels<float>&, const FeatureMaps&, const uint8_t*, void*, int32_t*,
                         const Parallel&);
template void pool_masks(const Kernels<double>&, const FeatureMaps&, const uint8_t*, void*, int32_t*,
                         const Parallel&);

}  // namespace pooling
}  // namespace mirror
