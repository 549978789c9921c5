// bfloat16 and float16 as storage: widening, and narrowing of numbers that came from there.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/host_device.h"

namespace mirror {

// Static: files with different instruction sets include this.
MIRROR_HOST_DEVICE static inline float bits_to_float(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

MIRROR_HOST_DEVICE static inline uint32_t float_to_bits(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

MIRROR_HOST_DEVICE static inline float widen_bf16(uint16_t x) {
  return bits_to_float(static_cast<uint32_t>(x) << 16);
}

// Shifts exponent and mantissa into place and lets one multiplication repair the exponent, subnormals included.
MIRROR_HOST_DEVICE static inline float widen_fp16(uint16_t x) {
  const uint32_t sign = static_cast<uint32_t>(x & 0x8000) << 16;
  const uint32_t rest = static_cast<uint32_t>(x & 0x7fff) << 13;
  const float finite = bits_to_float(rest) * 0x1p112f;
  const uint32_t infinite = rest | 0x7f800000;  // infinity and NaN keep their mantissa
  return bits_to_float(sign | ((x & 0x7c00) == 0x7c00 ? infinite : float_to_bits(finite)));
}

// The inverse of widen_bf16.
MIRROR_HOST_DEVICE static inline uint16_t narrow_bf16(float x) {
  return static_cast<uint16_t>(float_to_bits(x) >> 16);
}

// The inverse of widen_fp16.
MIRROR_HOST_DEVICE static inline uint16_t narrow_fp16(float x) {
  const uint32_t bits = float_to_bits(x), sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
  const uint32_t finite = float_to_bits(bits_to_float(rest) * 0x1p-112f);
  return static_cast<uint16_t>(sign | ((rest >= 0x7f800000 ? rest & 0x0fffffff : finite) >> 13));
}

}  // namespace mirror
