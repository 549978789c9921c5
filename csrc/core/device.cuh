// The few instructions that CUDA C++ has no name for. Kernels live in .cuh files and use nothing else beyond plain CUDA,
// so that the C++ tests can run the very same kernels, thread by thread, on a machine without a GPU: there the header
// cuda_emulator.h of the tests stands in for all of it.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)

namespace mirror {

// Dynamic shared memory of the block.
__device__ inline unsigned char* shared_memory() {
  extern __shared__ __align__(16) unsigned char mirror_shared_memory[];
  return mirror_shared_memory;
}

// Tensor-core products of one warp. Lane = 4 g + t (g = 0..7, t = 0..3).
//   c [16, 8]: c[0], c[1] = row g, columns 2t and 2t + 1; c[2], c[3] = row g + 8, the same columns
//   bytes, k = 32:  a[0] = row g,     bytes 4t..4t+3        b0 = column g, bytes 4t..4t+3
//                   a[1] = row g + 8, bytes 4t..4t+3        b1 = column g, bytes 16 + 4t..
//                   a[2] = row g,     bytes 16 + 4t..       a[3] = row g + 8, bytes 16 + 4t..
//   halves, k = 16: the same with pairs 2t, 2t + 1 for bytes 4t.., and 8 + 2t for 16 + 4t
__device__ inline void mma_u8(int32_t (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.u8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Rows and columns of 256 bits, 32 bytes that lie as those of mma_u8: c += popcount(row & column).
__device__ inline void mma_bits(int32_t (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

struct BFloat16Mma {
  static __device__ void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
};

struct Float16Mma {
  static __device__ void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
};

// Four 8 x 8 matrices of halves from shared memory. Lane l brings the address of row l % 8 of matrix l / 8 (16 bytes,
// aligned) and gets, of each matrix, elements 2t and 2t + 1 of row g.
__device__ inline void load_matrices(const void* row, uint32_t (&matrix)[4]) {
  const uint32_t from = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(matrix[0]), "=r"(matrix[1]), "=r"(matrix[2]), "=r"(matrix[3])
               : "r"(from)
               : "memory");
}

// 16 bytes from global to shared memory, arriving in the background; zeros where `valid` is false, and then `global` is
// not read. Both addresses are multiples of 16.
__device__ inline void copy_async(void* shared, const void* global, bool valid) {
  const uint32_t to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(valid ? 16 : 0)
               : "memory");
}

// The same for 8 bytes, and addresses that are multiples of 8.
__device__ inline void copy_async_8(void* shared, const void* global, bool valid) {
  const uint32_t to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(to), "l"(global), "r"(valid ? 8 : 0)
               : "memory");
}

// Closes the group of copies issued since the last call.
__device__ inline void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most `kPending` of this thread's groups are still on their way.
template <int kPending>
__device__ inline void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// CUDA knows 64 bits as unsigned long long only.
__device__ inline uint64_t atomic_min(uint64_t* address, uint64_t value) {
  return atomicMin(reinterpret_cast<unsigned long long*>(address), static_cast<unsigned long long>(value));
}
__device__ inline uint64_t atomic_or(uint64_t* address, uint64_t value) {
  return atomicOr(reinterpret_cast<unsigned long long*>(address), static_cast<unsigned long long>(value));
}
__device__ inline uint64_t atomic_add(uint64_t* address, uint64_t value) {
  return atomicAdd(reinterpret_cast<unsigned long long*>(address), static_cast<unsigned long long>(value));
}

}  // namespace mirror

#else
#include "cuda_emulator.h"
#endif
