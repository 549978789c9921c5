// Threads belong to the caller. Every op takes a Parallel and starts no thread of its own.
#pragma once

#include <cstdint>

namespace mirror {

// body(begin, end, context) handles the range [begin, end). It never throws.
using ParallelBody = void (*)(int64_t begin, int64_t end, void* context);

// Splits [begin, end) into ranges of at least `grain`, calls `body` on each, on any thread, and returns when all are
// done. Behind `pool` it has the shape of torch's torch_parallel_for; `pool` is handed back untouched.
using ParallelFor = void (*)(void* pool, int64_t begin, int64_t end, int64_t grain, ParallelBody body,
                             void* context);

struct Parallel {
  ParallelFor run = nullptr;  // nullptr: the calling thread does everything
  void* pool = nullptr;
  int threads = 1;  // how many ranges make all threads of the pool busy (>= 1). Results never depend on it.
};

// The calling thread alone.
Parallel serial();

// `count` threads: count - 1 are started for each call and joined before it returns. count < 1 means all processors.
Parallel threads(int count);

}  // namespace mirror
