// Max pooling over boxes, for one block of channels of one image at a time (pooling_plan.h has the picture).
#include <algorithm>
#include <vector>

#include "core/float_mode.h"
#include "core/pooling_maps.h"
#include "core/pooling_run.h"
#include "core/tasks.h"

namespace mirror {
namespace pooling {
namespace {

constexpr int64_t kTileBytes = 64 * 1024;

// Rows of a block of channels as kernels want them: kLanes channels side by side. Where the features lie so they are
// read in place, else they are copied into a tile that stays in the cache.
template <class T>
class BlockReader {
 public:
  BlockReader(const Kernels<T>& kernels, const FeatureMaps& maps)
      : kernels_(kernels),
        maps_(maps),
        beside_(maps.strides[1] == 1),
        in_place_(beside_ && maps.scalar == kOwn<T>),
        planes_in_place_(flat(maps) && maps.scalar == kOwn<T>),
        rows_(std::max<int64_t>(
            1, kTileBytes / std::max<int64_t>(1, maps.width * kLanes<T> * int64_t{sizeof(T)}))),
        tile_(rows_ * maps.width * kLanes<T>),
        planes_(beside_ || planes_in_place_ ? 0 : rows_ * maps.width * kLanes<T>) {}

  void select(int64_t image, int64_t first_channel, int64_t channels) {
    base_ = image * maps_.strides[0] + first_channel * maps_.strides[1];
    channels_ = channels;
  }

  // How many rows can be read at once.
  int64_t rows() const { return reads_in_place() ? maps_.height : rows_; }

  Cells<T> read(int64_t row, int64_t rows) {
    const int64_t at = base_ + row * maps_.strides[2];
    if (reads_in_place()) return {static_cast<const T*>(maps_.data) + at, maps_.strides[2], maps_.strides[3]};
    if (beside_)
      copy_cells(at, rows);
    else
      copy_planes(at, rows);
    return {tile_.get(), maps_.width * kLanes<T>, kLanes<T>};
  }

 private:
  bool reads_in_place() const { return in_place_ && channels_ == kLanes<T>; }

  void copy_cells(int64_t at, int64_t rows) {
    T* out = tile_.get();
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < maps_.width; ++c, out += kLanes<T>) {
        read_line(maps_, at + r * maps_.strides[2] + c * maps_.strides[3], 1, channels_, out);
        std::fill(out + channels_, out + kLanes<T>, T(0));
      }
  }

  void copy_planes(int64_t at, int64_t rows) {
    const T* planes[kLanes<T>];
    const int64_t cells = rows * maps_.width;
    for (int64_t l = 0; l < channels_; ++l) {
      const int64_t plane = at + l * maps_.strides[1];
      if (planes_in_place_) {
        planes[l] = static_cast<const T*>(maps_.data) + plane;
        continue;
      }
      T* const copy = planes_.get() + l * cells;
      for (int64_t r = 0; r < rows; ++r)
        read_line(maps_, plane + r * maps_.strides[2], maps_.strides[3], maps_.width, copy + r * maps_.width);
      planes[l] = copy;
    }
    std::fill(planes + channels_, planes + kLanes<T>, planes[0]);
    kernels_.interleave(planes, cells, tile_.get());
  }

  const Kernels<T>& kernels_;
  const FeatureMaps& maps_;
  bool beside_, in_place_, planes_in_place_;
  int64_t rows_;
  Buffer<T> tile_, planes_;
  int64_t base_ = 0, channels_ = 0;
};

template <class T>
struct RegionWork {
  const Kernels<T>& kernels;
  const FeatureMaps& features;
  const std::vector<Box>& boxes;
  std::vector<Plan> plans;
  void* pooled;
  int32_t* argmax;

  int64_t blocks() const { return (features.channels + kLanes<T> - 1) / kLanes<T>; }
  // Numbers that the nodes of rows and of columns need.
  int64_t row_scratch() const {
    int64_t most = 0;
    for (const Plan& plan : plans) most = std::max(most, plan.row_nodes * plan.columns());
    return most * kLanes<T>;
  }
  int64_t column_scratch() const {
    int64_t most = 0;
    for (const Plan& plan : plans) most = std::max(most, plan.column_nodes - plan.columns());
    return most * kLanes<T>;
  }
};

template <class T>
class RegionPooler {
 public:
  explicit RegionPooler(const RegionWork<T>& work)
      : work_(work),
        reader_(work.kernels, work.features),
        row_values_(work.row_scratch()),
        column_values_(work.column_scratch()),
        row_indices_(work.argmax ? work.row_scratch() : 0),
        column_indices_(work.argmax ? work.column_scratch() : 0) {
    rows_ = {row_values_.get(), row_indices_.get()};
    columns_ = {column_values_.get(), column_indices_.get()};
  }

  void operator()(int64_t task) {
    const FloatMode mode;
    image_ = task / work_.blocks();
    first_channel_ = task % work_.blocks() * kLanes<T>;
    channels_ = std::min(kLanes<T>, work_.features.channels - first_channel_);
    reader_.select(image_, first_channel_, channels_);
    for (const Plan& plan : work_.plans) {
      if (fill_grid(plan))
        pool(plan);
      else
        pool_one_by_one(plan);
    }
  }

 private:
  // False: there is a NaN.
  bool fill_grid(const Plan& plan) {
    bool good = true;
    for (int64_t i = 0; i < plan.rows(); ++i) {
      if (!plan.row_used[i]) continue;
      const int64_t begin = plan.row_cuts[i], end = plan.row_cuts[i + 1];
      for (int64_t row = begin; row < end && good; row += reader_.rows()) {
        const int64_t rows = std::min(reader_.rows(), end - row);
        good = work_.kernels.reduce(reader_.read(row, rows), rows, plan.column_cuts.data(), plan.columns(),
                                    row, work_.features.width, row == begin,
                                    rows_.at(i * plan.columns() * kLanes<T>));
      }
    }
    return good;
  }

  void pool(const Plan& plan) {
    const int64_t length = plan.columns() * kLanes<T>;
    const Step* const row_steps = plan.row_steps.data();
    work_.kernels.combine(row_steps, row_steps + plan.row_steps.size(), plan.rows(), length, rows_,
                          rows_.at(plan.rows() * length));
    for (const Band& band : plan.bands) {
      const Found<T> row = rows_.at(band.node * length);
      const Step* const steps = plan.column_steps.data();
      work_.kernels.combine(steps + band.first_step, steps + band.last_step, plan.columns(), kLanes<T>, row,
                            columns_);
      for (int32_t o = band.first_output; o < band.last_output; ++o) {
        const int64_t node = plan.outputs[o].node, leaves = plan.columns();
        put(plan.outputs[o].region,
            node < leaves ? row.at(node * kLanes<T>) : columns_.at((node - leaves) * kLanes<T>));
      }
    }
  }

  int64_t place(int64_t region) const {
    return (image_ * static_cast<int64_t>(work_.boxes.size()) + region) * work_.features.channels +
           first_channel_;
  }

  void put(int64_t region, const Found<T>& found) {
    const int64_t at = place(region);
    write_line(work_.pooled, work_.features.scalar, at, channels_, found.value);
    if (!work_.argmax) return;
    for (int64_t l = 0; l < channels_; ++l) work_.argmax[at + l] = static_cast<int32_t>(found.index[l]);
  }

  // With NaNs: every box by itself, cell by cell.
  void pool_one_by_one(const Plan& plan) {
    const FeatureMaps& maps = work_.features;
    for (const Output& output : plan.outputs) {
      const Box& box = work_.boxes[output.region];
      for (int64_t l = 0; l < channels_; ++l) {
        const int64_t base = image_ * maps.strides[0] + (first_channel_ + l) * maps.strides[1];
        Extreme<T> largest;
        for (int64_t r = box.row; r < box.row + box.height; ++r)
          for (int64_t c = box.column; c < box.column + box.width; ++c)
            largest.take(read<T>(maps.data, maps.scalar, base + r * maps.strides[2] + c * maps.strides[3]),
                         r * maps.width + c);
        write(work_.pooled, maps.scalar, place(output.region) + l, largest.value());
        if (work_.argmax) work_.argmax[place(output.region) + l] = largest.position();
      }
    }
  }

  const RegionWork<T>& work_;
  BlockReader<T> reader_;
  Buffer<T> row_values_, column_values_;
  Buffer<Index<T>> row_indices_, column_indices_;
  Found<T> rows_, columns_;
  int64_t image_ = 0, first_channel_ = 0, channels_ = 0;
};

}  // namespace

template <class T>
void pool_regions(const Kernels<T>& kernels, const FeatureMaps& features, const std::vector<Box>& boxes,
                  void* pooled, int32_t* argmax, const Parallel& parallel) {
  const RegionWork<T> work{kernels, features, boxes, plan_boxes(boxes), pooled, argmax};
  run_tasks(parallel, features.images * work.blocks(), [&] { return RegionPooler<T>(work); });
}

template void pool_regions(const Kernels<float>&, const FeatureMaps&, const std::vector<Box>&, void*,
                           int32_t*, const Parallel&);
template void pool_regions(const Kernels<double>&, const FeatureMaps&, const std::vector<Box>&, void*,
                           int32_t*, const Parallel&);

}  // namespace pooling
}  // namespace mirror
