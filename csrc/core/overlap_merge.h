// The pieces of a map in a row of cells, cell by cell, every triangle once in a cell: what many sets are tested against.
#pragma once

#include <cstdint>
#include <vector>

namespace mirror {
namespace overlap {

class MergedPieces {
 public:
  void start() {
    ids_.clear();
    areas_.clear();
    ends_.clear();
    first_ = 0;
    slots_.assign(slots_.empty() ? 64 : slots_.size(), -1);
  }

  // id >= 0; what a cell holds in all is below 2^32.
  void add(int32_t id, uint32_t area) {
    int32_t& slot = slot_of(id);
    if (slot >= first_) {
      areas_[static_cast<size_t>(slot)] += area;
      return;
    }
    slot = static_cast<int32_t>(ids_.size());
    ids_.push_back(id);
    areas_.push_back(area);
    if (2 * (ids_.size() - static_cast<size_t>(first_)) > slots_.size()) grow();
  }

  void end_cell() {
    first_ = static_cast<int32_t>(ids_.size());
    ends_.push_back(first_);
  }

  int64_t count() const { return static_cast<int64_t>(ids_.size()); }
  const int32_t* ids() const { return ids_.data(); }
  const uint32_t* areas() const { return areas_.data(); }
  const std::vector<int32_t>& ends() const { return ends_; }  // of each cell

 private:
  // Open addressing: the number of the piece with this id, or, below first_ (of an earlier cell, or nobody's), where it
  // belongs.
  int32_t& slot_of(int32_t id) {
    const size_t last = slots_.size() - 1;
    size_t at = (static_cast<uint32_t>(id) * 2654435769u >> 7) & last;
    while (slots_[at] >= first_ && ids_[static_cast<size_t>(slots_[at])] != id) at = (at + 1) & last;
    return slots_[at];
  }

  void grow() {
    slots_.assign(2 * slots_.size(), -1);
    for (size_t piece = static_cast<size_t>(first_); piece < ids_.size(); ++piece)
      slot_of(ids_[piece]) = static_cast<int32_t>(piece);
  }

  std::vector<int32_t> ids_, ends_, slots_;
  std::vector<uint32_t> areas_;
  int32_t first_ = 0;  // piece of the cell at hand
};

}  // namespace overlap
}  // namespace mirror
