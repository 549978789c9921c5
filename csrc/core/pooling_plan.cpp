#include "core/pooling_plan.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

namespace mirror {
namespace pooling {
namespace {

constexpr size_t kBoxesOfPlan = 128;
constexpr size_t kLongCover = 8;  // more pieces than this are halved by a sparse table

using Interval = std::pair<int32_t, int32_t>;  // [first, second) in leaves

// Nodes over the leaves 0 .. count - 1 of one axis.
class Nodes {
 public:
  explicit Nodes(int32_t count, std::vector<Step>* steps) : next_(count), steps_(steps) {
    for (int32_t i = 0; i < count; ++i) nodes_[{i, i + 1}] = i;
  }

  // The node of an interval; made of the fewest nodes that are there already.
  int32_t node(Interval wanted) {
    const auto found = nodes_.find(wanted);
    if (found != nodes_.end()) return found->second;
    std::vector<int32_t> pieces = cover(wanted);
    if (pieces.size() > kLongCover) {
      int32_t length = 1;  // the power of two that covers the interval twice
      while (2 * length < wanted.second - wanted.first) length *= 2;
      pieces = {node({wanted.first, wanted.first + length}), node({wanted.second - length, wanted.second})};
    }
    const int32_t target = next_++;
    int32_t sum = pieces[0];
    for (size_t i = 1; i < pieces.size(); ++i) {
      steps_->push_back({target, sum, pieces[i]});
      sum = target;
    }
    return nodes_[wanted] = target;
  }

  int32_t count() const { return next_; }

 private:
  // Greedy, which is optimal: again and again the node that starts no later than what is covered, and reaches furthest.
  std::vector<int32_t> cover(Interval wanted) const {
    std::vector<int32_t> pieces;
    int32_t covered = wanted.first, reach = covered, furthest = -1;
    for (auto it = nodes_.lower_bound({covered, 0}); covered < wanted.second; covered = reach) {
      for (; it != nodes_.end() && it->first.first <= covered; ++it) {
        const int32_t end = it->first.second;
        if (end <= reach || end > wanted.second) continue;
        reach = end;
        furthest = it->second;
      }
      pieces.push_back(furthest);
    }
    return pieces;
  }

  std::map<Interval, int32_t> nodes_;
  int32_t next_;
  std::vector<Step>* steps_;
};

std::vector<int64_t> cuts_of(std::vector<int64_t> ends) {
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  return ends;
}

Interval leaves(const std::vector<int64_t>& cuts, int64_t begin, int64_t length) {
  const auto leaf = [&](int64_t at) {
    return static_cast<int32_t>(std::lower_bound(cuts.begin(), cuts.end(), at) - cuts.begin());
  };
  return {leaf(begin), leaf(begin + length)};
}

// Short intervals first: long ones are made of them.
bool shorter(const Interval& a, const Interval& b) {
  return std::make_pair(a.second - a.first, a.first) < std::make_pair(b.second - b.first, b.first);
}

using Numbered = std::pair<Box, int32_t>;  // a box and its place in the output

Plan plan_of(const Numbered* boxes, size_t count) {
  Plan plan;
  std::vector<int64_t> rows, columns;
  for (size_t i = 0; i < count; ++i) {
    const Box& box = boxes[i].first;
    rows.insert(rows.end(), {box.row, box.row + box.height});
    columns.insert(columns.end(), {box.column, box.column + box.width});
  }
  plan.row_cuts = cuts_of(std::move(rows));
  plan.column_cuts = cuts_of(std::move(columns));
  plan.row_used.assign(static_cast<size_t>(plan.rows()), 0);
  // Row interval -> column intervals and regions, everything in a fixed order.
  using Columns = std::vector<std::pair<Interval, int32_t>>;
  std::map<Interval, Columns, decltype(&shorter)> bands(&shorter);
  for (size_t i = 0; i < count; ++i) {
    const Box& box = boxes[i].first;
    bands[leaves(plan.row_cuts, box.row, box.height)].emplace_back(
        leaves(plan.column_cuts, box.column, box.width), boxes[i].second);
  }
  Nodes row_nodes(static_cast<int32_t>(plan.rows()), &plan.row_steps);
  for (auto& [interval, regions] : bands) {
    std::fill(plan.row_used.begin() + interval.first, plan.row_used.begin() + interval.second, 1);
    std::stable_sort(regions.begin(), regions.end(),
                     [](const auto& a, const auto& b) { return shorter(a.first, b.first); });
    Band band{};
    band.node = row_nodes.node(interval);
    band.first_step = static_cast<int32_t>(plan.column_steps.size());
    band.first_output = static_cast<int32_t>(plan.outputs.size());
    Nodes column_nodes(static_cast<int32_t>(plan.columns()), &plan.column_steps);
    for (const auto& [columns_of_box, region] : regions)
      plan.outputs.push_back({column_nodes.node(columns_of_box), region});
    band.last_step = static_cast<int32_t>(plan.column_steps.size());
    band.last_output = static_cast<int32_t>(plan.outputs.size());
    plan.bands.push_back(band);
    plan.column_nodes = std::max<int64_t>(plan.column_nodes, column_nodes.count());
  }
  plan.row_nodes = row_nodes.count();
  return plan;
}

}  // namespace

std::vector<Box> read_boxes(const Boxes& boxes, int64_t height, int64_t width) {
  std::vector<Box> result;
  result.reserve(static_cast<size_t>(boxes.count));
  for (int64_t i = 0; i < boxes.count; ++i) {
    int64_t b[4];
    for (int k = 0; k < 4; ++k)
      b[k] = boxes.int32 ? static_cast<const int32_t*>(boxes.data)[4 * i + k]
                         : static_cast<const int64_t*>(boxes.data)[4 * i + k];
    const bool inside = b[0] >= 0 && b[1] >= 0 && b[2] >= 1 && b[3] >= 1 && b[0] < height && b[1] < width &&
                        b[2] <= height - b[0] && b[3] <= width - b[1];
    if (!inside)
      throw std::invalid_argument(
          "region_max_pool: boxes: expected (row, column, height, width) with height, width >= 1 inside "
          "the " +
          std::to_string(height) + " x " + std::to_string(width) + " map, got (" + std::to_string(b[0]) +
          ", " + std::to_string(b[1]) + ", " + std::to_string(b[2]) + ", " + std::to_string(b[3]) +
          ") in row " + std::to_string(i));
    result.push_back({b[0], b[1], b[2], b[3]});
  }
  return result;
}

std::vector<Plan> plan_boxes(const std::vector<Box>& boxes) {
  std::vector<Numbered> numbered;
  for (const Box& box : boxes) numbered.emplace_back(box, static_cast<int32_t>(numbered.size()));
  if (boxes.size() > kBoxesOfPlan)  // boxes near each other into the same plan
    std::stable_sort(numbered.begin(), numbered.end(), [](const Numbered& a, const Numbered& b) {
      return std::tie(a.first.row, a.first.height) < std::tie(b.first.row, b.first.height);
    });
  std::vector<Plan> plans;
  for (size_t i = 0; i < numbered.size(); i += kBoxesOfPlan)
    plans.push_back(plan_of(numbered.data() + i, std::min(kBoxesOfPlan, numbered.size() - i)));
  return plans;
}

}  // namespace pooling
}  // namespace mirror
