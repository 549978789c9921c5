// The guest's own thread pool, as any host application has one: threads that outlive every call. mirror sees of it only
// the Parallel that parallel() makes.
#pragma once

#include <mirror/parallel.h>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace guest {

class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { serve(); });
  }
  ~Pool() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      closing_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  mirror::Parallel parallel() { return {&Pool::run, this, static_cast<int>(workers_.size()) + 1}; }

  // How many different threads have worked so far.
  int used() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return static_cast<int>(seen_.size());
  }

 private:
  // What mirror calls: the caller works too, and leaves when the last range is done.
  static void run(void* pool, int64_t begin, int64_t end, int64_t grain, mirror::ParallelBody body,
                  void* context) {
    Pool& self = *static_cast<Pool*>(pool);
    const std::lock_guard<std::mutex> one_call_at_a_time(self.call_);
    std::unique_lock<std::mutex> lock(self.mutex_);
    self.next_ = begin;
    self.end_ = end;
    self.grain_ = std::max<int64_t>(grain, 1);
    self.body_ = body;
    self.context_ = context;
    self.wake_.notify_all();
    self.work(lock);
    self.idle_.wait(lock, [&] { return self.busy_ == 0; });
  }

  // Takes ranges until none is left. The lock is held except while a body runs.
  void work(std::unique_lock<std::mutex>& lock) {
    ++busy_;
    while (next_ < end_) {
      const int64_t first = next_;
      const int64_t last = next_ = std::min(first + grain_, end_);
      seen_.insert(std::this_thread::get_id());
      lock.unlock();
      body_(first, last, context_);
      lock.lock();
    }
    if (--busy_ == 0) idle_.notify_all();
  }

  void serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return closing_ || next_ < end_; });
      if (closing_) return;
      work(lock);
    }
  }

  std::vector<std::thread> workers_;
  std::mutex call_, mutex_;
  std::condition_variable wake_, idle_;
  std::set<std::thread::id> seen_;
  bool closing_ = false;
  int busy_ = 0;
  int64_t next_ = 0, end_ = 0, grain_ = 1;
  mirror::ParallelBody body_ = nullptr;
  void* context_ = nullptr;
};

}  // namespace guest
