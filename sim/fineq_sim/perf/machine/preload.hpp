// InputBuffer: activations to the array; one filling is loaded while the one before is in use.

#pragma once

#include "bursts.hpp"
#include "walk.hpp"

namespace fineq {

struct InputBuffer {
    const Constants& c;
    TileWalk walk;
    DoubleBuffer halves;
    uint32_t rows_held[2] = {};
    bool offered = false;  // a command was on offer in the cycle before
    uint64_t tokens_base = 0, address = 0;
    uint32_t stride = 0, played = 0;
    bool valid = false, last = false;  // row for the array

    explicit InputBuffer(const Constants& constants) : c(constants), walk(constants) {}

    void start(const Job& job) {
        walk.start(job, job.inner_tiles);
        tokens_base = address = job.activations;
        stride = job.activation_stride;
    }
    bool busy() const { return walk.active || !halves.idle() || valid; }
    bool asks(bool hold) const { return walk.active && halves.can_reserve() && (halves.idle() || !hold || offered); }
    Transfer command() const { return {address, uint32_t(c.activation_tile_bytes), walk.tokens_in_tile, stride}; }

    // `asking`, `asked`: a command is on offer, is accepted; `filled`: the last word comes; `ready`: of the array.
    void tick(bool asking, bool asked, bool filled, bool ready) {
        const bool read = halves.can_play() && (!valid || ready);
        const bool last_row = read && played + 1 == rows_held[halves.play_half];
        offered = asking && !asked;
        if (asked) {
            rows_held[halves.reserve_half] = walk.tokens_in_tile;
            address += c.activation_tile_bytes;
            if (walk.last_inner) {
                if (walk.last_channels) tokens_base += uint64_t(stride) * c.rows;
                address = tokens_base;
            }
        }
        halves.tick(asked, filled, last_row);
        if (asked) walk.advance();
        if (read) {
            valid = true, last = last_row;
            played = last_row ? 0 : played + 1;
        } else if (ready) {
            valid = false;
        }
    }

    void record(Recorder& state) const {
        walk.record(state), halves.record(state);
        state(rows_held[0]), state(rows_held[1]), state(offered), state(played), state(valid), state(valid && last);
        state.page(address), state.page(tokens_base);
    }
};

}  // namespace fineq
