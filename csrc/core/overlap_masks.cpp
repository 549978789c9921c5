// Which share of each cell of a picture another view sees too.
//
// A task is one row of cells of one map, for all sets that the map is to meet. The pixels become runs once; for each
// set the runs are tested one by one, and a running sum along the row gives the area left of every cell's edge. What lies
// in a cell is the difference of its two edges; nobody has to ask where a run meets an edge.
#include <algorithm>
#include <vector>

#include "core/overlap_check.h"
#include "core/overlap_kernels.h"
#include "core/tasks.h"
#include "mirror/overlap.h"

namespace mirror {
namespace {

using namespace overlap;

// One map met by one set.
struct Meeting {
  int64_t set;
  int64_t result;  // which grid of the coverage
};

// All meetings, by map.
struct Meetings {
  std::vector<int64_t> starts;  // [views + 1]
  std::vector<Meeting> list;
};

Meetings by_map(const ViewPairs& pairs, int64_t views) {
  const auto each = [&](const auto& visit) {
    for (int64_t p = 0; p < pairs.count; ++p) {
      const int64_t i = pairs.pairs[2 * p], j = pairs.pairs[2 * p + 1];
      if (pairs.directed) {
        visit(i, Meeting{j, p});
      } else {
        visit(i, Meeting{j, 2 * p});
        visit(j, Meeting{i, 2 * p + 1});
      }
    }
  };
  Meetings found;
  found.starts.assign(static_cast<size_t>(views + 1), 0);
  each([&](int64_t map, const Meeting&) { ++found.starts[static_cast<size_t>(map + 1)]; });
  for (size_t i = 1; i < found.starts.size(); ++i) found.starts[i] += found.starts[i - 1];
  found.list.resize(static_cast<size_t>(found.starts.back()));
  std::vector<int64_t> next(found.starts.begin(), found.starts.end() - 1);
  each([&](int64_t map, const Meeting& meeting) {
    found.list[static_cast<size_t>(next[static_cast<size_t>(map)]++)] = meeting;
  });
  return found;
}

// The cells' edges in a row of pixels, each of which is `step` wide: where they are, and in which pixel.
struct Edges {
  std::vector<int64_t> at;
  std::vector<int32_t> pixels;
  Edges(int64_t cells, int64_t width) {
    for (int64_t c = 0; c <= cells; ++c) {
      at.push_back(c * width);
      pixels.push_back(static_cast<int32_t>(c * width / cells));
    }
  }
};

// The pixels of some rows, as runs.
class RunRows {
 public:
  RunRows(const Kernels& kernels, const Edges& edges, int64_t width)
      : kernels_(kernels), edges_(edges), width_(width), mask_(static_cast<size_t>(width / 64 + 1)) {}

  void clear() {
    rows_.clear();
    used_ = 0;
  }

  void add(const int32_t* ids, int64_t num_faces, int64_t view) {
    const size_t room = static_cast<size_t>(used_ + width_ + 8);
    if (starts_.size() < room) {
      starts_.resize(2 * room);
      ids_.resize(2 * room);
      lengths_.resize(2 * room);
    }
    int32_t* const starts = starts_.data() + used_;
    const int64_t count = kernels_.run_starts(ids, width_, starts, mask_.data());
    starts[count] = static_cast<int32_t>(width_);
    check_ids("overlap_masks", ids, starts, count, num_faces, view);
    for (int64_t k = 0; k <= count; ++k) {
      const int32_t id = k < count ? ids[starts[k]] : -1;
      ids_[static_cast<size_t>(used_ + k)] = std::max(id, 0);
      lengths_[static_cast<size_t>(used_ + k)] = id < 0 ? 0 : starts[k + 1] - starts[k];
    }
    const int64_t edges = static_cast<int64_t>(edges_.at.size()), rows = static_cast<int64_t>(rows_.size());
    at_.resize(static_cast<size_t>((rows + 1) * edges));
    kernels_.runs_at(mask_.data(), edges_.pixels.data(), edges, at_.data() + rows * edges);
    rows_.push_back({used_, count + 1});
    used_ += count + 1;
  }

  int64_t rows() const { return static_cast<int64_t>(rows_.size()); }
  Runs row(int64_t r) const {
    const Extent& extent = rows_[static_cast<size_t>(r)];
    return {ids_.data() + extent.first, starts_.data() + extent.first, lengths_.data() + extent.first,
            extent.count};
  }
  const int32_t* edge_runs(int64_t r) const {
    return at_.data() + r * static_cast<int64_t>(edges_.at.size());
  }

 private:
  struct Extent {
    int64_t first, count;
  };
  const Kernels& kernels_;
  const Edges& edges_;
  int64_t width_, used_ = 0;
  std::vector<uint64_t> mask_;
  std::vector<Extent> rows_;
  std::vector<int32_t> ids_, starts_, lengths_, at_;
};

class Cover {
 public:
  Cover(const IdMaps& maps, const Bitsets& sets, const Meetings& meetings, const Grid& grid, float* coverage)
      : kernels_(selected_kernels()),
        maps_(maps),
        sets_(sets),
        meetings_(meetings),
        grid_(grid),
        edges_(grid.columns, maps.width),
        coverage_(coverage) {}

  struct Scratch {
    RunRows rows;
    std::vector<int64_t> heights;  // how much of each row is in the cells
    std::vector<int32_t> prefix;   // of one row
    std::vector<int64_t> areas;    // left of each edge
  };
  Scratch scratch() const {
    const size_t width = static_cast<size_t>(maps_.width);
    return {RunRows(kernels_, edges_, maps_.width),
            {},
            std::vector<int32_t>(width + 2),
            std::vector<int64_t>(edges_.at.size())};
  }

  // Row `cell` of the cells of one map.
  void operator()(int64_t view, int64_t cell, Scratch& scratch) const {
    const size_t first = static_cast<size_t>(view);
    if (meetings_.starts[first] == meetings_.starts[first + 1]) return;
    find_runs(view, cell, scratch);
    for (int64_t m = meetings_.starts[first]; m < meetings_.starts[first + 1]; ++m)
      meet(meetings_.list[static_cast<size_t>(m)], cell, scratch);
  }

 private:
  void find_runs(int64_t view, int64_t cell, Scratch& scratch) const {
    const int64_t top = cell * maps_.height, bottom = top + maps_.height;  // a pixel is grid_.rows high
    scratch.rows.clear();
    scratch.heights.clear();
    for (int64_t y = top / grid_.rows; y * grid_.rows < bottom; ++y) {
      scratch.rows.add(maps_.ids + (view * maps_.height + y) * maps_.width, 64 * sets_.words, view);
      scratch.heights.push_back(std::min((y + 1) * grid_.rows, bottom) - std::max(y * grid_.rows, top));
    }
  }

  void meet(const Meeting& meeting, int64_t cell, Scratch& scratch) const {
    float* const out = coverage_ + (meeting.result * grid_.rows + cell) * grid_.columns;
    if (sets_.words == 0) {
      std::fill_n(out, grid_.columns, 0.f);
      return;
    }
    std::vector<int64_t>& areas = scratch.areas;
    std::fill(areas.begin(), areas.end(), 0);
    const uint64_t* const bits = sets_.bits + meeting.set * sets_.words;
    for (int64_t r = 0; r < scratch.rows.rows(); ++r)
      kernels_.add_row(scratch.rows.row(r), bits, edges_.at.data(), scratch.rows.edge_runs(r),
                       static_cast<int64_t>(edges_.at.size()), grid_.columns,
                       scratch.heights[static_cast<size_t>(r)], scratch.prefix.data(), areas.data());
    const double cell_area = static_cast<double>(maps_.height * maps_.width);
    for (int64_t c = 0; c < grid_.columns; ++c) {
      const size_t left = static_cast<size_t>(c);
      out[c] = static_cast<float>(static_cast<double>(areas[left + 1] - areas[left]) / cell_area);
    }
  }

  Kernels kernels_;
  const IdMaps& maps_;
  const Bitsets& sets_;
  const Meetings& meetings_;
  Grid grid_;
  Edges edges_;
  float* coverage_;
};

}  // namespace

void overlap_masks(const IdMaps& maps, const Bitsets& sets, const ViewPairs& pairs, const Grid& grid,
                   float* coverage, const Parallel& parallel) {
  check_maps("overlap_masks", maps);
  check_sets("overlap_masks", sets);
  check_grid(grid);
  check_pairs(maps, sets, pairs);
  if (pairs.count == 0) return;
  const Meetings meetings = by_map(pairs, maps.views);
  const Cover cover(maps, sets, meetings, grid, coverage);
  run_tasks(parallel, maps.views * grid.rows, [&] {
    return [&, scratch = cover.scratch()](int64_t task) mutable {
      cover(task / grid.rows, task % grid.rows, scratch);
    };
  });
}

}  // namespace mirror
