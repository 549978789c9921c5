#include "core/pr_mac_join.h"

namespace mirror {
namespace prmac {
namespace {

constexpr int64_t kPackedBytes = 2 << 20;  // of a chunk and of a span, unless one block or group is larger
constexpr int64_t kTasksPerThread = 12;

int64_t round_up(int64_t x, int64_t step) { return (x + step - 1) / step * step; }
int64_t blocks_of(int64_t total, int64_t size) { return (total + size - 1) / std::max<int64_t>(size, 1); }

}  // namespace

template <class T>
void Join<T>::plan(int threads) {
  const int64_t channels = query.channels(), panel = kernel.panel;
  const int64_t row_bytes = std::max<int64_t>(1, kernel.panel_bytes(channels) / panel);
  const int64_t capacity = std::max<int64_t>(1, query.capacity());
  const int64_t most =
      std::max<int64_t>(1, std::min(query.images(), kernel.block_bytes / (row_bytes * capacity)));
  // Of the larger block sizes, the one whose padding to whole panels wastes least; the largest of equals.
  auto waste = [&](int64_t images) {
    return static_cast<double>(round_up(images * capacity, panel)) / static_cast<double>(images * capacity);
  };
  block_images = most;
  for (int64_t images = most; images > std::max(most / 2, most - panel); --images)
    if (waste(images) < waste(block_images)) block_images = images;

  const int64_t group_bytes =
      std::max<int64_t>(1, kernel.region_bytes(channels) * std::max<int64_t>(1, target.capacity()));
  chunk_blocks = std::max<int64_t>(1, kPackedBytes / (row_bytes * capacity * block_images));
  span_groups = std::max<int64_t>(1, kPackedBytes / group_bytes);
  chunk_blocks = std::max<int64_t>(1, std::min(chunk_blocks, blocks_of(query.images(), block_images)));
  span_groups = std::max<int64_t>(1, std::min(span_groups, blocks_of(target.images(), kernel.lanes)));
  auto tasks = [&] {
    return blocks_of(query.images(), chunk_images()) * blocks_of(target.images(), span_images()) /
           (self ? 2 : 1);
  };
  while (threads > 1 && tasks() < threads * kTasksPerThread && (chunk_blocks > 1 || span_groups > 1))
    (chunk_blocks >= span_groups ? chunk_blocks : span_groups) /= 2;
}

template <class T>
Packer<T>::Packer(const Join<T>& join)
    : join_(join),
      width_(std::max(join.kernel.panel, join.kernel.lanes)),
      scratch_(std::max(join.query.scratch_size(width_), join.target.scratch_size(width_))),
      rows_(static_cast<size_t>(width_)) {}

template <class T>
void Packer<T>::pack_block(int64_t first, int64_t images, Block<T>* block) {
  const Vectors<T>& query = join_.query;
  const Kernel<T>& kernel = join_.kernel;
  const int64_t channels = query.channels(), panel = kernel.panel, bytes = kernel.panel_bytes(channels);
  block->first = first;
  block->images = images;
  block->offsets.assign(1, 0);
  block->row_image.clear();
  for (int64_t i = 0; i < images; ++i) {
    block->offsets.push_back(block->offsets.back() + query.size(first + i));
    block->row_image.resize(block->offsets.back(), static_cast<int32_t>(i));
  }
  const int64_t rows = block->offsets.back();
  block->panel_count = blocks_of(rows, panel);
  block->row_image.resize(block->panel_count * panel, static_cast<int32_t>(std::max<int64_t>(images - 1, 0)));
  block->norms.assign(block->panel_count * panel, T(0));
  block->row_bias.assign(block->panel_count * panel, std::numeric_limits<T>::infinity());
  if (!block->panels.get())
    block->panels = Buffer<unsigned char>(blocks_of(join_.block_images * query.capacity(), panel) * bytes);
  for (int64_t p = 0; p < block->panel_count; ++p) {
    for (int64_t i = 0; i < panel; ++i) {
      const int64_t row = p * panel + i;
      rows_[i] = nullptr;
      if (row >= rows) continue;
      const int64_t image = block->row_image[row];
      rows_[i] = query.row(first + image, row - block->offsets[image], scratch_.get() + i * channels);
      const double norm = join_.distance ? squared_norm(rows_[i], channels) : 0;
      block->norms[row] = static_cast<T>(norm);
      block->row_bias[row] = static_cast<T>(0.5 * norm);
    }
    kernel.pack_panel(rows_.data(), channels, block->panels.get() + p * bytes);
  }
}

template <class T>
void Packer<T>::pack_group(int64_t first, int64_t images, Group<T>* group) {
  const Vectors<T>& target = join_.target;
  const Kernel<T>& kernel = join_.kernel;
  const int64_t channels = target.channels(), lanes = kernel.lanes, bytes = kernel.region_bytes(channels);
  group->first = first;
  group->images = images;
  group->regions = 0;
  for (int64_t l = 0; l < images; ++l) group->regions = std::max(group->regions, target.size(first + l));
  group->norms.assign(group->regions * lanes, T(0));
  group->bias.assign(group->regions * lanes, std::numeric_limits<T>::infinity());
  if (!group->packed.get()) group->packed = Buffer<unsigned char>(target.capacity() * bytes);
  for (int64_t r = 0; r < group->regions; ++r) {
    for (int64_t l = 0; l < lanes; ++l) {
      rows_[l] = nullptr;
      if (l >= images || r >= target.size(first + l)) continue;
      rows_[l] = target.row(first + l, r, scratch_.get() + l * channels);
      const double norm = join_.distance ? squared_norm(rows_[l], channels) : 0;
      group->norms[r * lanes + l] = static_cast<T>(norm);
      group->bias[r * lanes + l] = static_cast<T>(0.5 * norm);
    }
    kernel.pack_region(rows_.data(), channels, group->packed.get() + r * bytes);
  }
}

template struct Join<float>;
template struct Join<double>;
template class Packer<float>;
template class Packer<double>;

}  // namespace prmac
}  // namespace mirror
