// Collects the matches of every pair, in whatever order the core hands them over, and lays them out as one list.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "mirror/match_kernel.h"

namespace mirror::bindings {

class MatchLists {
 public:
  explicit MatchLists(int64_t pairs) : lists_(pairs) {}

  MatchSink sink() { return {receive, this}; }

  // offsets [pairs + 1]; returns the number of all matches
  int64_t offsets(int64_t* offsets) const {
    int64_t total = 0;
    for (size_t i = 0; i < lists_.size(); total += count(i++)) offsets[i] = total;
    return offsets[lists_.size()] = total;
  }

  // matches [total, 2], ratios [total, 2]; empties the lists
  void lay_out(int32_t* matches, float* ratios) {
    for (List& list : lists_) {
      matches = std::copy(list.matches.begin(), list.matches.end(), matches);
      ratios = std::copy(list.ratios.begin(), list.ratios.end(), ratios);
      list = {};
    }
  }

 private:
  struct List {
    std::vector<int32_t> matches;  // [count, 2]
    std::vector<float> ratios;     // [count, 2]
  };

  int64_t count(size_t pair) const { return static_cast<int64_t>(lists_[pair].matches.size() / 2); }

  // Every pair writes its own list: threads never meet.
  static void receive(void* context, int64_t pair, int64_t count, const int32_t* matches,
                      const float* ratios) {
    List& list = static_cast<MatchLists*>(context)->lists_[pair];
    list.matches.assign(matches, matches + 2 * count);
    list.ratios.assign(ratios, ratios + 2 * count);
  }

  std::vector<List> lists_;
};

}  // namespace mirror::bindings
