// What the kernels share: the sizes of the format, which fineq.format hands over when they are compiled, the
// reading of a block, and a loop over rows that several threads work on.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

constexpr int CLUSTER_WEIGHTS = FINEQ_CLUSTER_WEIGHTS;
constexpr int PAIR_CLUSTERS = FINEQ_PAIR_CLUSTERS;
constexpr int INDEX_BITS = FINEQ_INDEX_BITS;
constexpr int INDEX_CODES = 1 << INDEX_BITS;
constexpr int PAYLOAD_BITS = FINEQ_CLUSTER_PAYLOAD_BITS;
constexpr int PAYLOADS = 1 << PAYLOAD_BITS;
constexpr int BLOCK_PAIRS = FINEQ_BLOCK_PAIRS;
constexpr int BLOCK_BYTES = FINEQ_BLOCK_BYTES;
constexpr int MAX_NORMAL = FINEQ_MAX_NORMAL;
constexpr int MAX_MAGNITUDE = FINEQ_MAX_MAGNITUDE;

constexpr int BLOCK_CLUSTERS = BLOCK_PAIRS * PAIR_CLUSTERS;
constexpr int PAIR_WEIGHTS = PAIR_CLUSTERS * CLUSTER_WEIGHTS;
constexpr int BLOCK_WEIGHTS = BLOCK_CLUSTERS * CLUSTER_WEIGHTS;
constexpr int INDEX_FIELD = BLOCK_PAIRS * INDEX_BITS;  // bits of the index byte, below the payloads
constexpr int LEVELS = 2 * MAX_MAGNITUDE + 1;
static_assert(CLUSTER_WEIGHTS == 3 && BLOCK_BYTES == 7, "the kernels lay out three weights and seven bytes by hand");

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The seven bytes of a block as one number; reads nothing beyond them. x86 and Arm are little endian.
inline uint64_t load_block(const uint8_t* bytes) {
    uint32_t low, high;
    std::memcpy(&low, bytes, 4);
    std::memcpy(&high, bytes + 3, 4);
    return low | uint64_t(high) << 24;
}

// Number of a cluster's entry in tables by [index code, payload].
inline uint32_t table_entry(uint64_t block, int cluster) {
    uint32_t code = block >> (cluster / PAIR_CLUSTERS * INDEX_BITS) & (INDEX_CODES - 1);
    uint32_t payload = block >> (INDEX_FIELD + cluster * PAYLOAD_BITS) & (PAYLOADS - 1);
    return code << PAYLOAD_BITS | payload;
}

// Calls body(first, last) for tiles that cover 0..rows. A tile is the same whatever the number of threads, and
// each takes the next free one, so results do not depend on that number and a slow core does not hold up others.
template <class Body>
void for_row_tiles(int64_t rows, int64_t tile, int threads, Body body) {
    std::atomic<int64_t> next{0};
    auto work = [&] {
        for (int64_t first; (first = next.fetch_add(tile)) < rows;) body(first, std::min(rows, first + tile));
    };
    std::vector<std::thread> others;
    try {
        for (int64_t i = 1; i < std::min<int64_t>(threads, ceil_div(rows, tile)); ++i) others.emplace_back(work);
    } catch (const std::system_error&) {  // no more threads to be had: go on with those that there are
    }
    work();
    for (auto& other : others) other.join();
}
