// All pairs of two sets of images, block by block: what pr_mac, pr_mac_self and pr_mac_topk share.
//
//   task  = a chunk of query images x a span of target images, both packed into the worker's own memory
//   block = some images of the chunk (their rows stay in the second-level cache)
//   group = as many targets as the kernel has lanes
// Each block x group yields Products, and the consumer makes scores of them while they are in the cache.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/float_mode.h"
#include "core/pr_mac_tiles.h"
#include "core/pr_mac_vectors.h"
#include "core/tasks.h"

namespace mirror {
namespace prmac {

constexpr bool is_distance(Reduction r) { return r != Reduction::kCosine && r != Reduction::kBest; }

// Query images, packed: all rows of all images, one after another.
template <class T>
struct Block {
  int64_t first = 0;
  int64_t images = 0;
  int64_t panel_count = 0;
  std::vector<int64_t> offsets;    // [images + 1]: rows of image i are offsets[i] .. offsets[i + 1]
  std::vector<int32_t> row_image;  // [rows], padding counts for the last image
  std::vector<T> norms;            // [rows]: |q|^2, distances only
  std::vector<T> row_bias;         // [rows]: 0 or |q|^2 / 2; +inf for padding
  Buffer<unsigned char> panels;
};

// Target images, packed: lane = image.
template <class T>
struct Group {
  int64_t first = 0;
  int64_t images = 0;    // lanes in use
  int64_t regions = 0;   // of the largest image
  std::vector<T> norms;  // [regions, lanes]
  std::vector<T> bias;   // [regions, lanes]
  Buffer<unsigned char> packed;
};

template <class T>
struct Products {
  const Block<T>& block;
  const Group<T>& group;
  int64_t lanes;
  T* best;         // [rows of the block, lanes]
  int32_t* index;  // same, or nullptr
  T* column_best;  // [images of the block, group.regions, lanes], or nullptr
};

// Two sets, the reading, and how they are multiplied.
template <class T>
struct Join {
  Vectors<T> query;
  Vectors<T> target;
  bool self =
      false;  // query is target: pairs (a, b) with a <= b are multiplied, both directions from one product
  bool distance = false;
  bool want_index = false;
  const Kernel<T>& kernel;

  int64_t block_images = 1;
  int64_t chunk_blocks = 1;
  int64_t span_groups = 1;

  Join(const Regions& q, const Regions& t, bool self_join, Reduction reduction, Precision precision)
      : Join(q, t, self_join, reduction, precision, select_kernel<T>(precision)) {}
  Join(const Regions& q, const Regions& t, bool self_join, Reduction reduction, Precision precision,
       const Kernel<T>& any_kernel)
      : query(q, precision == Precision::kBf16),
        target(t, precision == Precision::kBf16),
        self(self_join),
        distance(is_distance(reduction)),
        kernel(any_kernel) {}

  // Sizes that keep the rows of a block in the cache, waste few padding rows, and give every thread several tasks.
  void plan(int threads);
  int64_t chunk_images() const { return chunk_blocks * block_images; }
  int64_t span_images() const { return span_groups * kernel.lanes; }
};

template <class T>
class Packer {
 public:
  explicit Packer(const Join<T>& join);
  void pack_block(int64_t first, int64_t images, Block<T>* block);
  void pack_group(int64_t first, int64_t images, Group<T>* group);

 private:
  const Join<T>& join_;
  int64_t width_;               // most rows that are packed at once
  Buffer<T> scratch_;           // [width, channels] where rows need converting
  std::vector<const T*> rows_;  // [width]
};

// make_consumer() gives each thread a consumer; consumer(products) is called once per block x group that has pairs.
template <class T, class MakeConsumer>
void run_join(const Join<T>& join, const MakeConsumer& make_consumer, const Parallel& parallel) {
  const int64_t chunk = join.chunk_images(), span = join.span_images(), lanes = join.kernel.lanes;
  const int64_t chunks = (join.query.images() + chunk - 1) / chunk;
  const int64_t spans = (join.target.images() + span - 1) / span;
  const int64_t block_rows = (join.block_images * join.query.capacity() + join.kernel.panel - 1) /
                             join.kernel.panel * join.kernel.panel;
  auto make_worker = [&] {
    return [&, consumer = make_consumer(), packer = Packer<T>(join), blocks = std::vector<Block<T>>(),
            groups = std::vector<Group<T>>(), best = Buffer<T>(block_rows * lanes),
            index = Buffer<int32_t>(join.want_index ? block_rows * lanes : 0),
            column = Buffer<T>(join.self ? join.block_images * join.target.capacity() * lanes + 1 : 0),
            packed_chunk = int64_t(-1), packed_span = int64_t(-1)](int64_t task) mutable {
      const FloatMode mode;
      const int64_t c = task % chunks, s = task / chunks;
      const int64_t query_end = std::min(join.query.images(), (c + 1) * chunk);
      const int64_t target_end = std::min(join.target.images(), (s + 1) * span);
      if (join.self && target_end <= c * chunk) return;
      if (packed_chunk != c) {
        blocks.resize(join.chunk_blocks);
        for (int64_t i = 0; i < join.chunk_blocks; ++i) {
          const int64_t first = std::min(query_end, c * chunk + i * join.block_images);
          packer.pack_block(first, std::min(query_end - first, join.block_images), &blocks[i]);
        }
        packed_chunk = c;
      }
      if (packed_span != s) {
        groups.resize(join.span_groups);
        for (int64_t i = 0; i < join.span_groups; ++i) {
          const int64_t first = std::min(target_end, s * span + i * lanes);
          packer.pack_group(first, std::min(target_end - first, lanes), &groups[i]);
        }
        packed_span = s;
      }
      for (const Block<T>& block : blocks)
        for (int64_t g = 0; g < join.span_groups; ++g) {
          const Group<T>& group = groups[g];
          if (block.images == 0 || group.images == 0) continue;
          if (join.self && group.first + group.images <= block.first) continue;
          const int64_t rows = block.panel_count * join.kernel.panel;
          const T none = -std::numeric_limits<T>::infinity();
          std::fill(best.get(), best.get() + rows * lanes, none);
          if (join.want_index) std::fill(index.get(), index.get() + rows * lanes, 0);
          if (join.self) std::fill(column.get(), column.get() + block.images * group.regions * lanes, none);
          Tile<T> tile;
          tile.panels = block.panels.get();
          tile.panel_count = block.panel_count;
          tile.regions = group.packed.get();
          tile.bias = group.bias.data();
          tile.region_count = group.regions;
          tile.channels = join.query.channels();
          tile.upcoming = g + 1 < join.span_groups ? groups[g + 1].packed.get() : nullptr;
          tile.best = best.get();
          tile.index = index.get();
          if (join.self) {
            tile.row_bias = block.row_bias.data();
            tile.row_image = block.row_image.data();
            tile.column_best = column.get();
          }
          join.kernel.multiply(tile);
          consumer(Products<T>{block, group, lanes, best.get(), index.get(), tile.column_best});
        }
    };
  };
  run_tasks(parallel, chunks * spans, make_worker);
}

}  // namespace prmac
}  // namespace mirror
