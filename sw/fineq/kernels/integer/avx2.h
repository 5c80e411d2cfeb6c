// AVX2: 32 clusters at a time.
#pragma once

#include <immintrin.h>

#include "tables.h"

namespace {  // several paths may be loaded side by side

struct Isa {
    static constexpr int LANES = 32, OFFSET = MAX_MAGNITUDE, PANEL_ROWS = 2, PANEL_COLUMNS = 4;
    static constexpr int VECTORS_AT_ONCE = CLUSTER_WEIGHTS;
    using Bytes = __m256i;
    using Sums = __m256i;
    struct Cluster {
        Bytes weights[CLUSTER_WEIGHTS];
    };

    static Sums zero() { return _mm256_setzero_si256(); }
    static Cluster load(const uint8_t* from) {
        auto* vectors = reinterpret_cast<const __m256i*>(from);
        return {_mm256_load_si256(vectors), _mm256_load_si256(vectors + 1), _mm256_load_si256(vectors + 2)};
    }
    static void store(uint8_t* to, Bytes value) { _mm256_store_si256(reinterpret_cast<__m256i*>(to), value); }
    static Sums add(Sums a, Sums b) { return _mm256_add_epi32(a, b); }
    static int32_t total(Sums sums) {
        __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
        half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
        return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
    }
    // Sums of two products have at most 2 * 6 * 127, of six 9144: they fit 16 bits.
    static Sums dot(Sums sums, const Bytes (&weights)[CLUSTER_WEIGHTS], const int8_t* x) {
        static_assert(2 * CLUSTER_WEIGHTS * 2 * MAX_MAGNITUDE * 128 < 1 << 15);
        Bytes pairs = _mm256_setzero_si256();
        for (int j = 0; j < CLUSTER_WEIGHTS; ++j) {
            const Bytes values = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + j * LANES));
            const Bytes products = _mm256_maddubs_epi16(weights[j], values);
            pairs = j == 0 ? products : _mm256_add_epi16(pairs, products);
        }
        return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    static Sums dot_loaded(Sums sums, const Cluster& cluster, const int8_t* x) { return dot(sums, cluster.weights, x); }

    Bytes first, second, third, low, high, spread, factors, codes, is_one, is_two, is_three, code_mask;

    Isa() {
        const SmallTables tables(OFFSET);
        auto twice = [](const uint8_t* table) {
            return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
        };
        first = twice(tables.first), second = twice(tables.second), third = twice(tables.third);
        low = twice(tables.low), high = twice(tables.high);
        alignas(32) uint8_t order[32], index[32], masks[4][32];
        alignas(32) uint16_t shifts[16];
        for (int i = 0; i < 32; ++i) {  // the upper half is loaded from byte 12, its blocks begin at byte 2
            const int cluster = i % 16, start = (i < 16 ? 0 : 2) + cluster / BLOCK_CLUSTERS * BLOCK_BYTES;
            const int in_block = cluster % BLOCK_CLUSTERS;  // clusters 0 and 1: bytes 1, 2; 2 and 3: bytes 2, 3; ...
            order[i] = start + 1 + in_block / 4 * 3 + in_block / 2 % 2 + in_block % 2;
            index[i] = start;
            for (int code = 0; code < INDEX_CODES; ++code)
                masks[code][i] = (code == 0 ? INDEX_CODES - 1 : code) << in_block / PAIR_CLUSTERS * INDEX_BITS;
            shifts[i / 2] = in_block / 2 % 2 ? 1 : 16;  // both payloads of 16 bits to their upper end
        }
        auto load = [](const void* from) { return _mm256_load_si256(static_cast<const __m256i*>(from)); };
        spread = load(order), codes = load(index), factors = load(shifts);
        code_mask = load(masks[0]), is_one = load(masks[1]), is_two = load(masks[2]), is_three = load(masks[3]);
    }

    void decode(const uint8_t* bytes, Bytes (&weights)[CLUSTER_WEIGHTS]) const {
        auto* halves = reinterpret_cast<const __m128i*>(bytes);
        const auto* upper = reinterpret_cast<const __m128i*>(bytes + 12);
        const Bytes blocks =
            _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(halves)), _mm_loadu_si128(upper), 1);
        const Bytes fields = _mm256_mullo_epi16(_mm256_shuffle_epi8(blocks, spread), factors);
        const Bytes payload = _mm256_or_si256(
            _mm256_and_si256(_mm256_srli_epi16(fields, 4), _mm256_set1_epi16(PAYLOADS - 1)),
            _mm256_and_si256(_mm256_srli_epi16(fields, 2), _mm256_set1_epi16((PAYLOADS - 1) << 8)));
        const Bytes upper_bits = _mm256_and_si256(_mm256_srli_epi16(payload, HIGH_SHIFT), _mm256_set1_epi8(15));
        const Bytes code = _mm256_and_si256(_mm256_shuffle_epi8(blocks, codes), code_mask);
        const Bytes zero_code = _mm256_cmpeq_epi8(code, _mm256_setzero_si256());
        const Bytes one = _mm256_cmpeq_epi8(code, is_one), two = _mm256_cmpeq_epi8(code, is_two);
        const Bytes three = _mm256_cmpeq_epi8(code, is_three), nothing = _mm256_set1_epi8(OFFSET);
        const Bytes low_field = _mm256_shuffle_epi8(low, payload), high_field = _mm256_shuffle_epi8(high, upper_bits);
        weights[0] = _mm256_blendv_epi8(low_field, _mm256_shuffle_epi8(first, payload), zero_code);
        weights[0] = _mm256_blendv_epi8(weights[0], nothing, one);
        weights[1] = _mm256_blendv_epi8(_mm256_shuffle_epi8(second, payload), low_field, one);
        weights[1] = _mm256_blendv_epi8(weights[1], nothing, two);
        weights[1] = _mm256_blendv_epi8(weights[1], high_field, three);
        weights[2] = _mm256_blendv_epi8(high_field, _mm256_shuffle_epi8(third, upper_bits), zero_code);
        weights[2] = _mm256_blendv_epi8(weights[2], nothing, three);
    }
};

}  // namespace
