// CUDA on the CPU, small and slow: every thread of a block is a fibre, all fibres run on one thread, in turn. Blocks run
// one after another. A kernel's .cuh file compiles against this header unchanged, so that its shared memory, shuffles,
// barriers, tensor-core fragments and background copies can be tested where there is no GPU.
//
//   warp collectives  (shuffle, ballot, tensor core) meet: the last lane to arrive computes for all 32
//   copy_async        the bytes arrive at copy_async_wait and not before, so a missing wait shows
//   shared memory     starts as 0xFF (NaN in every float format), so a read before a write shows
//   __syncthreads     threads that wait for ever (divergence) abort the test
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __restrict__

struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

namespace mirror {
namespace emulator {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

struct Copy {
  void* shared;
  size_t size;
  unsigned char bytes[16];
};

struct Thread {
  ucontext_t context;  // how it starts
  jmp_buf place;       // where it goes on: unlike swapcontext, jumping does not call the kernel
  bool started = false;
  std::vector<char> stack;
  bool done = false;
  Dim3 index;
  int number = 0;
  uint64_t barriers = 0;                        // how many __syncthreads this thread has reached
  uint64_t collectives = 0;                     // and how many warp collectives
  std::deque<std::vector<Copy>> groups = {{}};  // the last is open
};

// What a warp's lanes bring to a collective, and what they get. Twice, because a quick lane may bring its next operands
// while a slow one still reads.
struct Meeting {
  int arrived = 0;
  uint64_t finished = 0;
  uint64_t in[2][32][10];
  uint64_t out[2][32][4];
};

class Machine {
 public:
  static Machine& instance() {
    static Machine machine;
    return machine;
  }

  // kernel<<<grid, threads, shared>>>
  void launch(Dim3 grid, Dim3 threads, size_t shared, const std::function<void()>& kernel) {
    grid_ = grid;
    block_ = threads;
    kernel_ = &kernel;
    const int count = static_cast<int>(threads.x * threads.y);
    shared_.assign(shared + 16, 0xff);
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        block_index_ = {x, y, 0};
        std::memset(shared_.data(), 0xff, shared_.size());
        run_block(count);
      }
  }

  Thread& thread() { return *current_; }
  Dim3 grid_, block_, block_index_;

  unsigned char* shared() {
    return reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(shared_.data()) + 15) / 16 * 16);
  }

  void barrier() {
    const uint64_t mine = ++current_->barriers;
    if (++at_barrier_ == static_cast<int>(threads_.size())) {
      at_barrier_ = 0;
      barriers_passed_ = mine;
    }
    while (barriers_passed_ < mine) yield();
  }

  // `compute(in, out)` runs once, when all 32 lanes are there; returns this lane's results.
  template <class Compute>
  const uint64_t* meet(const uint64_t* operands, int count, const Compute& compute) {
    Meeting& meeting = meetings_[static_cast<size_t>(current_->number / 32)];
    const uint64_t turn = current_->collectives++;
    const int lane = current_->number % 32, side = static_cast<int>(turn & 1);
    std::copy(operands, operands + count, meeting.in[side][lane]);
    if (++meeting.arrived == 32) {
      compute(meeting.in[side], meeting.out[side]);
      meeting.arrived = 0;
      meeting.finished = turn + 1;
    }
    while (meeting.finished <= turn) yield();
    return meeting.out[side][lane];
  }

 private:
  static constexpr size_t kStack = 256 * 1024;

  // A fibre is started once and then serves block after block.
  static void enter() {
    Machine& machine = instance();
    for (;;) {
      (*machine.kernel_)();
      machine.current_->done = true;
      machine.progress_ = true;
      machine.yield();
    }
  }

  void yield() {
    if (_setjmp(current_->place) == 0) _longjmp(scheduler_, 1);
  }

  // Until the current thread yields or ends.
  void go_on() {
    if (_setjmp(scheduler_) != 0) return;
    if (current_->started) _longjmp(current_->place, 1);
    current_->started = true;
    setcontext(&current_->context);
  }

  void run_block(int count) {
    if (count % 32 != 0) fail("a block of whole warps is expected");
    while (static_cast<int>(pool_.size()) < count) {
      pool_.push_back(std::make_unique<Thread>());
      Thread& thread = *pool_.back();
      thread.stack.resize(kStack);
      getcontext(&thread.context);
      thread.context.uc_stack.ss_sp = thread.stack.data();
      thread.context.uc_stack.ss_size = thread.stack.size();
      thread.context.uc_link = nullptr;
      makecontext(&thread.context, enter, 0);
    }
    threads_.clear();
    meetings_.assign(static_cast<size_t>(count / 32), Meeting());
    at_barrier_ = 0;
    barriers_passed_ = 0;
    for (int i = 0; i < count; ++i) {
      Thread& thread = *pool_[static_cast<size_t>(i)];
      thread.done = false;
      thread.number = i;
      thread.index = {static_cast<unsigned>(i) % block_.x, static_cast<unsigned>(i) / block_.x, 0};
      thread.barriers = thread.collectives = 0;
      thread.groups = {{}};
      threads_.push_back(&thread);
    }
    int idle = 0;
    for (bool running = true; running;) {
      running = false;
      progress_ = false;
      uint64_t before = fingerprint();
      // From another thread on and in another direction every time, so that a missing barrier shows.
      const size_t all = threads_.size(), first = order_() % all, step = order_() % 2 == 0 ? 1 : all - 1;
      for (size_t i = 0; i < all; ++i) {
        Thread* const thread = threads_[(first + i * step) % all];
        if (thread->done) continue;
        running = true;
        current_ = thread;
        go_on();
      }
      idle = progress_ || fingerprint() != before ? 0 : idle + 1;
      if (running && idle > 2) fail("threads wait for each other for ever");
    }
  }

  uint64_t fingerprint() const {
    uint64_t sum = barriers_passed_;
    for (const Thread* thread : threads_) sum += thread->barriers + thread->collectives;
    return sum;
  }

  [[noreturn]] static void fail(const char* what) {
    std::fprintf(stderr, "cuda_emulator: %s\n", what);
    std::abort();
  }

  const std::function<void()>* kernel_ = nullptr;
  std::vector<std::unique_ptr<Thread>> pool_;
  std::vector<Thread*> threads_;
  std::vector<Meeting> meetings_;
  std::vector<unsigned char> shared_;
  Thread* current_ = nullptr;
  jmp_buf scheduler_;
  int at_barrier_ = 0;
  uint64_t barriers_passed_ = 0;
  bool progress_ = false;
  std::minstd_rand order_{1};
};

template <class T>
uint64_t to_bits(T value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}
template <class T>
T from_bits(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

inline float bfloat16_to_float(uint32_t bits) { return from_bits<float>(bits << 16); }

inline float float16_to_float(uint32_t bits) {
  const int exponent = static_cast<int>(bits >> 10 & 31), mantissa = static_cast<int>(bits & 1023);
  const float sign = (bits & 0x8000) != 0 ? -1.0f : 1.0f;
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -24);
  if (exponent == 31) return mantissa != 0 ? NAN : sign * INFINITY;
  return sign * std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
}

// Fragments -> matrices -> product -> fragments, after the tables of the PTX manual ("Matrix fragments for
// mma.m16n8k32", "mma.m16n8k16"). `per_word` elements share a 32-bit register.
template <int kDepth, class Sum, class Element, class Product>
void multiply_fragments(const uint64_t (*in)[10], uint64_t (*out)[4], const Element& element,
                        const Product& product) {
  constexpr int kPerWord = kDepth / 8;  // registers of a row of A: 2 of 4 lanes, each kDepth / 8 elements
  static Sum a[16][kDepth], b[kDepth][8];
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane >> 2, in_group = lane & 3;
    for (int reg = 0; reg < 4; ++reg)
      for (int e = 0; e < kPerWord; ++e) {
        const int row = group + (reg % 2) * 8, k = in_group * kPerWord + e + (reg / 2) * (kDepth / 2);
        a[row][k] = element(static_cast<uint32_t>(in[lane][reg]), e);
      }
    for (int reg = 0; reg < 2; ++reg)
      for (int e = 0; e < kPerWord; ++e) {
        const int k = in_group * kPerWord + e + reg * (kDepth / 2);
        b[k][group] = element(static_cast<uint32_t>(in[lane][4 + reg]), e);
      }
  }
  for (int lane = 0; lane < 32; ++lane)
    for (int reg = 0; reg < 4; ++reg) {
      const int row = (lane >> 2) + (reg / 2) * 8, column = (lane & 3) * 2 + reg % 2;
      Sum sum = from_bits<Sum>(in[lane][6 + reg]);
      for (int k = 0; k < kDepth; ++k) sum += product(a[row][k], b[k][column]);
      out[lane][reg] = to_bits(sum);
    }
}

struct Times {
  template <class T>
  T operator()(T a, T b) const {
    return a * b;
  }
};

template <int kDepth, class Sum, class Element, class Product = Times>
void multiply(Sum (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, const Element& element,
              const Product& product = Product()) {
  const uint64_t operands[10] = {a[0], a[1],          a[2],          a[3],          b0,
                                 b1,   to_bits(c[0]), to_bits(c[1]), to_bits(c[2]), to_bits(c[3])};
  const uint64_t* out =
      Machine::instance().meet(operands, 10, [&](const uint64_t (*in)[10], uint64_t (*result)[4]) {
        multiply_fragments<kDepth, Sum>(in, result, element, product);
      });
  for (int i = 0; i < 4; ++i) c[i] = from_bits<Sum>(out[i]);
}

}  // namespace emulator

// ---- the runtime ----------------------------------------------------------------------------------------------------

namespace emulator {

// A small device, and tests change it to see every way of using shared memory.
struct Device {
  int multiprocessors = 3;
  int shared_limit = 227 * 1024;
};
inline Device& device() {
  static Device device;
  return device;
}

inline void launch(Dim3 grid, unsigned threads, size_t shared, const std::function<void()>& kernel) {
  if (shared > static_cast<size_t>(device().shared_limit)) {
    std::fprintf(stderr, "cuda_emulator: more shared memory than the device has\n");
    std::abort();
  }
  Machine::instance().launch(grid, {threads, 1, 1}, shared, kernel);
}

}  // namespace emulator

inline unsigned char* shared_memory() { return emulator::Machine::instance().shared(); }

inline void mma_u8(int32_t (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  emulator::multiply<32>(c, a, b0, b1,
                         [](uint32_t word, int e) { return static_cast<int32_t>(word >> (8 * e) & 255); });
}
inline void mma_bits(int32_t (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  emulator::multiply<32>(
      c, a, b0, b1, [](uint32_t word, int e) { return static_cast<int32_t>(word >> (8 * e) & 255); },
      [](int32_t x, int32_t y) { return __builtin_popcount(static_cast<unsigned>(x & y)); });
}
struct BFloat16Mma {
  static void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    emulator::multiply<16>(c, a, b0, b1, [](uint32_t word, int e) {
      return emulator::bfloat16_to_float(word >> (16 * e) & 0xffff);
    });
  }
};
struct Float16Mma {
  static void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    emulator::multiply<16>(c, a, b0, b1, [](uint32_t word, int e) {
      return emulator::float16_to_float(word >> (16 * e) & 0xffff);
    });
  }
};

inline void load_matrices(const void* row, uint32_t (&matrix)[4]) {
  const uint64_t operand = reinterpret_cast<uintptr_t>(row);
  if (operand % 16 != 0) {
    std::fprintf(stderr, "cuda_emulator: misaligned load_matrices\n");
    std::abort();
  }
  const uint64_t* out =
      emulator::Machine::instance().meet(&operand, 1, [](const uint64_t (*in)[10], uint64_t (*result)[4]) {
        for (int lane = 0; lane < 32; ++lane)
          for (int m = 0; m < 4; ++m) {
            uint32_t word;
            std::memcpy(&word, reinterpret_cast<const char*>(in[8 * m + (lane >> 2)][0]) + 4 * (lane & 3), 4);
            result[lane][m] = word;
          }
      });
  for (int m = 0; m < 4; ++m) matrix[m] = static_cast<uint32_t>(out[m]);
}

namespace emulator {
inline void copy_async(void* shared, const void* global, size_t size, bool valid) {
  Copy copy{shared, size, {}};
  if (reinterpret_cast<uintptr_t>(shared) % size != 0 ||
      (valid && reinterpret_cast<uintptr_t>(global) % size != 0)) {
    std::fprintf(stderr, "cuda_emulator: misaligned copy_async\n");
    std::abort();
  }
  if (valid) std::memcpy(copy.bytes, global, size);
  Machine::instance().thread().groups.back().push_back(copy);
}
}  // namespace emulator

inline void copy_async(void* shared, const void* global, bool valid) {
  emulator::copy_async(shared, global, 16, valid);
}
inline void copy_async_8(void* shared, const void* global, bool valid) {
  emulator::copy_async(shared, global, 8, valid);
}
inline void copy_async_commit() { emulator::Machine::instance().thread().groups.emplace_back(); }
template <int kPending>
void copy_async_wait() {
  auto& groups = emulator::Machine::instance().thread().groups;
  while (static_cast<int>(groups.size()) - 1 > kPending) {
    for (const emulator::Copy& copy : groups.front()) std::memcpy(copy.shared, copy.bytes, copy.size);
    groups.pop_front();
  }
}

// Fibres switch at barriers and collectives only.
inline uint64_t atomic_min(uint64_t* address, uint64_t value) {
  const uint64_t before = *address;
  if (value < before) *address = value;
  return before;
}
inline uint64_t atomic_or(uint64_t* address, uint64_t value) {
  const uint64_t before = *address;
  *address = before | value;
  return before;
}
inline uint64_t atomic_add(uint64_t* address, uint64_t value) {
  const uint64_t before = *address;
  *address = before + value;
  return before;
}

}  // namespace mirror

// Of the CUDA runtime, what launch_cuda.h calls.
using cudaError_t = int;
constexpr cudaError_t cudaSuccess = 0;
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount, cudaDevAttrMaxSharedMemoryPerBlockOptin };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
inline const char* cudaGetErrorString(cudaError_t) { return "none"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDevice(int* device) { return *device = 0; }
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  const mirror::emulator::Device& device = mirror::emulator::device();
  *value = attribute == cudaDevAttrMultiProcessorCount ? device.multiprocessors : device.shared_limit;
  return cudaSuccess;
}
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel, cudaFuncAttribute, int) {
  return cudaSuccess;
}
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel, int, size_t) {
  *blocks = 1;
  return cudaSuccess;
}
template <class StreamPointer>
cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, StreamPointer) {
  std::memset(data, value, bytes);
  return cudaSuccess;
}

#define threadIdx (::mirror::emulator::Machine::instance().thread().index)
#define blockIdx (::mirror::emulator::Machine::instance().block_index_)
#define blockDim (::mirror::emulator::Machine::instance().block_)
#define gridDim (::mirror::emulator::Machine::instance().grid_)

inline void __syncthreads() { ::mirror::emulator::Machine::instance().barrier(); }

template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  using namespace mirror::emulator;
  const uint64_t operand = to_bits(value);
  return from_bits<T>(
      *Machine::instance().meet(&operand, 1, [mask](const uint64_t (*in)[10], uint64_t (*out)[4]) {
        for (int lane = 0; lane < 32; ++lane) out[lane][0] = in[lane ^ mask][0];
      }));
}

template <class T>
T __shfl_sync(unsigned, T value, int from) {
  using namespace mirror::emulator;
  const uint64_t operand = to_bits(value);
  return from_bits<T>(
      *Machine::instance().meet(&operand, 1, [from](const uint64_t (*in)[10], uint64_t (*out)[4]) {
        for (int lane = 0; lane < 32; ++lane) out[lane][0] = in[from][0];
      }));
}

inline void __syncwarp() { __shfl_xor_sync(0xffffffffu, 0, 0); }

inline unsigned __ballot_sync(unsigned, bool value) {
  using namespace mirror::emulator;
  const uint64_t operand = value;
  return static_cast<unsigned>(
      *Machine::instance().meet(&operand, 1, [](const uint64_t (*in)[10], uint64_t (*out)[4]) {
        uint64_t bits = 0;
        for (int lane = 0; lane < 32; ++lane) bits |= in[lane][0] << lane;
        for (int lane = 0; lane < 32; ++lane) out[lane][0] = bits;
      }));
}

inline int __popc(unsigned value) { return __builtin_popcount(value); }
inline int __ffsll(long long value) { return __builtin_ffsll(value); }
inline int __popcll(unsigned long long value) { return __builtin_popcountll(value); }

template <class T>
T __ldg(const T* address) {
  return *address;
}

template <class T>
T atomicAdd(T* address, T value) {  // fibres switch at barriers and collectives only
  const T before = *address;
  *address = before + value;
  return before;
}

inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
  for (int i = 0; i < 32; i += 8) c += (a >> i & 255) * (b >> i & 255);
  return c;
}
