// Drives a verilated packed core through a whole linear layer, without an interpreter between the cycles.
//
//   layer_harness BEATS RESULTS
//
// BEATS holds 32-bit words (little endian): a header (see `Header`), one flag a tile that says whether its sums
// are the starting values of the next tile, the activation beats, the line beats. RESULTS gets the cycle
// counts and every result beat in order. Every stream is offered and taken without a pause.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

// Port `lines__valid` of the Verilog: Verilator writes a double underscore as `___05F`.
#define PORT(stream, part) stream##___05F##part

double sc_time_stamp() { return 0; }

namespace {

struct Header {
    uint32_t early_termination;
    uint32_t tiles;
    uint32_t channels;          // result beats a tile
    uint32_t activation_beats;
    uint32_t activation_words;  // 32-bit words a beat
    uint32_t line_words;
    uint32_t partial_words;
    uint32_t partial_bits;
    uint32_t result_words;
    uint32_t patience;          // cycles without any transfer that count as a hang
};

template <std::size_t Words>
void put(VlWide<Words>& port, const uint32_t* words) {
    for (std::size_t i = 0; i < Words; ++i) port[i] = words[i];
}

template <class Integer>
void put(Integer& port, const uint32_t* words) {
    uint64_t value = words[0];
    if (sizeof(Integer) > 4) value |= static_cast<uint64_t>(words[1]) << 32;
    port = static_cast<Integer>(value);
}

template <std::size_t Words>
void get(const VlWide<Words>& port, uint32_t* words) {
    for (std::size_t i = 0; i < Words; ++i) words[i] = port[i];
}

template <class Integer>
void get(const Integer& port, uint32_t* words) {
    words[0] = static_cast<uint32_t>(port);
    if (sizeof(Integer) > 4) words[1] = static_cast<uint32_t>(static_cast<uint64_t>(port) >> 32);
}

[[noreturn]] void fail(const char* message) {
    std::fprintf(stderr, "layer_harness: %s\n", message);
    std::exit(1);
}

std::vector<uint32_t> read_words(const char* path) {
    FILE* file = std::fopen(path, "rb");
    if (!file) fail("cannot open the beats");
    std::fseek(file, 0, SEEK_END);
    std::vector<uint32_t> words(std::ftell(file) / 4);
    std::rewind(file);
    if (std::fread(words.data(), 4, words.size(), file) != words.size()) fail("cannot read the beats");
    std::fclose(file);
    return words;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) fail("usage: layer_harness BEATS RESULTS");
    const std::vector<uint32_t> input = read_words(argv[1]);
    Header header;
    if (input.size() * 4 < sizeof header) fail("the beats are too short");
    std::memcpy(&header, input.data(), sizeof header);
    const uint64_t results = static_cast<uint64_t>(header.tiles) * header.channels;
    const uint32_t* feeds_next = input.data() + sizeof header / 4;
    const uint32_t* activations = feeds_next + header.tiles;
    const uint32_t* lines = activations + static_cast<uint64_t>(header.activation_beats) * header.activation_words;
    if (lines + results * header.line_words != input.data() + input.size()) fail("the beats have the wrong length");

    auto context = std::make_unique<VerilatedContext>();
    auto top = std::make_unique<Vtop>(context.get());
    top->early_termination = header.early_termination;
    top->PORT(activations, valid) = 0;
    top->PORT(lines, valid) = 0;
    top->PORT(partials, valid) = 0;
    top->PORT(results, ready) = 1;
    top->rst = 1;
    for (int cycle = 0; cycle < 4; ++cycle) {
        top->clk = cycle & 1;
        top->eval();
    }
    top->rst = 0;

    std::vector<uint32_t> output(results * header.result_words);
    std::vector<uint32_t> partials;  // beats waiting to be fed back
    uint64_t activation = 0, line = 0, partial = 0, result = 0;
    uint64_t cycles = 0, computing = 0, first = 0, last_transfer = 0;
    const uint32_t top_word_bits = header.partial_bits % 32;

    for (; result < results; ++cycles) {
        top->clk = 0;
        top->PORT(activations, valid) = activation < header.activation_beats;
        if (top->PORT(activations, valid))
            put(top->PORT(activations, payload), activations + activation * header.activation_words);
        top->PORT(lines, valid) = line < results;
        if (top->PORT(lines, valid)) put(top->PORT(lines, payload), lines + line * header.line_words);
        top->PORT(partials, valid) = partial * header.partial_words < partials.size();
        if (top->PORT(partials, valid))
            put(top->PORT(partials, payload), partials.data() + partial * header.partial_words);
        top->eval();

        const bool takes_activation = top->PORT(activations, valid) && top->PORT(activations, ready);
        const bool takes_line = top->PORT(lines, valid) && top->PORT(lines, ready);
        const bool takes_partial = top->PORT(partials, valid) && top->PORT(partials, ready);
        if (takes_activation && !activation) first = cycles;
        if (takes_activation || takes_line || takes_partial || top->PORT(results, valid)) last_transfer = cycles;
        if (cycles - last_transfer > header.patience) fail("the core hangs: no stream moves any more");
        activation += takes_activation;
        line += takes_line;
        partial += takes_partial;
        computing += top->computing;
        if (top->PORT(results, valid)) {
            uint32_t* words = output.data() + result * header.result_words;
            get(top->PORT(results, payload), words);
            if (feeds_next[result / header.channels]) {
                partials.insert(partials.end(), words, words + header.partial_words);
                // The flag `last` stands above the sums; it is not part of a starting value.
                if (top_word_bits) partials.back() &= (1u << top_word_bits) - 1;
            }
            ++result;
        }
        top->clk = 1;
        top->eval();
    }
    top->final();

    FILE* file = std::fopen(argv[2], "wb");
    const uint64_t counts[2] = {cycles - first, computing};
    const bool written = file && std::fwrite(counts, 8, 2, file) == 2 &&
                         std::fwrite(output.data(), 4, output.size(), file) == output.size();
    if (!written || std::fclose(file)) fail("cannot write the results");
    return 0;
}
