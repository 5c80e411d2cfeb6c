// y = x W^T in integers: int8 activations with one scale a token, packed weights with one scale a row, sums of 32 bits,
// and one multiplication by both scales at the end. Sums of integers have no order, so every path, every number of
// threads and the hardware give the same bits.
//
// A path is a class `Isa` of one instruction set. It decodes a *group* of LANES clusters into three registers: the first
// weight of every cluster, the second, the third. Activations lie in the same order, [groups, 3, LANES] a token, so the
// decoded weights are never put back into their own. Weights may be stored with OFFSET added, which makes them unsigned
// for instructions that want it; the sum of a token's activations takes it off again.
#pragma once

#include "../common.h"

constexpr int64_t FEW_TOKENS = 8;        // up to here weights go from the packed bytes into the sums
constexpr int64_t TILE_ROWS = 32;        // of one piece of work
constexpr int64_t PANEL_WEIGHTS = 3072;  // of a row that are decoded at once for many tokens: panel and tokens stay in L2
constexpr int64_t PANEL_TOKENS = 192;

struct Problem {
    const int8_t* x;          // [tokens, groups, 3, LANES]
    const int32_t* offsets;   // [tokens], what OFFSET adds to each of a token's sums
    const float* x_scales;    // [tokens]
    const uint8_t* blocks;    // [rows, row_blocks * BLOCK_BYTES]
    const float* scales;      // [rows]
    float* y;                 // [tokens, rows]
    int64_t tokens, rows, row_blocks, groups;
    int threads;

    const uint8_t* row(int64_t r) const { return blocks + r * row_blocks * BLOCK_BYTES; }

    void put(int64_t token, int64_t row, int32_t sum) const {
        y[token * rows + row] = float(sum - offsets[token]) * x_scales[token] * scales[row];
    }
};

template <class Isa>
constexpr int64_t GROUP_BLOCKS = Isa::LANES / BLOCK_CLUSTERS;

template <class Isa>
constexpr int64_t GROUP_WEIGHTS = Isa::LANES * CLUSTER_WEIGHTS;

// The tables of a path, made once: making them takes as long as some rows. A copy can stay in registers.
template <class Isa>
const Isa& tables() {
    static const Isa made;
    return made;
}

// Group g of a row. The last one may reach into the next row: activations are zero there, so it does not matter what
// stands there. Only nothing beyond the last row may be read.
template <class Isa>
inline void decode_group(const Isa& isa, const Problem& p, const uint8_t* row, int64_t g,
                         typename Isa::Bytes (&weights)[CLUSTER_WEIGHTS]) {
    constexpr int64_t BYTES = GROUP_BLOCKS<Isa> * BLOCK_BYTES;
    const uint8_t* bytes = row + g * BYTES;
    const int64_t left = p.row(p.rows) - bytes;
    if (__builtin_expect(left >= BYTES, 1)) return isa.decode(bytes, weights);
    uint8_t end[BYTES] = {};
    std::memcpy(end, bytes, left);
    isa.decode(end, weights);
}

// One row with all M tokens, from packed bytes. More rows at once gain nothing: rows do not wait for each other, and
// the tables of a path leave few registers.
template <class Isa, int M>
void few_tokens(const Problem& p) {
    // Few sums would wait for each other: then each weight of a cluster has its own.
    constexpr int CHAINS = Isa::VECTORS_AT_ONCE == 1 && M <= 4 ? CLUSTER_WEIGHTS : 1;
    const int64_t stride = p.groups * GROUP_WEIGHTS<Isa>;
    for_row_tiles(p.rows, TILE_ROWS, p.threads, [&](int64_t first, int64_t last) {
        const Isa isa = tables<Isa>();
        for (int64_t r = first; r < last; ++r) {
            typename Isa::Sums sums[M][CHAINS];
            for (int m = 0; m < M; ++m)
                for (int i = 0; i < CHAINS; ++i) sums[m][i] = Isa::zero();
            const int8_t* x = p.x;
            for (int64_t g = 0; g < p.groups; ++g, x += GROUP_WEIGHTS<Isa>) {
                typename Isa::Bytes weights[CLUSTER_WEIGHTS];
                decode_group(isa, p, p.row(r), g, weights);
#pragma GCC unroll 8
                for (int m = 0; m < M; ++m) {
                    if constexpr (CHAINS == 1)
                        sums[m][0] = Isa::dot(sums[m][0], weights, x + m * stride);
                    else
                        for (int j = 0; j < CLUSTER_WEIGHTS; ++j)
                            sums[m][j] = Isa::dot_loaded(sums[m][j], weights[j], x + m * stride + j * Isa::LANES);
                }
            }
            for (int m = 0; m < M; ++m)
                for (int i = 1; i < CHAINS; ++i) sums[m][0] = Isa::add(sums[m][0], sums[m][i]);
            for (int m = 0; m < M; ++m) p.put(m, r, Isa::total(sums[m][0]));
        }
    });
}

// Adds to sums [T][TILE_ROWS] the products of R decoded rows, `row_bytes` apart, with T tokens, `stride` apart.
template <class Isa, int R, int T>
void multiply(const uint8_t* panel, int64_t row_bytes, const int8_t* x, int64_t stride, int64_t groups, int32_t* sums) {
    typename Isa::Sums total[R][T];
    for (int r = 0; r < R; ++r)
        for (int t = 0; t < T; ++t) total[r][t] = Isa::zero();
    for (int64_t g = 0; g < groups; ++g, panel += GROUP_WEIGHTS<Isa>, x += GROUP_WEIGHTS<Isa>)
#pragma GCC unroll 4
        for (int j = 0; j < CLUSTER_WEIGHTS; j += Isa::VECTORS_AT_ONCE)
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) {
                const auto weights = Isa::load(panel + r * row_bytes + j * Isa::LANES);
#pragma GCC unroll 8
                for (int t = 0; t < T; ++t)
                    total[r][t] = Isa::dot_loaded(total[r][t], weights, x + t * stride + j * Isa::LANES);
            }
    for (int t = 0; t < T; ++t)
        for (int r = 0; r < R; ++r) sums[t * TILE_ROWS + r] += Isa::total(total[r][t]);
}

template <class Isa, int T>
void multiply_rows(const uint8_t* panel, int64_t row_bytes, int64_t rows, const int8_t* x, int64_t stride,
                   int64_t groups, int32_t* sums) {
    for (int64_t r = 0; r < rows; r += Isa::PANEL_ROWS)
        multiply<Isa, Isa::PANEL_ROWS, T>(panel + r * row_bytes, row_bytes, x, stride, groups, sums + r);
}

// Many tokens: a panel of rows is decoded once for up to PANEL_TOKENS of them.
template <class Isa>
void many_tokens(const Problem& p) {
    static_assert(TILE_ROWS % Isa::PANEL_ROWS == 0 && Isa::PANEL_COLUMNS <= 6);
    constexpr int64_t STEP = std::max<int64_t>(1, PANEL_WEIGHTS / GROUP_WEIGHTS<Isa>);  // groups at once
    constexpr int64_t ROW_BYTES = STEP * GROUP_WEIGHTS<Isa>;
    const int64_t stride = p.groups * GROUP_WEIGHTS<Isa>;
    for_row_tiles(p.rows, TILE_ROWS, p.threads, [&](int64_t first, int64_t last) {
        const Isa isa = tables<Isa>();
        thread_local std::vector<uint8_t> memory(TILE_ROWS * ROW_BYTES + 64);
        thread_local std::vector<int32_t> sums(PANEL_TOKENS * TILE_ROWS);
        uint8_t* panel = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
        for (int64_t token = 0; token < p.tokens; token += PANEL_TOKENS) {
            const int64_t tokens = std::min(PANEL_TOKENS, p.tokens - token);
            std::fill_n(sums.begin(), tokens * TILE_ROWS, 0);
            for (int64_t g = 0; g < p.groups; g += STEP) {
                const int64_t groups = std::min(STEP, p.groups - g);
                for (int64_t r = first; r < last; ++r)
                    for (int64_t i = 0; i < groups; ++i) {
                        typename Isa::Bytes weights[CLUSTER_WEIGHTS];
                        decode_group(isa, p, p.row(r), g + i, weights);
                        uint8_t* target = panel + (r - first) * ROW_BYTES + i * GROUP_WEIGHTS<Isa>;
                        for (int j = 0; j < CLUSTER_WEIGHTS; ++j) Isa::store(target + j * Isa::LANES, weights[j]);
                    }
                const int8_t* x = p.x + token * stride + g * GROUP_WEIGHTS<Isa>;
                for (int64_t t = 0; t < tokens;) {
                    auto tile = [&](auto width) {
                        multiply_rows<Isa, width>(panel, ROW_BYTES, last - first, x + t * stride, stride, groups,
                                                  sums.data() + t * TILE_ROWS);
                        t += width;
                    };
                    switch (std::min<int64_t>(Isa::PANEL_COLUMNS, tokens - t)) {
                        case 1: tile(std::integral_constant<int, 1>{}); break;
                        case 2: tile(std::integral_constant<int, 2>{}); break;
                        case 3: tile(std::integral_constant<int, 3>{}); break;
                        case 4: tile(std::integral_constant<int, 4>{}); break;
                        case 5: tile(std::integral_constant<int, 5>{}); break;
                        default: tile(std::integral_constant<int, 6>{});
                    }
                }
            }
            for (int64_t t = 0; t < tokens; ++t)
                for (int64_t r = first; r < last; ++r) p.put(token + t, r, sums[t * TILE_ROWS + r - first]);
        }
    });
}

template <class Isa>
void multiply(const Problem& p) {
    switch (p.tokens) {
        case 1: return few_tokens<Isa, 1>(p);
        case 2: return few_tokens<Isa, 2>(p);
        case 3: return few_tokens<Isa, 3>(p);
        case 4: return few_tokens<Isa, 4>(p);
        case 5: return few_tokens<Isa, 5>(p);
        case 6: return few_tokens<Isa, 6>(p);
        case 7: return few_tokens<Isa, 7>(p);
        case FEW_TOKENS: return few_tokens<Isa, FEW_TOKENS>(p);
        default: many_tokens<Isa>(p);
    }
}
