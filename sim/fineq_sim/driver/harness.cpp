// A verilated accelerator with a memory on its AXI4 port, driven from outside through a pipe.
//
//   harness MEMORY_BASE MEMORY_BYTES
//
// Requests come in on standard input, answers go out on standard output; all numbers are little endian. An answer
// starts with one byte: 0, or 1 and then a 32-bit length and a sentence, after which the program ends.
//
//   'W' address:64 size:64 bytes      write memory
//   'R' address:64 size:64            read memory -> bytes
//   'w' register:32 value:32          write a register -> response:32
//   'r' register:32                   read a register -> response:32 value:32
//   'i' limit:64                      run until the interrupt or for `limit` cycles -> cycles:64 interrupt:32
//   't' number:64 each                the memory's timing from the next cycle on: FINEQ_MEMORY (memory_timing.hpp)
//   's' stall:32                      from the next cycle on each channel of the memory rests by this chance in 65536
//   'f' address:64 size:64 code:32    answer accesses in a range with this AXI response (size 0: none)
//   'x' cycles:32                     hold the accelerator's reset; the memory goes on with what it has begun
//   'X' cycles:32                     hold its reset and that of the bus; the memory forgets what it has begun
//   'c'                               -> cycles since the start:64
//
// The memory answers in order, when memory_timing.hpp says, and checks what the accelerator asks for: a burst that
// crosses 4 kB, a wrong length or an unaligned address ends the simulation with a sentence.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "Vtop.h"
#include "memory_timing.hpp"
#include "verilated.h"

double sc_time_stamp() { return 0; }

namespace {

constexpr uint32_t OKAY = 0, DECERR = 3;
constexpr uint64_t PAGE = 4096;
constexpr uint32_t REGISTER_PATIENCE = 10000;  // cycles that a register access may take

// -- pipe --------------------------------------------------------------------------------------------------------

void take(void* data, std::size_t size) {
    if (size && std::fread(data, 1, size, stdin) != size) std::exit(0);  // the other side is gone
}

template <class Integer>
Integer take() {
    Integer value;
    take(&value, sizeof value);
    return value;
}

void give(const void* data, std::size_t size) {
    if (size && std::fwrite(data, 1, size, stdout) != size) std::exit(1);
}

template <class Integer>
void give(Integer value) {
    give(&value, sizeof value);
}

[[noreturn]] void fail(const char* format, unsigned long long a = 0, unsigned long long b = 0) {
    char text[256];
    const int size = std::snprintf(text, sizeof text, format, a, b);
    give<uint8_t>(1);
    give<uint32_t>(size);
    give(text, size);
    std::fflush(stdout);
    std::exit(1);
}

// -- ports -------------------------------------------------------------------------------------------------------

template <std::size_t Words>
void put(VlWide<Words>& port, const uint8_t* bytes) {
    for (std::size_t i = 0; i < Words; ++i) std::memcpy(&port[i], bytes + 4 * i, 4);
}

void put(QData& port, const uint8_t* bytes) { std::memcpy(&port, bytes, 8); }

template <std::size_t Words>
void get(const VlWide<Words>& port, uint8_t* bytes) {
    for (std::size_t i = 0; i < Words; ++i) std::memcpy(bytes + 4 * i, &port[i], 4);
}

void get(const QData& port, uint8_t* bytes) { std::memcpy(bytes, &port, 8); }

// -- memory and machine ------------------------------------------------------------------------------------------

class Machine {
public:
    static constexpr uint32_t BUS = sizeof(Vtop::m_axi_rdata);

    Machine(uint64_t base, uint64_t size) : base_(base), memory_(size) {
        top_->s_axil_awvalid = top_->s_axil_wvalid = top_->s_axil_arvalid = 0;
        top_->s_axil_bready = top_->s_axil_rready = 1;
        top_->bus_rst = 1;
        reset(4);
        top_->bus_rst = 0;
    }
    ~Machine() { top_->final(); }

    uint64_t cycles() const { return cycle_; }
    uint8_t* bytes(uint64_t address, uint64_t size) {
        if (!inside(address, size)) fail("there is no memory at %#llx, %llu bytes", address, size);
        return memory_.data() + (address - base_);
    }

    void timing(const fineq::MemoryParameters& parameters) { timing_.configure(parameters); }
    void rest(uint32_t stall) { timing_.rest(stall); }
    void fault(uint64_t address, uint64_t size, uint32_t code) { fault_ = {address, size, code}; }

    void reset(uint32_t cycles) {
        top_->rst = 1;
        for (uint32_t i = 0; i < cycles; ++i) step();
        top_->rst = 0;
    }

    void reset_bus(uint32_t cycles) {
        timing_.forget();
        responses_.clear();
        write_code_ = OKAY;
        top_->bus_rst = 1;
        reset(cycles);
        top_->bus_rst = 0;
    }

    uint32_t write_register(uint32_t address, uint32_t value) {
        top_->s_axil_awaddr = address;
        top_->s_axil_wdata = value;
        top_->s_axil_wstrb = 0xF;
        top_->s_axil_awvalid = top_->s_axil_wvalid = 1;
        for (uint32_t i = 0; i < REGISTER_PATIENCE; ++i) {
            step();
            if (seen_.aw) top_->s_axil_awvalid = 0;
            if (seen_.w) top_->s_axil_wvalid = 0;
            if (seen_.b) return seen_.response;
        }
        fail("the register at %#llx does not answer to a write", address);
    }

    uint32_t read_register(uint32_t address, uint32_t* value) {
        top_->s_axil_araddr = address;
        top_->s_axil_arvalid = 1;
        for (uint32_t i = 0; i < REGISTER_PATIENCE; ++i) {
            step();
            if (seen_.ar) top_->s_axil_arvalid = 0;
            if (seen_.r) {
                *value = seen_.value;
                return seen_.response;
            }
        }
        fail("the register at %#llx does not answer to a read", address);
    }

    uint64_t run(uint64_t limit) {
        uint64_t count = 0;
        while (count < limit && !top_->irq) {
            step();
            ++count;
        }
        return count;
    }
    bool interrupt() const { return top_->irq; }

private:
    struct Seen {
        bool aw, w, b, ar, r;
        uint32_t response, value;
    };
    struct Fault {
        uint64_t address = 0, size = 0;
        uint32_t code = OKAY;
    };

    bool inside(uint64_t address, uint64_t size) const {
        return address >= base_ && size <= memory_.size() && address - base_ <= memory_.size() - size;
    }

    uint32_t response(uint64_t address) const {
        if (!inside(address, BUS)) return DECERR;
        if (!fault_.size) return OKAY;
        return address + BUS > fault_.address && address < fault_.address + fault_.size ? fault_.code : OKAY;
    }

    // Beats of a burst that the memory can take.
    static uint32_t beats(uint64_t address, uint32_t length, uint32_t size, uint32_t kind) {
        const uint64_t bytes = (length + 1ull) * BUS;
        if (address % BUS) fail("the accelerator asks for a burst at the unaligned address %#llx", address);
        if ((1u << size) != BUS || kind != 1) fail("the burst at %#llx is not one of whole bus words", address);
        if (address / PAGE != (address + bytes - 1) / PAGE)
            fail("the burst of %llu bytes at %#llx crosses 4 kB", bytes, address);
        return length + 1;
    }

    // One clock cycle: what the memory offers depends on what it held before the cycle alone.
    void step() {
        Vtop& top = *top_;
        top.clk = 0;
        timing_.begin();
        top.m_axi_arready = timing_.read_address_ready;
        top.m_axi_awready = timing_.write_address_ready;
        top.m_axi_wready = timing_.write_ready;
        top.m_axi_rvalid = timing_.read_valid;
        if (timing_.read_valid) {
            const uint64_t address = timing_.read_address();
            const uint32_t code = response(address);
            static const uint8_t nothing[BUS] = {};
            put(top.m_axi_rdata, code == OKAY ? memory_.data() + (address - base_) : nothing);
            top.m_axi_rresp = code;
            top.m_axi_rlast = timing_.read_last();
            if constexpr (requires { top.m_axi_rid; }) top.m_axi_rid = 0;
        }
        top.m_axi_bvalid = timing_.answer_valid;
        if (timing_.answer_valid) {
            top.m_axi_bresp = responses_.front();
            if constexpr (requires { top.m_axi_bid; }) top.m_axi_bid = 0;
        }
        top.eval();

        seen_.aw = top.s_axil_awvalid && top.s_axil_awready;
        seen_.w = top.s_axil_wvalid && top.s_axil_wready;
        seen_.ar = top.s_axil_arvalid && top.s_axil_arready;
        seen_.b = top.s_axil_bvalid && top.s_axil_bready;
        seen_.r = top.s_axil_rvalid && top.s_axil_rready;
        seen_.response = seen_.b ? top.s_axil_bresp : top.s_axil_rresp;
        seen_.value = top.s_axil_rdata;

        if (!top.bus_rst) move();
        timing_.end();
        top.clk = 1;
        top.eval();
        ++cycle_;
    }

    // Handshakes of the memory port in this cycle.
    void move() {
        Vtop& top = *top_;
        if (timing_.read_valid && top.m_axi_rready) timing_.take_read();
        if (timing_.answer_valid && top.m_axi_bready) {
            timing_.take_answer();
            responses_.pop_front();
        }
        if (top.m_axi_wvalid && top.m_axi_wready) write_word();
        if (top.m_axi_arvalid && top.m_axi_arready)
            timing_.accept_read(top.m_axi_araddr,
                                beats(top.m_axi_araddr, top.m_axi_arlen, top.m_axi_arsize, top.m_axi_arburst));
        if (top.m_axi_awvalid && top.m_axi_awready)
            timing_.accept_write(top.m_axi_awaddr,
                                 beats(top.m_axi_awaddr, top.m_axi_awlen, top.m_axi_awsize, top.m_axi_awburst));
    }

    void write_word() {
        Vtop& top = *top_;
        const uint64_t address = timing_.write_address();
        const uint32_t code = response(address);
        if (code == OKAY) {
            uint8_t word[BUS];
            get(top.m_axi_wdata, word);
            uint8_t* place = memory_.data() + (address - base_);
            for (uint32_t i = 0; i < BUS; ++i)
                if (top.m_axi_wstrb >> i & 1) place[i] = word[i];
        }
        if (code > write_code_) write_code_ = code;
        const bool last = timing_.write_last();
        if (last != static_cast<bool>(top.m_axi_wlast)) fail("wlast is wrong in the word at %#llx", address);
        timing_.take_write();
        if (last) {
            responses_.push_back(write_code_);
            write_code_ = OKAY;
        }
    }

    std::unique_ptr<VerilatedContext> context_ = std::make_unique<VerilatedContext>();
    std::unique_ptr<Vtop> top_ = std::make_unique<Vtop>(context_.get());
    uint64_t base_;
    std::vector<uint8_t> memory_;
    fineq::MemoryTiming timing_{BUS};
    std::deque<uint32_t> responses_;  // to the write bursts whose answers are to come
    uint32_t write_code_ = OKAY;
    uint64_t cycle_ = 0;
    Fault fault_;
    Seen seen_{};
};

void serve(Machine& machine) {
    for (;;) {
        const auto request = take<uint8_t>();
        if (request == 'W') {
            const auto address = take<uint64_t>(), size = take<uint64_t>();
            take(machine.bytes(address, size), size);
            give<uint8_t>(0);
        } else if (request == 'R') {
            const auto address = take<uint64_t>(), size = take<uint64_t>();
            const uint8_t* bytes = machine.bytes(address, size);
            give<uint8_t>(0);
            give(bytes, size);
        } else if (request == 'w') {
            const auto address = take<uint32_t>(), value = take<uint32_t>();
            const uint32_t response = machine.write_register(address, value);
            give<uint8_t>(0);
            give(response);
        } else if (request == 'r') {
            const auto address = take<uint32_t>();
            uint32_t value = 0;
            const uint32_t response = machine.read_register(address, &value);
            give<uint8_t>(0);
            give(response);
            give(value);
        } else if (request == 'i') {
            const uint64_t cycles = machine.run(take<uint64_t>());
            give<uint8_t>(0);
            give(cycles);
            give<uint32_t>(machine.interrupt());
        } else if (request == 't') {
            machine.timing(take<fineq::MemoryParameters>());
            give<uint8_t>(0);
        } else if (request == 's') {
            machine.rest(take<uint32_t>());
            give<uint8_t>(0);
        } else if (request == 'f') {
            const auto address = take<uint64_t>(), size = take<uint64_t>();
            machine.fault(address, size, take<uint32_t>());
            give<uint8_t>(0);
        } else if (request == 'x') {
            machine.reset(take<uint32_t>());
            give<uint8_t>(0);
        } else if (request == 'X') {
            machine.reset_bus(take<uint32_t>());
            give<uint8_t>(0);
        } else if (request == 'c') {
            give<uint8_t>(0);
            give(machine.cycles());
        } else {
            fail("unknown request %llu", request);
        }
        std::fflush(stdout);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return std::fprintf(stderr, "usage: harness MEMORY_BASE MEMORY_BYTES\n"), 2;
    Machine machine(std::strtoull(argv[1], nullptr, 0), std::strtoull(argv[2], nullptr, 0));
    serve(machine);
}
