// AArch64 with the dot product instructions: 16 clusters at a time.
#pragma once

#include <arm_neon.h>

#include "tables.h"

namespace {  // several paths may be loaded side by side

struct Isa {
    static constexpr int LANES = 16, OFFSET = 0, PANEL_ROWS = 4, PANEL_COLUMNS = 4;
    static constexpr int VECTORS_AT_ONCE = 1;
    using Bytes = uint8x16_t;
    using Sums = int32x4_t;

    static Sums zero() { return vdupq_n_s32(0); }
    static Bytes load(const uint8_t* from) { return vld1q_u8(from); }
    static void store(uint8_t* to, Bytes value) { vst1q_u8(to, value); }
    static Sums add(Sums a, Sums b) { return vaddq_s32(a, b); }
    static int32_t total(Sums sums) { return vaddvq_s32(sums); }
    static Sums dot_loaded(Sums sums, Bytes weights, const int8_t* x) {
        return vdotq_s32(sums, vreinterpretq_s8_u8(weights), vld1q_s8(x));
    }
    static Sums dot(Sums sums, const Bytes (&weights)[CLUSTER_WEIGHTS], const int8_t* x) {
        for (int j = 0; j < CLUSTER_WEIGHTS; ++j) sums = dot_loaded(sums, weights[j], x + j * LANES);
        return sums;
    }

    Bytes first, second, third, low, high, spread, index;
    int16x8_t even, odd;
    int8x16_t code_shift;

    Isa() {
        const SmallTables tables(OFFSET);
        first = vld1q_u8(tables.first), second = vld1q_u8(tables.second), third = vld1q_u8(tables.third);
        low = vld1q_u8(tables.low), high = vld1q_u8(tables.high);
        uint8_t order[16], place[16];
        int16_t evens[8], odds[8];
        int8_t codes[16];
        for (int i = 0; i < 16; ++i) {  // the upper half is loaded from byte 6, its block begins at byte 1
            const int in_block = i % BLOCK_CLUSTERS, start = i < BLOCK_CLUSTERS ? 0 : 8 + 1;
            order[i] = start + 1 + in_block / 4 * 3 + in_block / 2 % 2 + in_block % 2;
            place[i] = start;
            evens[i / 2] = in_block / 2 % 2 ? -4 : 0;  // left shifts that bring the even payload to bit 0
            odds[i / 2] = in_block / 2 % 2 ? -2 : 2;   // and the odd one to bit 8
            codes[i] = -(in_block / PAIR_CLUSTERS * INDEX_BITS);
        }
        spread = vld1q_u8(order), index = vld1q_u8(place);
        even = vld1q_s16(evens), odd = vld1q_s16(odds), code_shift = vld1q_s8(codes);
    }

    void decode(const uint8_t* bytes, Bytes (&weights)[CLUSTER_WEIGHTS]) const {
        const Bytes blocks = vcombine_u8(vld1_u8(bytes), vld1_u8(bytes + 6));
        const uint16x8_t fields = vreinterpretq_u16_u8(vqtbl1q_u8(blocks, spread));
        const Bytes payload = vreinterpretq_u8_u16(vorrq_u16(
            vandq_u16(vshlq_u16(fields, even), vdupq_n_u16(PAYLOADS - 1)),
            vandq_u16(vshlq_u16(fields, odd), vdupq_n_u16((PAYLOADS - 1) << 8))));
        const Bytes code = vandq_u8(vshlq_u8(vqtbl1q_u8(blocks, index), code_shift), vdupq_n_u8(INDEX_CODES - 1));
        const Bytes lower_bits = vandq_u8(payload, vdupq_n_u8(15)), upper_bits = vshrq_n_u8(payload, HIGH_SHIFT);
        const Bytes zero_code = vceqq_u8(code, vdupq_n_u8(0)), one = vceqq_u8(code, vdupq_n_u8(1));
        const Bytes two = vceqq_u8(code, vdupq_n_u8(2)), three = vceqq_u8(code, vdupq_n_u8(3));
        const Bytes low_field = vqtbl1q_u8(low, lower_bits), high_field = vqtbl1q_u8(high, upper_bits);
        weights[0] = vbicq_u8(vbslq_u8(zero_code, vqtbl1q_u8(first, lower_bits), low_field), one);
        weights[1] = vbslq_u8(one, low_field, vbslq_u8(three, high_field, vqtbl1q_u8(second, lower_bits)));
        weights[1] = vbicq_u8(weights[1], two);
        weights[2] = vbicq_u8(vbslq_u8(zero_code, vqtbl1q_u8(third, upper_bits), high_field), three);
    }
};

}  // namespace
