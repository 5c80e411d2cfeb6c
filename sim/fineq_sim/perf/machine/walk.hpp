// TileWalk: the order in which every block works off a job, and how far it is.

#pragma once

#include "constants.hpp"
#include "queues.hpp"

namespace fineq {

struct TileWalk {
    uint32_t rows, whole, portion;
    bool active = false, first_inner = false;
    uint32_t tokens = 0, channels = 0, inner = 0;
    uint32_t tokens_left = 0, channels_left = 0, inner_left = 0, portion_start = 0;
    // What follows from the registers above.
    bool last_tokens = false, last_channels = false, last_inner = false, last_portion = false;
    uint32_t tokens_in_tile = 0, channels_in_tile = 0, image_channels = 0;

    explicit TileWalk(const Constants& c)
        : rows(c.rows), whole(c.channels_per_tile), portion(c.final_channels) {}

    void start(const Job& job, uint32_t steps) {
        tokens = job.tokens, channels = job.channels, inner = steps;
        active = first_inner = true;
        tokens_left = tokens, channels_left = channels, inner_left = inner, portion_start = 0;
        derive();
    }

    void advance() {
        first_inner = last_inner;
        if (!last_inner) {
            --inner_left;
        } else {
            inner_left = inner;
            portion_start = last_portion ? 0 : channels_in_tile;
            if (!last_channels) {
                channels_left -= channels_in_tile;
            } else {
                channels_left = channels;
                if (last_tokens)
                    active = false;
                else
                    tokens_left -= rows;
            }
        }
        derive();
    }

    void derive() {
        last_tokens = tokens_left <= rows;
        const bool split = last_tokens && channels_left > portion && channels_left <= whole;
        last_channels = !split && channels_left <= whole;
        last_inner = inner_left == 1;
        last_portion = !split;
        tokens_in_tile = last_tokens ? tokens_left : rows;
        channels_in_tile = last_channels ? channels_left : split ? (channels_left - 1) / portion * portion : whole;
        image_channels = portion_start + channels_left <= whole ? portion_start + channels_left : whole;
    }

    // Without the tokens that are left: see `TokenTiles`.
    void record(Recorder& state) const {
        state(active), state(first_inner), state(last_tokens), state(channels_left), state(inner_left);
        state(portion_start);
    }
};

}  // namespace fineq
