// ReadDma: the transfers of four clients over one read port; the next burst is that of the lowest channel that has one.

#pragma once

#include "../../driver/memory_timing.hpp"
#include "bursts.hpp"
#include "constants.hpp"
#include "queues.hpp"

namespace fineq {

constexpr uint32_t CHANNELS = 4;

struct ReadDma {
    struct Ticket {
        uint32_t channel = 0;
        bool last = false;
    };

    BurstSplitter splitters[CHANNELS];
    StreamFifo<Ticket> tickets;
    Burst address;  // on offer to the memory
    bool address_valid = false;
    bool word_valid = false, word_last = false;
    uint32_t channel = 0;  // of the word

    explicit ReadDma(const Constants& c)
        : splitters{BurstSplitter(c), BurstSplitter(c), BurstSplitter(c), BurstSplitter(c)},
          tickets(c.outstanding_reads) {}

    // Channel that gets a ticket in this cycle, or CHANNELS.
    uint32_t issues(bool address_ready) const {
        if ((address_valid && !address_ready) || !tickets.ready()) return CHANNELS;
        uint32_t number = 0;
        while (number < CHANNELS && !splitters[number].valid) ++number;
        return number;
    }
    bool offers(uint32_t client) const { return word_valid && channel == client; }
    bool takes_word(bool taken) const { return tickets.valid() && (!word_valid || taken); }
    bool idle() const {
        if (tickets.valid() || word_valid) return false;
        for (const BurstSplitter& splitter : splitters)
            if (splitter.busy()) return false;
        return true;
    }

    // `asked`, `commands`: of each channel; `taken`: the word on offer is; `beat`: a word comes in.
    void tick(const bool asked[], const Transfer commands[], uint32_t issued, bool taken, bool beat,
              MemoryTiming& memory) {
        const bool burst_last = beat && memory.read_last();
        if (beat) {
            word_valid = true;
            channel = tickets.front().channel;
            word_last = burst_last && tickets.front().last;
            memory.take_read();
        } else if (taken) {
            word_valid = false;
        }
        if (address_valid && memory.read_address_ready) {
            memory.accept_read(address.address, address.beats);
            address_valid = false;
        }
        if (issued != CHANNELS) {
            address = splitters[issued].offered;
            address_valid = true;
            tickets.put({issued, address.last});
        }
        if (burst_last) tickets.take();
        for (uint32_t number = 0; number < CHANNELS; ++number)
            if (splitters[number].busy() || asked[number])
                splitters[number].tick(asked[number], commands[number], issued == number);
    }

    void record(Recorder& state) const {
        for (const BurstSplitter& splitter : splitters) splitter.record(state);
        state(tickets.level());
        tickets.each([&](const Ticket& ticket) { state(ticket.channel * 2 + ticket.last); });
        state(address_valid), state(word_valid);
        if (address_valid) state(address.beats);
        if (word_valid) state(channel), state(word_last);
    }
};

}  // namespace fineq
