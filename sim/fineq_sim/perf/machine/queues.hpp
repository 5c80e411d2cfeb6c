// What the blocks share: queues, double buffers, and the record of a state.
//
// Every block is a struct of its registers. In each cycle its combinational outputs are read first, for all blocks;
// then each block's `tick` moves the registers on, given the handshakes of the cycle.

#pragma once

#include <cstdint>
#include <vector>

namespace fineq {

// The registers of the machine as a list of numbers that is the same whenever the machine goes on in the same way.
struct Recorder {
    std::vector<uint64_t> state;
    uint64_t page_bytes;

    void operator()(uint64_t number) { state.push_back(number); }
    // Addresses count for where they cut bursts.
    void page(uint64_t address) { state.push_back(address % page_bytes); }
    // One that goes on in steps and takes `bytes` of each: no burst is cut if the steps fill pages evenly.
    void page(uint64_t address, uint64_t bytes, uint64_t step) {
        const bool even = page_bytes % step == 0 && address % step + bytes <= step;
        state.push_back(even ? address % step : address % page_bytes);
    }
};

// StreamFifo: an entry accepted in cycle t is offered from t + 1 on.
template <class Entry>
class StreamFifo {
public:
    explicit StreamFifo(uint32_t depth) : entries_(depth) {}
    bool ready() const { return level_ != entries_.size(); }
    bool valid() const { return level_ != 0; }
    uint32_t level() const { return level_; }
    const Entry& front() const { return entries_[head_]; }
    void put(const Entry& entry) {
        entries_[tail_] = entry;
        if (++tail_ == entries_.size()) tail_ = 0;
        ++level_;
    }
    void take() {
        if (++head_ == entries_.size()) head_ = 0;
        --level_;
    }
    template <class Function>
    void each(Function function) const {
        for (uint32_t i = 0; i < level_; ++i) function(entries_[(head_ + i) % entries_.size()]);
    }

private:
    std::vector<Entry> entries_;
    uint32_t level_ = 0, head_ = 0, tail_ = 0;
};

// BlockFifo: the last entry stands in the memory's output register; an empty queue takes 2 cycles.
template <class Entry>
class BlockFifo {
public:
    explicit BlockFifo(uint32_t depth) : entries_(depth - 1) {}
    bool ready() const { return entries_.ready(); }
    bool valid() const { return valid_; }
    const Entry& front() const { return output_; }
    void tick(bool put, const Entry& entry, bool ready) {
        const bool load = entries_.valid() && (!valid_ || ready);
        if (load) {
            output_ = entries_.front();
            entries_.take();
            valid_ = true;
        } else if (ready) {
            valid_ = false;
        }
        if (put) entries_.put(entry);
    }
    void record(Recorder& state) const {
        state(valid_), state(valid_ ? output_ : 0), state(entries_.level());
        entries_.each(state);
    }

private:
    StreamFifo<Entry> entries_;
    Entry output_{};
    bool valid_ = false;
};

// DoubleBuffer: each half is reserved, filled, played and released in turn.
struct DoubleBuffer {
    uint32_t reserved = 0, filled = 0;
    uint32_t reserve_half = 0, fill_half = 0, play_half = 0;

    bool can_reserve() const { return reserved != 2; }
    bool can_play() const { return filled != 0; }
    bool pending() const { return reserved != filled; }
    bool idle() const { return reserved == 0; }
    void tick(bool reserve, bool fill, bool release) {
        reserved += reserve - release;
        filled += fill - release;
        reserve_half ^= reserve;
        fill_half ^= fill;
        play_half ^= release;
    }
    void record(Recorder& state) const {
        state(reserved), state(filled), state(reserve_half), state(fill_half), state(play_half);
    }
};

}  // namespace fineq
