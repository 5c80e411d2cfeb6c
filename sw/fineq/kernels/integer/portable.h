// No intrinsics: the vectors of GCC and Clang, 16 clusters at a time, which every processor has in some form.
#pragma once

#include "tables.h"

namespace {  // several paths may be loaded side by side

struct Isa {
    static constexpr int LANES = 16, OFFSET = 0, PANEL_ROWS = 2, PANEL_COLUMNS = 2;
    static constexpr int VECTORS_AT_ONCE = CLUSTER_WEIGHTS;
    using Bytes = int8_t __attribute__((vector_size(LANES)));
    using Shorts = int16_t __attribute__((vector_size(2 * LANES)));
    using Sums = int32_t __attribute__((vector_size(4 * LANES)));
    struct Cluster {
        Bytes weights[CLUSTER_WEIGHTS];
    };

    Isa() {}  // no tables of its own

    static Sums zero() { return Sums{}; }
    static Cluster load(const uint8_t* from) {
        Cluster value;
        std::memcpy(&value, from, sizeof value);
        return value;
    }
    static void store(uint8_t* to, Bytes value) { std::memcpy(to, &value, sizeof value); }
    static Sums add(Sums a, Sums b) { return a + b; }
    static int32_t total(Sums sums) {
        int32_t sum = 0;
        for (int i = 0; i < LANES; ++i) sum += sums[i];
        return sum;
    }
    static Sums dot(Sums sums, const Bytes (&weights)[CLUSTER_WEIGHTS], const int8_t* x) {
        static_assert(CLUSTER_WEIGHTS * MAX_MAGNITUDE * 128 < 1 << 15);
        Shorts products{};
        for (int j = 0; j < CLUSTER_WEIGHTS; ++j) {
            Bytes values;
            std::memcpy(&values, x + j * LANES, LANES);
            products += __builtin_convertvector(weights[j], Shorts) * __builtin_convertvector(values, Shorts);
        }
        return sums + __builtin_convertvector(products, Sums);
    }
    static Sums dot_loaded(Sums sums, const Cluster& cluster, const int8_t* x) { return dot(sums, cluster.weights, x); }

    void decode(const uint8_t* bytes, Bytes (&weights)[CLUSTER_WEIGHTS]) const {
        int32_t entries[LANES];  // four bytes a cluster
        for (int b = 0; b < LANES / BLOCK_CLUSTERS; ++b) {
            const uint64_t block = load_block(bytes + b * BLOCK_BYTES);
            for (int c = 0; c < BLOCK_CLUSTERS; ++c)
                std::memcpy(entries + b * BLOCK_CLUSTERS + c, DECODED[table_entry(block, c)], 4);
        }
        Sums clusters;
        std::memcpy(&clusters, entries, sizeof clusters);
        for (int j = 0; j < CLUSTER_WEIGHTS; ++j) weights[j] = __builtin_convertvector(clusters >> 8 * j, Bytes);
    }
};

}  // namespace
