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
//   't' latency:32 stall:32 seed:64   memory: cycles to the first word; chance of a stall in 65536; random seed
//   'f' address:64 size:64 code:32    answer accesses in a range with this AXI response (size 0: none)
//   'x' cycles:32                     hold the accelerator's reset; the memory goes on with what it has begun
//   'X' cycles:32                     hold its reset and that of the bus; the memory forgets what it has begun
//   'c'                               -> cycles since the start:64
//
// The memory moves one bus word a cycle in each direction, answers in order, and checks what the accelerator asks
// for: a burst that crosses 4 kB, a wrong length or an unaligned address ends the simulation with a sentence.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "Vtop.h"
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

struct Burst {
    uint64_t address;
    uint32_t beats;
    uint64_t due;  // cycle from which it may be answered
};

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

    void timing(uint32_t latency, uint32_t stall, uint64_t seed) {
        latency_ = latency ? latency : 1;
        stall_ = stall;
        random_ = seed * 2 + 1;
    }
    void fault(uint64_t address, uint64_t size, uint32_t code) { fault_ = {address, size, code}; }

    void reset(uint32_t cycles) {
        top_->rst = 1;
        for (uint32_t i = 0; i < cycles; ++i) step();
        top_->rst = 0;
    }

    void reset_bus(uint32_t cycles) {
        reads_.clear();
        writes_.clear();
        answers_.clear();
        read_offered_ = answer_offered_ = false;
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

    bool stalls() {
        if (!stall_) return false;
        random_ ^= random_ << 13;
        random_ ^= random_ >> 7;
        random_ ^= random_ << 17;
        return (random_ >> 24 & 0xFFFF) < stall_;
    }

    Burst accept(uint64_t address, uint32_t length, uint32_t size, uint32_t kind) const {
        const uint64_t bytes = (length + 1ull) * BUS;
        if (address % BUS) fail("the accelerator asks for a burst at the unaligned address %#llx", address);
        if ((1u << size) != BUS || kind != 1) fail("the burst at %#llx is not one of whole bus words", address);
        if (address / PAGE != (address + bytes - 1) / PAGE)
            fail("the burst of %llu bytes at %#llx crosses 4 kB", bytes, address);
        return {address, length + 1, cycle_ + latency_};
    }

    // One clock cycle: what the memory offers depends on what it held before the cycle alone.
    void step() {
        Vtop& top = *top_;
        top.clk = 0;
        top.m_axi_arready = !stalls();
        top.m_axi_awready = !stalls();
        top.m_axi_wready = !writes_.empty() && !stalls();
        // A word or an answer on offer stays until it is taken.
        if (!read_offered_) read_offered_ = !reads_.empty() && reads_.front().due <= cycle_ && !stalls();
        top.m_axi_rvalid = read_offered_;
        if (read_offered_) {
            const uint32_t code = response(reads_.front().address);
            static const uint8_t nothing[BUS] = {};
            put(top.m_axi_rdata, code == OKAY ? memory_.data() + (reads_.front().address - base_) : nothing);
            top.m_axi_rresp = code;
            top.m_axi_rlast = reads_.front().beats == 1;
            if constexpr (requires { top.m_axi_rid; }) top.m_axi_rid = 0;
        }
        if (!answer_offered_) answer_offered_ = !answers_.empty() && answers_.front().due <= cycle_ && !stalls();
        top.m_axi_bvalid = answer_offered_;
        if (answer_offered_) {
            top.m_axi_bresp = answers_.front().beats;
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
        top.clk = 1;
        top.eval();
        ++cycle_;
    }

    // Handshakes of the memory port in this cycle.
    void move() {
        Vtop& top = *top_;
        if (read_offered_ && top.m_axi_rready) {
            read_offered_ = false;
            reads_.front().address += BUS;
            if (--reads_.front().beats == 0) reads_.pop_front();
        }
        if (answer_offered_ && top.m_axi_bready) {
            answer_offered_ = false;
            answers_.pop_front();
        }
        if (top.m_axi_wvalid && top.m_axi_wready) write_word();
        if (top.m_axi_arvalid && top.m_axi_arready)
            reads_.push_back(accept(top.m_axi_araddr, top.m_axi_arlen, top.m_axi_arsize, top.m_axi_arburst));
        if (top.m_axi_awvalid && top.m_axi_awready)
            writes_.push_back(accept(top.m_axi_awaddr, top.m_axi_awlen, top.m_axi_awsize, top.m_axi_awburst));
    }

    void write_word() {
        Vtop& top = *top_;
        Burst& burst = writes_.front();
        const uint32_t code = response(burst.address);
        if (code == OKAY) {
            uint8_t word[BUS];
            get(top.m_axi_wdata, word);
            uint8_t* place = memory_.data() + (burst.address - base_);
            for (uint32_t i = 0; i < BUS; ++i)
                if (top.m_axi_wstrb >> i & 1) place[i] = word[i];
        }
        if (code > write_code_) write_code_ = code;
        burst.address += BUS;
        const bool last = --burst.beats == 0;
        if (last != static_cast<bool>(top.m_axi_wlast)) fail("wlast is wrong in the burst before %#llx", burst.address);
        if (last) {
            answers_.push_back({0, write_code_, cycle_ + latency_});  // `beats` holds the response
            write_code_ = OKAY;
            writes_.pop_front();
        }
    }

    std::unique_ptr<VerilatedContext> context_ = std::make_unique<VerilatedContext>();
    std::unique_ptr<Vtop> top_ = std::make_unique<Vtop>(context_.get());
    uint64_t base_;
    std::vector<uint8_t> memory_;
    std::deque<Burst> reads_, writes_, answers_;
    bool read_offered_ = false, answer_offered_ = false;
    uint32_t write_code_ = OKAY, latency_ = 1, stall_ = 0;
    uint64_t random_ = 1, cycle_ = 0;
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
            const auto latency = take<uint32_t>(), stall = take<uint32_t>();
            machine.timing(latency, stall, take<uint64_t>());
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
