// Life of a chain: JobControl hands over from job to job; DescriptorUnit fetches and checks the next one meanwhile.

#pragma once

#include "bursts.hpp"
#include "constants.hpp"
#include "queues.hpp"

namespace fineq {

struct DescriptorUnit {
    enum State { IDLE, ADDRESS, COMMAND, WORDS, CONTENTS, OPERANDS, MULTIPLY, END, REGION, OFFER };
    enum Region { DESTINATION, ACTIVATIONS, WEIGHTS, CHANNEL_PARAMETERS, TOKEN_PARAMETERS, DESCRIPTOR, NEXT, REGIONS };

    const Constants& c;
    const Job* jobs;
    uint32_t count;
    Region order[REGIONS];     // region on each turn
    uint32_t after[REGIONS];   // quotients that each region waits for
    State state = IDLE;
    uint32_t next = 0;     // job whose descriptor is in hand
    uint32_t turn = 0;     // of its regions
    uint32_t multiplier = 0;
    uint32_t divided = 0, bit = 0;  // quotients that are known, bits of the next one
    bool valid = false;    // a job is on offer
    uint32_t offered = 0;  // which

    DescriptorUnit(const Constants& constants, const Job* jobs, uint32_t count)
        : c(constants), jobs(jobs), count(count), order{} {
        const int64_t turns[] = {c.turn_destination,      c.turn_activations, c.turn_weights, c.turn_channel_parameters,
                                 c.turn_token_parameters, c.turn_descriptor,  c.turn_next};
        const int64_t waits[] = {c.after_destination,      c.after_activations, c.after_weights,
                                 c.after_channel_parameters, c.after_token_parameters, c.after_descriptor, c.after_next};
        for (int region = 0; region < REGIONS; ++region) {
            order[turns[region] % REGIONS] = Region(region);
            after[region] = waits[region];
        }
    }

    const Job& job() const { return jobs[offered]; }
    bool last() const { return offered + 1 == count; }
    bool asks() const { return state == COMMAND; }
    bool takes_words() const { return state == WORDS; }
    Transfer command() const { return {uint64_t(jobs[next].descriptor), uint32_t(c.descriptor_bytes), 1, 0}; }

    // `accepted`: the command; `ended`: the last word comes; `taken`: the job on offer.
    void tick(bool start, bool accepted, bool ended, bool taken) {
        const bool legal = state == CONTENTS, free = !valid || taken;
        if (taken) valid = false;
        switch (state) {
        case IDLE:
            if (start) state = ADDRESS, next = 0;
            break;
        case ADDRESS:
            state = COMMAND;
            break;
        case COMMAND:
            if (accepted) state = WORDS;
            break;
        case WORDS:
            if (ended) state = CONTENTS;
            break;
        case CONTENTS:
            state = OPERANDS, turn = 0;
            break;
        case OPERANDS:
            if (divided >= after[order[turn]]) state = MULTIPLY, multiplier = factor();
            break;
        case MULTIPLY:
            multiplier >>= 1;
            if (!multiplier) state = END;
            break;
        case END:
            state = REGION;
            break;
        case REGION:
            next_region();
            break;
        case OFFER:
            if (free) {
                valid = true, offered = next;
                state = next + 1 == count ? IDLE : COMMAND;
                ++next;
            }
        }
        divide(legal);
    }

    void record(Recorder& state_) const {
        state_(state), state_(next), state_(valid), state_(offered);
        if (state >= OPERANDS && state < OFFER) state_(turn), state_(multiplier), state_(divided), state_(bit);
    }

private:
    // What the region's bytes are a multiple of, bit by bit.
    uint32_t factor() const {
        switch (order[turn]) {
        case DESTINATION:
        case ACTIVATIONS:
            return jobs[next].tokens - 1;
        case WEIGHTS:
            return jobs[next].line_groups;
        default:
            return 0;
        }
    }

    void next_region() {
        const Region region = order[turn];
        turn = region == WEIGHTS && jobs[next].plain ? c.turn_descriptor : turn + 1;
        state = region == NEXT || (region == DESCRIPTOR && next + 1 == count) ? OFFER : OPERANDS;
    }

    // TileCounts: one bit of a quotient a cycle; nobody looks at what comes after the last one.
    void divide(bool start) {
        if (++bit == c.quotient_cycles) ++divided, bit = 0;
        if (start) divided = bit = 0;
    }
};

struct JobControl {
    enum State { IDLE, NEXT, WORK } state = IDLE;

    bool busy() const { return state != IDLE; }
    bool starts(bool offered) const { return state == NEXT && offered; }
    bool ends(bool working, bool write_idle) const { return state == WORK && !working && write_idle; }
    void tick(bool start, bool job_start, bool job_done, bool last) {
        if (start) state = NEXT;
        if (job_start) state = WORK;
        if (job_done) state = last ? IDLE : NEXT;
    }
};

}  // namespace fineq
