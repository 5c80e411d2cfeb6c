// AVX-512 with VBMI and VNNI: 64 clusters at a time.
#pragma once

#include <immintrin.h>

#include "tables.h"

namespace {  // several paths may be loaded side by side

struct Isa {
    static constexpr int LANES = 64, OFFSET = MAX_MAGNITUDE, PANEL_ROWS = 4, PANEL_COLUMNS = 6;
    static constexpr int VECTORS_AT_ONCE = 1;
    using Bytes = __m512i;
    using Sums = __m512i;

    static Sums zero() { return _mm512_setzero_si512(); }
    static Bytes load(const uint8_t* from) { return _mm512_load_si512(from); }
    static void store(uint8_t* to, Bytes value) { _mm512_store_si512(to, value); }
    static Sums add(Sums a, Sums b) { return _mm512_add_epi32(a, b); }
    static int32_t total(Sums sums) { return _mm512_reduce_add_epi32(sums); }
    static Sums dot_loaded(Sums sums, Bytes weights, const int8_t* x) {
        return _mm512_dpbusd_epi32(sums, weights, _mm512_loadu_si512(x));
    }
    static Sums dot(Sums sums, const Bytes (&weights)[CLUSTER_WEIGHTS], const int8_t* x) {
        for (int j = 0; j < CLUSTER_WEIGHTS; ++j) sums = dot_loaded(sums, weights[j], x + j * LANES);
        return sums;
    }

    // Tables of 128 weights are looked up by the payload and the low bit of the index code. Codes for which that gives
    // the wrong weight are overwritten.
    Bytes first[2], second[2], third[2], low, high, spread, payload_bits, code_bits;

    Isa() {
        alignas(64) uint8_t table[7][PAYLOADS], order[64], payloads[64], codes[64];
        for (int payload = 0; payload < PAYLOADS; ++payload)
            for (int odd = 0; odd < 2; ++odd) {
                auto weight = [&](int code, int j) { return uint8_t(DECODED[code << PAYLOAD_BITS | payload][j] + OFFSET); };
                if (odd == 0) table[6][payload] = weight(3, 0);  // low field of codes 1 to 3
                table[odd][payload] = weight(odd, 0);            // codes 0, 1
                table[2 + odd][payload] = weight(3 * odd, 1);    // codes 0, 3
                table[4 + odd][payload] = weight(3 * odd, 2);    // codes 0, 3
            }
        for (int i = 0; i < 2; ++i) {
            first[i] = _mm512_load_si512(table[i]);
            second[i] = _mm512_load_si512(table[2 + i]);
            third[i] = _mm512_load_si512(table[4 + i]);
        }
        low = _mm512_load_si512(table[6]);
        high = second[1];  // code 3 stores its second field in the middle
        for (int i = 0; i < 64; ++i) {  // each block to eight bytes: the payloads, the index byte twice
            const int block = i / 8, byte = i % 8, cluster = i % BLOCK_CLUSTERS;
            order[i] = block * BLOCK_BYTES + (byte < 6 ? byte + 1 : 0);
            payloads[i] = cluster * PAYLOAD_BITS;
            codes[i] = 48 + cluster / PAIR_CLUSTERS * INDEX_BITS - PAYLOAD_BITS;  // the code on top of a payload
        }
        spread = _mm512_load_si512(order);
        payload_bits = _mm512_load_si512(payloads);
        code_bits = _mm512_load_si512(codes);
    }

    void decode(const uint8_t* bytes, Bytes (&weights)[CLUSTER_WEIGHTS]) const {
        const __mmask64 all = (1ull << (LANES / BLOCK_CLUSTERS * BLOCK_BYTES)) - 1;
        const Bytes loaded = _mm512_maskz_loadu_epi8(all, bytes);
        const Bytes blocks = _mm512_permutexvar_epi8(spread, loaded);
        const Bytes payload = _mm512_multishift_epi64_epi8(payload_bits, blocks);
        const Bytes code = _mm512_multishift_epi64_epi8(code_bits, blocks);
        const Bytes entry = _mm512_ternarylogic_epi32(_mm512_set1_epi8(PAYLOADS - 1), payload, code, 0xCA);
        const __mmask64 upper = _mm512_movepi8_mask(entry);  // codes 2 and 3
        const __mmask64 odd = _mm512_test_epi8_mask(entry, _mm512_set1_epi8(PAYLOADS));
        weights[0] = _mm512_permutex2var_epi8(first[0], entry, first[1]);
        weights[1] = _mm512_permutex2var_epi8(second[0], entry, second[1]);
        weights[2] = _mm512_permutex2var_epi8(third[0], entry, third[1]);
        weights[0] = _mm512_mask_permutexvar_epi8(weights[0], upper, entry, low);
        weights[1] = _mm512_mask_permutexvar_epi8(weights[1], _kandn_mask64(upper, odd), entry, low);
        weights[1] = _mm512_mask_mov_epi8(weights[1], _kandn_mask64(odd, upper), _mm512_set1_epi8(OFFSET));
        weights[2] = _mm512_mask_permutexvar_epi8(weights[2], _kxor_mask64(upper, odd), entry, high);
    }
};

}  // namespace
