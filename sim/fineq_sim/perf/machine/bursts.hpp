// BurstSplitter: transfers into bursts, each to the end of its row, of its page or of the longest burst.

#pragma once

#include "constants.hpp"
#include "queues.hpp"

namespace fineq {

struct Transfer {
    uint64_t address;
    uint32_t row_bytes, rows, stride;
};

struct Burst {
    uint64_t address = 0;
    uint32_t beats = 0;
    bool last = false;  // of its transfer
};

struct BurstSplitter {
    uint32_t bus_bytes, page_bytes, max_beats;
    bool active = false, valid = false;
    uint64_t row_address = 0, address = 0;
    uint32_t row_words = 0, words_left = 0, rows_left = 0, stride = 0;
    Burst offered;
    // What follows from the registers above: the next burst.
    uint32_t beats = 0;
    bool row_last = false, last = false;

    explicit BurstSplitter(const Constants& c)
        : bus_bytes(c.bus_bytes), page_bytes(c.page_bytes), max_beats(c.max_burst_beats) {}

    bool busy() const { return active || valid; }
    // `taken`: the burst on offer is.
    bool ready(bool taken) const { return !active || ((!valid || taken) && last); }

    void tick(bool accepted, const Transfer& command, bool taken) {
        const bool free = !valid || taken, step = active && free;
        if (free) valid = active;
        if (step) {
            offered = {address, beats, last};
            words_left -= beats;
            address += uint64_t(beats) * bus_bytes;
            if (row_last) {
                --rows_left;
                words_left = row_words;
                address = row_address += stride;
            }
            if (last) active = false;
        }
        if (accepted) {
            row_words = words_left = (command.row_bytes + bus_bytes - 1) / bus_bytes;
            active = row_words && command.rows;
            address = row_address = command.address;
            rows_left = command.rows;
            stride = command.stride;
        }
        if (step || accepted) {
            const uint32_t to_page = (page_bytes - address % page_bytes) / bus_bytes;
            const uint32_t limit = to_page < max_beats ? to_page : max_beats;
            row_last = words_left <= limit;
            last = row_last && rows_left == 1;
            beats = row_last ? words_left : limit;
        }
    }

    void record(Recorder& state) const {
        state(active), state(valid);
        if (valid) state(offered.beats), state(offered.last);
        if (!active) return;
        state(words_left), state(rows_left);
        if (rows_left == 1) {
            const uint32_t to_page = (page_bytes - address % page_bytes) / bus_bytes;
            state(to_page < words_left ? to_page : words_left);
        } else {
            state(row_words), state(stride), state.page(address), state.page(row_address);
        }
    }
};

}  // namespace fineq
