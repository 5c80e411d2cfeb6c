// What the two quantizers share: eight pairs of clusters are worked on at once, one in each vector lane.
// Compile with -ffp-contract=off. The arithmetic is that of fineq.quantizer.vectorised, to the bit.
#pragma once

#include "common.h"

#ifdef __F16C__
#include <immintrin.h>
#endif

constexpr int LANES = 8;
using Floats = float __attribute__((vector_size(4 * LANES)));
using Ints = int32_t __attribute__((vector_size(4 * LANES)));
using Doubles = double __attribute__((vector_size(8 * LANES)));
using Longs = int64_t __attribute__((vector_size(8 * LANES)));

constexpr int GROUP_WEIGHTS = LANES * PAIR_WEIGHTS;
constexpr int GROUPS_BETWEEN_CHECKS = 16;  // of a scale search, for whether a scale has lost already
constexpr int FLOAT32 = 0, FLOAT16 = 1, BFLOAT16 = 2;
constexpr int NOT_KEPT = -1;

struct Options {
    int32_t is_signed, is_argmin, is_squared;
    float threshold, smallest_scale, loss_unit;
    const int32_t* grid;  // numerators of the scales to try, most preferred first
    int32_t grid_length, grid_denominator;
    const uint8_t* payloads;  // by [index code, cluster number], see fineq.format.encode_table
};

// Eight pairs: their weights by [cluster, position], and the code that each keeps whatever the loss.
struct Group {
    Floats weights[PAIR_CLUSTERS][CLUSTER_WEIGHTS];
    Ints kept;
};

inline Floats fill(float value) { return Floats{} + value; }
inline Floats absolute(Floats x) { return (Floats)((Ints)x & 0x7fffffff); }
inline Floats least_of(Floats a, Floats b) { return a < b ? a : b; }
inline Floats greatest_of(Floats a, Floats b) { return a > b ? a : b; }
inline Floats clamp(Floats x, Floats limit) { return greatest_of(least_of(x, limit), -limit); }
inline Floats clamp(Floats x, float limit) { return clamp(x, fill(limit)); }

// Half to even: adding 1.5 * 2^23 leaves no bits for a fraction. Right for |x| < 2^22; here |x| <= 32.
inline Floats round_even(Floats x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

inline float half_to_float(uint16_t half) {
    uint32_t bits = (half & 0x7fffu) << 13, exponent = bits & 0x0f800000u, result;
    if (exponent == 0) {  // subnormal: without a subnormal float on the way
        float value, offset = 0x1p-14f;
        bits += 113u << 23;
        std::memcpy(&value, &bits, 4);
        value -= offset;
        std::memcpy(&result, &value, 4);
    } else {
        result = bits + (exponent == 0x0f800000u ? 224u << 23 : 112u << 23);
    }
    result |= (half & 0x8000u) << 16;
    float value;
    std::memcpy(&value, &result, 4);
    return value;
}

inline void load_row(const void* source, int type, int64_t length, float* row) {
    int64_t i = 0;
    if (type == FLOAT32) {
        std::memcpy(row, source, length * 4);
    } else if (type == FLOAT16) {
        auto* halves = static_cast<const uint16_t*>(source);
#ifdef __F16C__
        for (; i + 8 <= length; i += 8)
            _mm256_storeu_ps(row + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(halves + i))));
#endif
        for (; i < length; ++i) row[i] = half_to_float(halves[i]);
    } else {
        auto* upper_halves = static_cast<const uint16_t*>(source);
        for (; i < length; ++i) {
            uint32_t bits = uint32_t(upper_halves[i]) << 16;
            std::memcpy(row + i, &bits, 4);
        }
    }
}

// The largest magnitude; infinity or NaN if there is one.
inline float largest(const float* row, int64_t length) {
    int32_t most = 0;
    for (int64_t i = 0; i < length; ++i) {
        int32_t bits;
        std::memcpy(&bits, row + i, 4);
        most = std::max(most, bits & 0x7fffffff);
    }
    float value;
    std::memcpy(&value, &most, 4);
    return value;
}

// The code that each of eight clusters would choose alone (Algorithm 1, lines 5 to 13).
inline Ints own_codes(const Floats* weights, const Options& options) {
    Floats most{}, least{};
    Ints smallest{};
    for (int j = 0; j < CLUSTER_WEIGHTS; ++j) {
        Floats value = options.is_signed ? weights[j] : absolute(weights[j]);
        if (j == 0) {
            most = least = value;
        } else {
            Ints is_less = value < least;
            smallest = is_less ? Ints{} + j : smallest;
            least = is_less ? value : least;
            most = greatest_of(value, most);
        }
    }
    return most > options.threshold * least ? smallest + 1 : Ints{};
}

// The code that each pair keeps whatever the loss; NOT_KEPT: it chooses one.
inline Ints kept_codes(const Group& group, const Options& options) {
    Ints own = own_codes(group.weights[0], options), neighbours = own_codes(group.weights[1], options);
    return (options.is_argmin ? Ints{} : own == neighbours) ? own : Ints{} + NOT_KEPT;
}

// The pair that holds a last cluster without neighbour, or -1.
inline int64_t lone_pair(int64_t length) {
    const int64_t clusters = ceil_div(length, CLUSTER_WEIGHTS);
    return clusters % PAIR_CLUSTERS ? (clusters - 1) / PAIR_CLUSTERS : -1;
}

inline void fill_groups(const float* row, int64_t length, const Options& options, std::vector<Group>& groups) {
    for (size_t g = 0; g < groups.size(); ++g) {
        Group& group = groups[g];
        const float* first = row + g * GROUP_WEIGHTS;
        for (int c = 0; c < PAIR_CLUSTERS; ++c)
            for (int j = 0; j < CLUSTER_WEIGHTS; ++j) {
                const float* from = first + c * CLUSTER_WEIGHTS + j;
                constexpr int STEP = PAIR_WEIGHTS;
                group.weights[c][j] = Floats{from[0],        from[STEP],     from[2 * STEP], from[3 * STEP],
                                             from[4 * STEP], from[5 * STEP], from[6 * STEP], from[7 * STEP]};
            }
        group.kept = kept_codes(group, options);
    }
    if (const int64_t lone = lone_pair(length); lone >= 0) {  // it keeps its own code (lines 15, 16)
        Group& group = groups[lone / LANES];
        group.kept[lone % LANES] = own_codes(group.weights[0], options)[lone % LANES];
    }
}

// The common code of each pair (lines 14 to 24), and its loss, from the errors of weights that become zero, have two
// bits, have three bits.
inline Ints choose_code(const Floats (*zeroed)[CLUSTER_WEIGHTS], const Floats (*normal)[CLUSTER_WEIGHTS],
                        const Floats (*outlier)[CLUSTER_WEIGHTS], Ints kept, Floats& loss) {
    Floats losses[INDEX_CODES];
    for (int c = 0; c < PAIR_CLUSTERS; ++c)
        for (int code = 0; code < INDEX_CODES; ++code) {
            auto term = [&](int j) { return code == 0 ? normal[c][j] : code == j + 1 ? zeroed[c][j] : outlier[c][j]; };
            Floats cluster = (term(0) + term(1)) + term(2);
            losses[code] = c == 0 ? cluster : losses[code] + cluster;
        }
    Ints index{};
    loss = losses[0];
    for (int code = 1; code < INDEX_CODES; ++code) {
        Ints is_less = losses[code] < loss;
        loss = is_less ? losses[code] : loss;
        index = is_less ? Ints{} + code : index;
    }
    for (int code = 0; code < INDEX_CODES; ++code) loss = kept == code ? losses[code] : loss;
    return kept == NOT_KEPT ? index : kept;
}

// Losses in units, half to even: adding 1.5 * 2^52 leaves no bits for a fraction, as in round_even.
inline Longs in_units(Floats losses, double units) {
    constexpr double ROUNDER = 0x1.8p52;
    return (Longs)(__builtin_convertvector(losses, Doubles) * units + ROUNDER) - (Longs)(Doubles{} + ROUNDER);
}

// What rounded weights become under a code, at one position of a cluster.
inline Floats limited(Floats rounded, Floats limit, Ints index, int position) {
    Floats value = clamp(rounded, index == 0 ? fill(MAX_NORMAL) : limit);
    return index == position + 1 ? Floats{} : value;
}

// Writes eight pairs, from their rounded weights by [cluster, position], not limited to `limit` yet (line 25).
inline void pack_group(const Floats (*rounded)[CLUSTER_WEIGHTS], const Floats (*limit)[CLUSTER_WEIGHTS], Ints index,
                       const uint8_t* payloads, uint8_t* blocks, size_t group, int64_t count) {
    constexpr int GROUP_BLOCKS = LANES / BLOCK_PAIRS;
    Ints entry[PAIR_CLUSTERS];
    for (int c = 0; c < PAIR_CLUSTERS; ++c) {
        Floats number{};
        for (int j = CLUSTER_WEIGHTS - 1; j >= 0; --j) {
            number = number * float(LEVELS) + (limited(rounded[c][j], limit[c][j], index, j) + float(MAX_MAGNITUDE));
        }
        entry[c] = __builtin_convertvector(number, Ints) + index * (LEVELS * LEVELS * LEVELS);
    }
    for (int b = 0; b < GROUP_BLOCKS && int64_t(group) * GROUP_BLOCKS + b < count; ++b) {
        uint64_t word = 0;
        for (int pair = 0; pair < BLOCK_PAIRS; ++pair) {
            int lane = b * BLOCK_PAIRS + pair;
            word |= uint64_t(index[lane]) << (pair * INDEX_BITS);
            for (int c = 0; c < PAIR_CLUSTERS; ++c)
                word |= uint64_t(payloads[entry[c][lane]]) << (INDEX_FIELD + (pair * PAIR_CLUSTERS + c) * PAYLOAD_BITS);
        }
        std::memcpy(blocks + (group * GROUP_BLOCKS + b) * BLOCK_BYTES, &word, BLOCK_BYTES);
    }
}

// Calls quantize(row, groups, absmax, scale, bytes) for every row that is not zero; it may change the scale from
// absmax / 3. Calls zero(row, values, groups) for the others; their groups are not filled.
// Returns the first row that holds NaN or infinity, or -1; what the output then holds is of no use.
template <class Quantize, class Zero>
int64_t for_quantized_rows(const void* weights, int32_t type, int64_t rows, int64_t length, int64_t stride,
                           const Options& options, uint8_t* blocks, float* scales, int32_t threads, Quantize quantize,
                           Zero zero) {
    const int64_t row_blocks = ceil_div(length, BLOCK_WEIGHTS), group_count = ceil_div(row_blocks * BLOCK_PAIRS, LANES);
    std::atomic<int64_t> bad_row{INT64_MAX};
    for_row_tiles(rows, 16, threads, [&](int64_t first, int64_t last) {
        std::vector<float> row(group_count * GROUP_WEIGHTS);  // zeros after the end
        std::vector<Group> groups(group_count);
        for (int64_t r = first; r < last && r < bad_row; ++r) {
            load_row(static_cast<const char*>(weights) + r * stride, type, length, row.data());
            float most = largest(row.data(), length), scale = most / float(MAX_MAGNITUDE);  // Equation 1
            if (!(most <= 0x1.fffffep127f)) {
                for (int64_t known = bad_row; r < known && !bad_row.compare_exchange_weak(known, r);) {
                }
                return;
            }
            uint8_t* row_bytes = blocks + r * row_blocks * BLOCK_BYTES;
            if (scale < options.smallest_scale) {
                scales[r] = 1.0f;
                std::memset(row_bytes, 0, row_blocks * BLOCK_BYTES);
                zero(r, row.data(), groups);
                continue;
            }
            fill_groups(row.data(), length, options, groups);
            quantize(r, groups, most, scale, row_bytes);
            scales[r] = scale;
        }
    });
    return bad_row == INT64_MAX ? -1 : bad_row.load();
}
