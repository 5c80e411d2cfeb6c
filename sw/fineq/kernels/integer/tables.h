// The tables that the paths decode with, taken from the format's own: three weights and a spare byte by [index code,
// payload].
#pragma once

#include "../common.h"

static int8_t DECODED[INDEX_CODES * PAYLOADS][4];  // filled by the call that hands the format's table over

constexpr int LOW_BITS = 4;  // of a payload that the small tables look at; the others look at it shifted right by two
constexpr int HIGH_SHIFT = PAYLOAD_BITS - LOW_BITS;

// Small tables for instructions that look up 16 bytes. In a cluster of index code 0 every weight has its own two bits; in
// the others two weights have three bits each. Either way a weight lies within the lowest or the highest four bits.
struct SmallTables {
    uint8_t first[16], second[16], third[16];  // the weights of code 0; the third from the high bits
    uint8_t low[16], high[16];                 // what the other codes store first and second; from the low and high bits

    explicit SmallTables(int offset) {
        for (int i = 0; i < 16; ++i) {
            const int shifted = i << HIGH_SHIFT;
            first[i] = weight(0, i, 0, offset);
            second[i] = weight(0, i, 1, offset);
            third[i] = weight(0, shifted, 2, offset);
            low[i] = weight(3, i, 0, offset);
            high[i] = weight(1, shifted, 2, offset);
        }
    }

    static uint8_t weight(int code, int payload, int position, int offset) {
        return uint8_t(DECODED[code << PAYLOAD_BITS | payload][position] + offset);
    }
};
