// What the ops refuse: std::invalid_argument with one sentence. The bindings ask before they allocate.
#pragma once

#include <cstdint>

#include "mirror/overlap.h"

namespace mirror {
namespace overlap {

void check_maps(const char* op, const IdMaps& maps);
void check_sets(const char* op, const Bitsets& sets);
void check_visible(const char* op, int64_t num_faces, int64_t min_pixels);
void check_grid(const Grid& grid);
void check_pairs(const IdMaps& maps, const Bitsets& sets, const ViewPairs& pairs);  // touches their values
void check_weights(const Bitsets& sets, const TriangleWeights& weights);            // touches the bits

// The first id that is not -1..num_faces-1; there is one.
[[noreturn]] void fail_ids(const char* op, const int32_t* ids, int64_t count, int64_t num_faces,
                           int64_t view);

}  // namespace overlap
}  // namespace mirror
