// Packing for instructions that multiply four bytes at a time: [tile][kLength / 4][16][4], that is, for every four
// components the sixteen columns of a tile side by side (64 bytes). Compiled by each instruction set's own file, hence static.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/match_kernel_block.h"

namespace mirror {
namespace {

template <int kLength>
constexpr int kTileBytes = kTileColumns * kLength;
constexpr int kQuadBytes = kTileColumns * 4;

// What is stored is `value - kMinus`.
template <int kMinus, int kLength>
void pack_quads(const uint8_t* rows, int64_t count, int64_t padded, uint8_t* packed) {
  for (int64_t i = 0; i < padded; ++i) {
    uint8_t row[kLength] = {};
    if (i < count) std::memcpy(row, rows + i * kLength, sizeof row);
    if (kMinus != 0)
      for (uint8_t& value : row) value = static_cast<uint8_t>(value - kMinus);
    uint8_t* const out = packed + i / kTileColumns * kTileBytes<kLength> + i % kTileColumns * 4;
    for (int q = 0; q < kLength / 4; ++q) std::memcpy(out + q * kQuadBytes, row + 4 * q, 4);
  }
}

}  // namespace
}  // namespace mirror
