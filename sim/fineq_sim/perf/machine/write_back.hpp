// WriteBack and WriteDma: where the results go, and how they get there in bursts that are gathered first.

#pragma once

#include "../../driver/memory_timing.hpp"
#include "bursts.hpp"
#include "walk.hpp"

namespace fineq {

struct WriteBack {
    const Constants& c;
    TileWalk walk;
    uint64_t tokens_base = 0, address = 0;
    uint32_t stride = 0, result_bytes = 0;

    explicit WriteBack(const Constants& constants) : c(constants), walk(constants) {}

    void start(const Job& job) {
        walk.start(job, 1);
        tokens_base = address = job.destination;
        stride = job.destination_stride, result_bytes = job.result_bytes;
    }
    bool busy() const { return walk.active; }
    Transfer command() const { return {address, row_bytes(), walk.tokens_in_tile, stride}; }
    void tick(bool asked) {
        if (!asked) return;
        address += row_bytes();
        if (walk.last_channels) address = tokens_base += uint64_t(stride) * c.rows;
        walk.advance();
    }
    void record(Recorder& state) const { walk.record(state), state.page(tokens_base), state.page(address); }

private:
    uint32_t row_bytes() const { return walk.channels_in_tile * result_bytes; }
};

struct WriteDma {
    const Constants& c;
    BurstSplitter splitter;
    StreamFifo<uint32_t> lengths;  // beats of the bursts whose words are to come
    uint32_t unanswered = 0;
    BlockFifo<uint32_t> queue;     // words that are gathered, as the bytes that each writes
    uint32_t unclaimed = 0;
    Burst address;  // on offer to the memory
    bool address_valid = false;
    bool word_valid = false;
    uint32_t word_bytes = 0, beat = 0;

    explicit WriteDma(const Constants& constants)
        : c(constants), splitter(constants), lengths(c.outstanding_writes), queue(c.gather_depth) {}

    bool idle() const { return !unanswered && !splitter.busy(); }
    bool issues(bool address_ready) const {
        const bool gathered = c.addresses_ahead || unclaimed >= splitter.offered.beats;
        return splitter.valid && (!address_valid || address_ready) && unanswered != c.outstanding_writes &&
               lengths.ready() && gathered;
    }
    // A word may go to the bus register.
    bool free(bool write_ready) const { return lengths.valid() && (!word_valid || write_ready); }
    // Takes a word from the vector unit.
    bool ready(bool write_ready) const { return c.addresses_ahead ? free(write_ready) : queue.ready(); }

    // `issue`: the burst on offer; `put`: a word comes that writes `bytes`; `asked`: a command is accepted.
    void tick(bool issue, bool put, uint32_t bytes, bool asked, const Transfer& command, MemoryTiming& memory) {
        const bool frees = free(memory.write_ready);
        const bool load = frees && (c.addresses_ahead ? put : queue.valid());
        const uint32_t loaded = c.addresses_ahead ? bytes : queue.front();
        const bool answered = memory.answer_valid && unanswered;
        if (answered) memory.take_answer();
        if (word_valid && memory.write_ready) {
            memory.take_write();
            word_valid = false;
        }
        if (address_valid && memory.write_address_ready) {
            memory.accept_write(address.address, address.beats);
            address_valid = false;
        }
        if (issue) address = splitter.offered, address_valid = true;
        bool burst_last = false;
        if (load) {
            word_valid = true, word_bytes = loaded;
            burst_last = ++beat == lengths.front();
            if (burst_last) beat = 0;
        }
        if (!c.addresses_ahead) {
            unclaimed += put;
            if (issue) unclaimed -= splitter.offered.beats;
            queue.tick(put, bytes, frees);
        }
        if (issue) lengths.put(splitter.offered.beats);
        if (burst_last) lengths.take();
        unanswered += issue - answered;
        splitter.tick(asked, command, issue);
    }

    void record(Recorder& state) const {
        splitter.record(state), queue.record(state);
        state(lengths.level()), lengths.each(state);
        state(unanswered), state(unclaimed), state(address_valid), state(word_valid), state(beat);
        if (address_valid) state(address.beats);
        if (word_valid) state(word_bytes);
    }
};

}  // namespace fineq
