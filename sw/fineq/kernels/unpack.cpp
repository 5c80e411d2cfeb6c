// Unpack rows to integer codes, or to values of any type through a small table.
#include "common.h"

namespace {

// A cluster's three weights and, in the fourth byte, whether one of them was stored as minus zero.
struct Entry {
    int8_t weights[CLUSTER_WEIGHTS];
    uint8_t has_minus_zero;
};
static_assert(sizeof(Entry) == 4);

// Unpacks one block to four bytes a cluster, three bytes apart: the fourth is overwritten by the next cluster, so
// `codes` has room for one byte more than a block.
inline uint8_t unpack_block(const uint8_t* bytes, const Entry* table, int8_t* codes) {
    const uint64_t block = load_block(bytes);
    uint8_t has_minus_zero = 0;
    for (int c = 0; c < BLOCK_CLUSTERS; ++c) {
        const Entry& entry = table[table_entry(block, c)];
        std::memcpy(codes + c * CLUSTER_WEIGHTS, &entry, sizeof(Entry));
        has_minus_zero |= entry.has_minus_zero;
    }
    return has_minus_zero;
}

template <class Value>
void dequantize(const uint8_t* blocks, const Entry* table, const Value* values, Value* output, int64_t rows,
                int64_t length, int threads) {
    const int64_t row_blocks = ceil_div(length, BLOCK_WEIGHTS);
    for_row_tiles(rows, 16, threads, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r) {
            const Value* row_values = values + r * LEVELS + MAX_MAGNITUDE;  // by code, -3 to 3
            Value* row = output + r * length;
            for (int64_t b = 0; b < row_blocks; ++b) {
                const uint64_t block = load_block(blocks + (r * row_blocks + b) * BLOCK_BYTES);
                const int64_t count = std::min<int64_t>(BLOCK_WEIGHTS, length - b * BLOCK_WEIGHTS);
                Value* out = row + b * BLOCK_WEIGHTS;
                if (count == BLOCK_WEIGHTS) {
                    for (int c = 0; c < BLOCK_CLUSTERS; ++c)
                        for (int j = 0; j < CLUSTER_WEIGHTS; ++j)
                            out[c * CLUSTER_WEIGHTS + j] = row_values[table[table_entry(block, c)].weights[j]];
                } else {
                    for (int i = 0; i < count; ++i)
                        out[i] = row_values[table[table_entry(block, i / CLUSTER_WEIGHTS)].weights[i % CLUSTER_WEIGHTS]];
                }
            }
        }
    });
}

}  // namespace

// Codes [rows, length] from blocks. Returns 1 if a weight is stored as minus zero or a padding weight is not zero.
extern "C" int32_t fineq_unpack(const uint8_t* blocks, const void* table, int8_t* codes, int64_t rows, int64_t length,
                                int32_t threads) {
    const auto* entries = static_cast<const Entry*>(table);
    const int64_t row_blocks = ceil_div(length, BLOCK_WEIGHTS);
    std::atomic<int32_t> irregular{0};
    for_row_tiles(rows, 16, threads, [&](int64_t first, int64_t last) {
        uint8_t seen = 0;
        for (int64_t r = first; r < last; ++r) {
            const uint8_t* source = blocks + r * row_blocks * BLOCK_BYTES;
            int8_t* row = codes + r * length;
            for (int64_t b = 0; b + 1 < row_blocks; ++b)
                seen |= unpack_block(source + b * BLOCK_BYTES, entries, row + b * BLOCK_WEIGHTS);
            int8_t end[BLOCK_WEIGHTS + 1];
            seen |= unpack_block(source + (row_blocks - 1) * BLOCK_BYTES, entries, end);
            const int64_t count = length - (row_blocks - 1) * BLOCK_WEIGHTS;
            std::memcpy(row + length - count, end, count);
            for (int64_t i = count; i < BLOCK_WEIGHTS; ++i) seen |= end[i] != 0;
        }
        if (seen) irregular = 1;
    });
    return irregular;
}

// Values [rows, length] of `size` bytes (2, 4 or 8) from blocks; values: [rows, 7], what codes -3 to 3 stand for.
extern "C" void fineq_dequantize(const uint8_t* blocks, const void* table, const void* values, int32_t size,
                                 void* output, int64_t rows, int64_t length, int32_t threads) {
    const auto* entries = static_cast<const Entry*>(table);
    auto run = [&](auto value) {
        using Value = decltype(value);
        dequantize(blocks, entries, static_cast<const Value*>(values), static_cast<Value*>(output), rows, length,
                   threads);
    };
    if (size == 2) run(uint16_t{});
    if (size == 4) run(uint32_t{});
    if (size == 8) run(uint64_t{});
}
