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

constexpr int64_t kTileBytes = 256 * 1024;
constexpr int64_t kBlocksOfTask = 8;

// Rows of a block of channels as kernels want them: kLanes channels side by side. Where the features lie so they are
// read in place, else they are copied into a tile that stays in the cache: as many rows at once as it holds, so that
// planes are read in long pieces.
template <class T>
class BlockReader {
 public:
  BlockReader(const Kernels<T>& kernels, const FeatureMaps& maps)
      : kernels_(kernels),
        maps_(maps),
        beside_(maps.strides[1] == 1),
        in_place_(beside_ && maps.scalar == kOwn<T>),
        planes_in_place_(flat(maps) && maps.scalar == kOwn<T>),
        rows_(std::min(maps.height, 1 + kTileBytes / (1 + maps.width * kLanes<T> * int64_t{sizeof(T)}))),
        tile_(rows_ * maps.width * kLanes<T>),
        planes_(beside_ || planes_in_place_ ? 0 : rows_ * maps.width * kLanes<T>) {}

  void select(int64_t image, int64_t first_channel, int64_t channels) {
    base_ = image * maps_.strides[0] + first_channel * maps_.strides[1];
    channels_ = channels;
  }

  // How many rows can be read at once.
  int64_t rows() const { return reads_in_place() ? maps_.height : rows_; }

  // `last`: no row from there on is going to be read.
  Cells<T> read(int64_t row, int64_t rows, int64_t last) {
    const int64_t at = base_ + row * maps_.strides[2];
    if (reads_in_place()) return {static_cast<const T*>(maps_.data) + at, maps_.strides[2], maps_.strides[3]};
    if (base_ != tile_base_ || row < begin_ || row + rows > end_) {
      tile_base_ = base_;
      begin_ = row;
      end_ = std::min(row + rows_, last);
      if (beside_)
        copy_cells(at, end_ - begin_);
      else
        copy_planes(at, end_ - begin_);
    }
    const int64_t row_step = maps_.width * kLanes<T>;
    return {tile_.get() + (row - begin_) * row_step, row_step, kLanes<T>};
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
  int64_t tile_base_ = -1, begin_ = 0, end_ = 0;  // what is in the tile: base_ and rows
};

template <class T>
struct RegionWork {
  const Kernels<T>& kernels;
  const FeatureMaps& features;
  const std::vector<Box>& boxes;
  std::vector<Plan> plans;
  void* pooled;
  int32_t* argmax;

  int64_t blocks_of_task;  // whose pieces of a row lie side by side in memory are read together

  int64_t blocks() const { return (features.channels + kLanes<T> - 1) / kLanes<T>; }
  int64_t tasks_of_image() const { return (blocks() + blocks_of_task - 1) / blocks_of_task; }

  // Numbers that the grid of a block, the other nodes of rows, and those of columns need.
  struct Scratch {
    int64_t grid = 0, rows = 0, columns = 0;
  };
  Scratch scratch() const {
    Scratch most;
    for (const Plan& plan : plans) {
      most.grid = std::max(most.grid, plan.rows() * plan.columns() * kLanes<T>);
      most.rows = std::max(most.rows, (plan.row_nodes - plan.rows()) * plan.columns() * kLanes<T>);
      most.columns = std::max(most.columns, (plan.column_nodes - plan.columns()) * kLanes<T>);
    }
    return most;
  }
};

// Memory for values and, where they are wanted, positions.
template <class T>
class FoundBuffer {
 public:
  FoundBuffer(int64_t count, bool indexed) : values_(count), indices_(indexed ? count : 0) {}
  Found<T> found() const { return {values_.get(), indices_.get()}; }

 private:
  Buffer<T> values_;
  Buffer<Index<T>> indices_;
};

template <class T>
class RegionPooler {
 public:
  explicit RegionPooler(const RegionWork<T>& work)
      : work_(work),
        reader_(work.kernels, work.features),
        scratch_(work.scratch()),
        grids_(work.blocks_of_task * scratch_.grid, work.argmax != nullptr),
        rows_(scratch_.rows, work.argmax != nullptr),
        columns_(scratch_.columns, work.argmax != nullptr) {}

  void operator()(int64_t task) {
    const FloatMode mode;
    image_ = task / work_.tasks_of_image();
    const int64_t first = task % work_.tasks_of_image() * work_.blocks_of_task;
    const int64_t blocks = std::min(work_.blocks_of_task, work_.blocks() - first);
    for (const Plan& plan : work_.plans) {
      bool good[kBlocksOfTask];
      fill_grids(plan, first, blocks, good);
      for (int64_t k = 0; k < blocks; ++k) {
        select(first + k);
        if (good[k])
          pool(plan, grid(k));
        else
          pool_one_by_one(plan);
      }
    }
  }

 private:
  Found<T> grid(int64_t k) const { return grids_.found().at(k * scratch_.grid); }

  void select(int64_t block) {
    first_channel_ = block * kLanes<T>;
    channels_ = std::min(kLanes<T>, work_.features.channels - first_channel_);
    reader_.select(image_, first_channel_, channels_);
  }

  // good [blocks]: there is no NaN.
  void fill_grids(const Plan& plan, int64_t first, int64_t blocks, bool* good) {
    std::fill(good, good + blocks, true);
    for (int64_t i = 0; i < plan.rows(); ++i)
      for (int64_t k = 0; plan.row_used[i] && k < blocks; ++k) {
        select(first + k);
        const int64_t begin = plan.row_cuts[i], end = plan.row_cuts[i + 1];
        for (int64_t row = begin; row < end && good[k]; row += reader_.rows()) {
          const int64_t rows = std::min(reader_.rows(), end - row);
          good[k] = work_.kernels.reduce(reader_.read(row, rows, plan.row_cuts.back()), rows,
                                         plan.column_cuts.data(), plan.columns(), row, work_.features.width,
                                         row == begin, grid(k).at(i * plan.columns() * kLanes<T>));
        }
      }
  }

  void pool(const Plan& plan, const Found<T>& grid) {
    const int64_t length = plan.columns() * kLanes<T>;
    const Found<T> rows = rows_.found(), columns = columns_.found();
    const Step* const row_steps = plan.row_steps.data();
    work_.kernels.combine(row_steps, row_steps + plan.row_steps.size(), plan.rows(), length, grid, rows);
    for (const Band& band : plan.bands) {
      const Found<T> row = node(band.node, plan.rows(), length, grid, rows);
      const Step* const steps = plan.column_steps.data();
      work_.kernels.combine(steps + band.first_step, steps + band.last_step, plan.columns(), kLanes<T>, row,
                            columns);
      for (int32_t o = band.first_output; o < band.last_output; ++o)
        put(plan.outputs[o].region, node(plan.outputs[o].node, plan.columns(), kLanes<T>, row, columns));
    }
  }

  // Where node i is, as in Kernels::combine.
  static Found<T> node(int64_t i, int64_t leaves, int64_t length, const Found<T>& leaf,
                       const Found<T>& made) {
    return i < leaves ? leaf.at(i * length) : made.at((i - leaves) * length);
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
  typename RegionWork<T>::Scratch scratch_;
  FoundBuffer<T> grids_, rows_, columns_;
  int64_t image_ = 0, first_channel_ = 0, channels_ = 0;
};

}  // namespace

template <class T>
void pool_regions(const Kernels<T>& kernels, const FeatureMaps& features, const std::vector<Box>& boxes,
                  void* pooled, int32_t* argmax, const Parallel& parallel) {
  RegionWork<T> work{kernels, features, boxes, plan_boxes(boxes), pooled, argmax, 1};
  if (features.strides[1] == 1 && features.scalar == kOwn<T>)  // but leave every thread some tasks
    work.blocks_of_task =
        std::clamp<int64_t>(features.images * work.blocks() / (4 * parallel.threads), 1, kBlocksOfTask);
  run_tasks(parallel, features.images * work.tasks_of_image(), [&] { return RegionPooler<T>(work); });
}

template void pool_regions(const Kernels<float>&, const FeatureMaps&, const std::vector<Box>&, void*,
                           int32_t*, const Parallel&);
template void pool_regions(const Kernels<double>&, const FeatureMaps&, const std::vector<Box>&, void*,
                           int32_t*, const Parallel&);

}  // namespace pooling
}  // namespace mirror
