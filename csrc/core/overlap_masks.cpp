// Which share of each cell of a picture another view sees too.
//
// A task is one row of cells of one map, for all sets that the map is to meet. The pixels become runs once; for each
// set the runs are tested one by one, and a running sum along the row gives the area left of every cell's edge. What lies
// in a cell is the difference of its two edges; nobody has to ask where a run meets an edge. A map that meets many sets is
// prepared better: the runs of a triangle in a cell become one piece.
#include <algorithm>
#include <vector>

#include "core/overlap_check.h"
#include "core/overlap_kernels.h"
#include "core/overlap_merge.h"
#include "core/tasks.h"
#include "mirror/overlap.h"

namespace mirror {
namespace {

using namespace overlap;

// To merge the runs costs as much as so many sets save by it.
constexpr int64_t kSetsToMerge = 8;

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

// What one row of cells shows: ids and areas, one piece of the map after the other, cell by cell or row by row.
struct Pieces {
  std::vector<int32_t> ids;     // 0 where there is no triangle
  std::vector<uint32_t> areas;  // 0 where there is no triangle
  int64_t count = 0;

  // Room for so many more, and for what a vector writes beyond them.
  void reserve(int64_t more) {
    const size_t room = static_cast<size_t>(count + more + 16);
    if (ids.size() >= room) return;
    ids.resize(2 * room);
    areas.resize(2 * room);
  }
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
    struct Row {
      int64_t first, count;  // its runs; the last is empty and starts where the row ends
      int64_t height;        // how much of it is in the cells
    };
    std::vector<Row> rows;
    Pieces runs;                  // areas: pixels
    std::vector<int32_t> starts;  // of the runs
    std::vector<int32_t> at;      // the run of each edge in each row
    std::vector<RowMask> mask;
    std::vector<uint32_t> before;
    std::vector<int64_t> areas;  // left of each edge
    MergedPieces merged;
  };
  Scratch scratch() const {
    Scratch scratch;
    scratch.mask.resize(static_cast<size_t>(maps_.width / 64 + 1));
    scratch.areas.resize(edges_.at.size());
    return scratch;
  }

  // Row `cell` of the cells of one map.
  void operator()(int64_t view, int64_t cell, Scratch& scratch) const {
    const size_t v = static_cast<size_t>(view);
    const int64_t first = meetings_.starts[v], last = meetings_.starts[v + 1];
    if (first == last) return;
    find_runs(view, cell, scratch);
    const bool merged = last - first >= kSetsToMerge;
    if (merged) merge(scratch);
    for (int64_t m = first; m < last; ++m) {
      const Meeting& meeting = meetings_.list[static_cast<size_t>(m)];
      const uint64_t* const bits = sets_.bits + meeting.set * sets_.words;
      float* const out = coverage_ + (meeting.result * grid_.rows + cell) * grid_.columns;
      if (sets_.words == 0)
        std::fill_n(out, grid_.columns, 0.f);
      else if (merged)
        meet_merged(bits, scratch, out);
      else
        meet(bits, scratch, out);
    }
  }

 private:
  void find_runs(int64_t view, int64_t cell, Scratch& scratch) const {
    const int64_t top = cell * maps_.height, bottom = top + maps_.height;  // a pixel is grid_.rows high
    scratch.rows.clear();
    scratch.runs.count = 0;
    for (int64_t y = top / grid_.rows; y * grid_.rows < bottom; ++y) {
      const int64_t height = std::min((y + 1) * grid_.rows, bottom) - std::max(y * grid_.rows, top);
      add_row(maps_.ids + (view * maps_.height + y) * maps_.width, view, height, scratch);
    }
    scratch.before.resize(static_cast<size_t>(scratch.runs.count + 1));
  }

  void add_row(const int32_t* pixels, int64_t view, int64_t height, Scratch& scratch) const {
    Pieces& runs = scratch.runs;
    runs.reserve(maps_.width + 1);
    if (scratch.starts.size() < runs.ids.size()) scratch.starts.resize(runs.ids.size());
    int32_t* const ids = runs.ids.data() + runs.count;
    int32_t* const starts = scratch.starts.data() + runs.count;
    const int64_t count = kernels_.find_runs(pixels, maps_.width, starts, ids, scratch.mask.data());
    if (kernels_.largest_id(ids, count) > 64 * sets_.words)
      fail_ids("overlap_masks", ids, count, 64 * sets_.words, view);
    kernels_.areas_of(starts, count, ids, runs.areas.data() + runs.count);
    const size_t rows = scratch.rows.size(), edges = edges_.at.size();
    scratch.at.resize((rows + 1) * edges);
    kernels_.runs_at(scratch.mask.data(), edges_.pixels.data(), static_cast<int64_t>(edges),
                     scratch.at.data() + rows * edges);
    scratch.rows.push_back({runs.count, count + 1, height});
    runs.count += count + 1;
  }

  void meet(const uint64_t* bits, Scratch& scratch, float* out) const {
    std::fill(scratch.areas.begin(), scratch.areas.end(), 0);
    kernels_.add_up(scratch.runs.ids.data(), scratch.runs.areas.data(), scratch.runs.count, bits,
                    scratch.before.data());
    for (size_t r = 0; r < scratch.rows.size(); ++r) add_edges(scratch, r);
    put(scratch.areas, out);
  }

  // What is left of each edge in a row: the runs before, and the part of the run that the edge is in.
  void add_edges(Scratch& scratch, size_t r) const {
    const Scratch::Row& row = scratch.rows[r];
    const uint32_t* const before = scratch.before.data() + row.first;
    const int32_t* const starts = scratch.starts.data() + row.first;
    const int32_t* const at = scratch.at.data() + r * edges_.at.size();
    for (size_t c = 0; c < edges_.at.size(); ++c) {
      const int32_t k = at[c];
      const int64_t pixels = before[k] - before[0];
      const int64_t beyond = before[k + 1] != before[k] ? edges_.at[c] - grid_.columns * starts[k] : 0;
      scratch.areas[c] += row.height * (grid_.columns * pixels + beyond);
    }
  }

  // left [columns + 1]: areas left of each edge.
  void put(const std::vector<int64_t>& left, float* out) const {
    for (size_t c = 0; c + 1 < left.size(); ++c) out[c] = share(left[c + 1] - left[c]);
  }

  float share(int64_t area) const {
    return static_cast<float>(static_cast<double>(area) / static_cast<double>(maps_.height * maps_.width));
  }

  void merge(Scratch& scratch) const {
    scratch.merged.start();
    for (size_t c = 0; c + 1 < edges_.at.size(); ++c) {
      for (size_t r = 0; r < scratch.rows.size(); ++r) merge_row(scratch, r, c);
      scratch.merged.end_cell();
    }
  }

  // What of a row is in cell c.
  void merge_row(Scratch& scratch, size_t r, size_t c) const {
    const Scratch::Row& row = scratch.rows[r];
    const int32_t* const starts = scratch.starts.data() + row.first;
    const int32_t* const ids = scratch.runs.ids.data() + row.first;
    const uint32_t* const pixels = scratch.runs.areas.data() + row.first;
    const int32_t* const at = scratch.at.data() + r * edges_.at.size() + c;
    for (int32_t k = at[0]; k <= at[1]; ++k) {
      if (pixels[k] == 0) continue;
      const int64_t left = std::max(grid_.columns * starts[k], edges_.at[c]);
      const int64_t right = std::min(grid_.columns * starts[k + 1], edges_.at[c + 1]);
      if (right > left) scratch.merged.add(ids[k], static_cast<uint32_t>(row.height * (right - left)));
    }
  }

  void meet_merged(const uint64_t* bits, Scratch& scratch, float* out) const {
    const MergedPieces& merged = scratch.merged;
    scratch.before.resize(static_cast<size_t>(std::max(merged.count(), scratch.runs.count) + 1));
    kernels_.add_up(merged.ids(), merged.areas(), merged.count(), bits, scratch.before.data());
    uint32_t before = 0;
    for (size_t c = 0; c < merged.ends().size(); ++c) {
      const uint32_t after = scratch.before[static_cast<size_t>(merged.ends()[c])];
      out[c] = share(static_cast<uint32_t>(after - before));
      before = after;
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
