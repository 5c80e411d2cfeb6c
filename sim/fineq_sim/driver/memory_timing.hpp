// When the memory at the accelerator's AXI4 port takes and gives words: included by the verilated machine (harness.cpp)
// and by the cycle-level twin (perf/machine), so that both meet the same memory. No data.
//
// Everything is answered in order. What is offered in a cycle depends on what the memory held before the cycle alone.
//
// `fixed`: a read burst's first word may come `latency` cycles after its address, a write burst's answer as long after
// its last word; words follow one another in `word_ticks`, in each direction for itself.
// `dram`: the same latency on the way, then banks with one open row each, and one data bus for both directions, served
// in the order of arrival: reads when their address comes, writes when their last word has come. A row is opened on
// the first access to it (precharge, activate) and stays open until another row of the bank or a refresh.
// Each channel may rest besides, by chance (`stall` in `stall_steps`, a power of two, each cycle).

#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <vector>

namespace fineq {

// Numbers of `fineq_sim.driver.memory_timing.MemoryTiming`, in the order of `MemoryTiming.numbers`. The latency is in
// cycles, all other times are in ticks.
#define FINEQ_MEMORY(X)                                                                                             \
    X(cycle_ticks) X(latency) X(stall_steps) X(stall) X(seed) X(word_ticks) X(banks) X(row_bytes) X(row_to_column)  \
    X(precharge) X(column) X(row_open) X(refresh_interval) X(refresh) X(turnaround)

struct MemoryParameters {
#define FINEQ_FIELD(name) int64_t name;
    FINEQ_MEMORY(FINEQ_FIELD)
#undef FINEQ_FIELD
};

class Dram {
public:
    explicit Dram(const MemoryParameters& part)
        : part_(part), banks_(part.banks), refresh_at_(part.refresh_interval) {}

    // Time at which the first of some words of one row begins to move, for a request at `time`.
    uint64_t serve(uint64_t address, uint32_t words, uint64_t time, bool write) {
        for (; time >= refresh_at_; refresh_at_ += part_.refresh_interval)
            for (Bank& bank : banks_)
                bank.open = false, bank.ready = std::max(bank.ready, refresh_at_ + part_.refresh);
        const uint64_t row = address / part_.row_bytes;
        Bank& bank = banks_[row % banks_.size()];
        uint64_t column = std::max(time, bank.ready);
        if (!bank.open || bank.row != row) {
            if (bank.open) column = std::max(column, bank.opened + part_.row_open) + part_.precharge;
            bank.opened = column;
            column += part_.row_to_column;
            bank.open = true, bank.row = row;
        }
        const uint64_t turn = write != writes_ ? part_.turnaround : 0;
        const uint64_t begin = std::max(column + part_.column, bus_free_ + turn);
        bus_free_ = begin + words * part_.word_ticks;
        bank.ready = bus_free_ - std::min<uint64_t>(bus_free_, part_.column);
        writes_ = write;
        return begin;
    }

private:
    struct Bank {
        bool open = false;
        uint64_t row = 0, opened = 0, ready = 0;
    };
    MemoryParameters part_;
    std::vector<Bank> banks_;
    uint64_t refresh_at_, bus_free_ = 0;
    bool writes_ = false;
};

class MemoryTiming {
public:
    // What is offered in this cycle, after `begin`.
    bool read_address_ready = false, write_address_ready = false, write_ready = false;
    bool read_valid = false, answer_valid = false;

    explicit MemoryTiming(uint32_t bus_bytes) : bus_bytes_(bus_bytes) {}

    // Begin anew, in the cycle that begins next; only while nothing is under way.
    void configure(const MemoryParameters& parameters) {
        part_ = parameters;
        random_ = uint64_t(part_.seed) * 2 + 1;
        now_ = 0;
        next_read_ = next_write_ = 0;
        dram_ = Dram(part_);
    }

    // Another chance of a rest, whatever is under way; `stall_steps` is certainty.
    void rest(int64_t stall) { part_.stall = stall; }
    // As after the reset of the bus: nothing is under way.
    void forget() {
        reads_.clear(), writes_.clear(), answers_.clear();
        read_valid = answer_valid = false;
    }

    bool is_dram() const { return part_.banks != 0; }
    // What is to come depends on what is under way alone, and not on the time or on chance.
    bool repeats() const { return !is_dram() && !part_.stall; }

    uint64_t read_address() const { return reads_.front().address; }
    bool read_last() const { return reads_.front().words == 1 && reads_.front().last; }
    uint64_t write_address() const { return writes_.front().address; }
    bool write_last() const { return writes_.front().words == 1; }

    void begin() {
        read_address_ready = !rests();
        write_address_ready = !rests();
        write_ready = !writes_.empty() && next_write_ <= now_ && !rests();
        // A word or an answer on offer stays until it is taken.
        if (!read_valid) read_valid = !reads_.empty() && reads_.front().due <= now_ && next_read_ <= now_ && !rests();
        if (!answer_valid) answer_valid = !answers_.empty() && answers_.front() <= now_ && !rests();
    }

    // Handshakes of the cycle, in this order, then `end`.
    void take_read() {
        read_valid = false;
        Piece& piece = reads_.front();
        if (!is_dram()) next_read_ = after_word(next_read_);
        piece.address += bus_bytes_;
        piece.due += part_.word_ticks * is_dram();
        if (--piece.words == 0) reads_.pop_front();
    }
    void take_answer() {
        answer_valid = false;
        answers_.pop_front();
    }
    void take_write() {
        Write& burst = writes_.front();
        if (!is_dram()) next_write_ = after_word(next_write_);
        burst.address += bus_bytes_;
        if (--burst.words) return;
        uint64_t due = now_ + part_.cycle_ticks * part_.latency;
        if (is_dram()) pieces(burst.start, burst.all, [&](uint64_t address, uint32_t words, bool) {
            due = dram_.serve(address, words, now_ + part_.cycle_ticks * part_.latency, true) + words * part_.word_ticks;
        });
        answers_.push_back(due);
        writes_.pop_front();
    }
    void accept_read(uint64_t address, uint32_t words) {
        const uint64_t arrival = now_ + part_.cycle_ticks * part_.latency;
        if (!is_dram()) return reads_.push_back({address, words, arrival, true});
        pieces(address, words, [&](uint64_t start, uint32_t count, bool last) {
            reads_.push_back({start, count, dram_.serve(start, count, arrival, false) + part_.word_ticks, last});
        });
    }
    void accept_write(uint64_t address, uint32_t words) { writes_.push_back({address, words, address, words}); }
    void end() { now_ += part_.cycle_ticks; }

    // What the next cycles depend on, for a memory that `repeats`: times from now on, addresses within a page.
    template <class Recorder>
    void record(Recorder& state) const {
        state(read_valid), state(answer_valid), state(reads_.size()), state(writes_.size()), state(answers_.size());
        state(from_now(next_read_)), state(from_now(next_write_));
        for (const Piece& piece : reads_) state(piece.words), state(from_now(piece.due));
        for (const Write& burst : writes_) state(burst.words);
        for (uint64_t due : answers_) state(from_now(due));
    }
    void skip(uint64_t cycles) {
        const uint64_t ticks = part_.cycle_ticks * cycles;
        now_ += ticks, next_read_ += ticks, next_write_ += ticks;
        for (Piece& piece : reads_) piece.due += ticks;
        for (uint64_t& due : answers_) due += ticks;
    }

private:
    struct Piece {
        uint64_t address;
        uint32_t words;
        uint64_t due;  // from when on its next word may be offered
        bool last;     // of its burst
    };
    struct Write {
        uint64_t address;
        uint32_t words;
        uint64_t start;
        uint32_t all;
    };

    // A time that has passed more than a cycle ago is as good as any other.
    uint64_t from_now(uint64_t due) const {
        return due + part_.cycle_ticks > now_ ? due + part_.cycle_ticks - now_ : 0;
    }

    bool rests() {
        if (!part_.stall) return false;
        random_ ^= random_ << 13;
        random_ ^= random_ >> 7;
        random_ ^= random_ << 17;
        return int64_t(random_ >> 24 & (part_.stall_steps - 1)) < part_.stall;
    }

    // From when on the next word may move if one moves now: what is left of a cycle is not lost.
    uint64_t after_word(uint64_t due) const {
        return (due + part_.cycle_ticks > now_ ? due : now_) + part_.word_ticks;
    }

    // Cut a burst where a row ends.
    template <class Function>
    void pieces(uint64_t address, uint32_t words, Function function) {
        while (words) {
            const uint64_t room = (part_.row_bytes - address % part_.row_bytes) / bus_bytes_;
            const uint32_t count = std::min<uint64_t>(words, std::max<uint64_t>(room, 1));
            words -= count;
            function(address, count, words == 0);
            address += uint64_t(count) * bus_bytes_;
        }
    }

    uint32_t bus_bytes_;
    MemoryParameters part_{};
    uint64_t random_ = 1, now_ = 0, next_read_ = 0, next_write_ = 0;
    std::deque<Piece> reads_;
    std::deque<Write> writes_;
    std::deque<uint64_t> answers_;
    Dram dram_{part_};
};

}  // namespace fineq
