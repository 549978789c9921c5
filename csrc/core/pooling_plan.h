// How boxes share work. The boundaries of all boxes cut the map into a grid:
//
//        c0   c1  c2      c3         1  each grid cell: the maximum of its map cells; every map cell is read once
//     r0  +----+---+-------+         2  each distinct row interval of a box (a band): the maximum of rows of the grid,
//         |    |   |       |            or of bands inside it, for all columns of the grid at once
//     r1  +----+---+-------+         3  each box: the same along the columns of its band
//         |    |   |       |
//     r2  +----+---+-------+
//
// Steps 2 and 3 are lists of "node = max(node, node)". The maximum may count a cell twice: intervals may overlap.
#pragma once

#include <cstdint>
#include <vector>

#include "mirror/pooling.h"

namespace mirror {
namespace pooling {

// node[target] = max(node[first], node[second]); the leaves come first and are never targets.
struct Step {
  int32_t target, first, second;
};

// Region `region` is the node.
struct Output {
  int32_t node, region;
};

// Boxes with the same rows. Its nodes: the columns of the grid, then the targets of its steps.
struct Band {
  int32_t node;  // among the nodes of the rows
  int32_t first_step, last_step;
  int32_t first_output, last_output;
};

struct Plan {
  std::vector<int64_t> row_cuts, column_cuts;  // rising; leaf i is [cuts[i], cuts[i + 1])
  std::vector<char> row_used;                  // [rows of the grid]: is it in any box?
  int64_t row_nodes = 0;                       // with the leaves
  int64_t column_nodes = 0;                    // of the band that has most, with the leaves
  std::vector<Step> row_steps, column_steps;
  std::vector<Band> bands;
  std::vector<Output> outputs;

  int64_t rows() const { return static_cast<int64_t>(row_cuts.size()) - 1; }
  int64_t columns() const { return static_cast<int64_t>(column_cuts.size()) - 1; }
};

struct Box {
  int64_t row, column, height, width;
};

// The boxes; throws where one is empty or leaves the map.
std::vector<Box> read_boxes(const Boxes& boxes, int64_t height, int64_t width);

// One plan where there are few boxes; many are dealt out to several, so that the memory of the nodes stays bounded.
std::vector<Plan> plan_boxes(const std::vector<Box>& boxes);

}  // namespace pooling
}  // namespace mirror
