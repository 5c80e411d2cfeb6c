// y = x W^T with packed W: weights go from the table straight into multiply-adds, nothing is unpacked to memory.
// Compile with -ffp-contract=fast. Sums are float32, one chain a lane, in an order that threads do not change.
#include "common.h"

namespace {

#ifdef __AVX512F__
constexpr int LANES = 16;
#else
constexpr int LANES = 8;
#endif
using Floats = float __attribute__((vector_size(4 * LANES)));
using Quad = float __attribute__((vector_size(16)));  // a cluster and a fourth lane of zero

constexpr int FEW_TOKENS = 4;
constexpr int MAX_VECTORS = 32 / LANES;  // of tokens that are worked on at once
constexpr int ROW_TILE = 48;
constexpr int BLOCKS_AT_ONCE = 85;  // along the inner dimension: 2040 x 32 tokens of float32 stay in the L2 cache

// Many tokens: one in each lane. R rows times V vectors of tokens make enough independent sums to hide latency.
// x: [blocks * 24, V]; sums: [R, V].
template <int V, int R>
void multiply(const Floats* x, const uint8_t* rows, int64_t row_stride, int64_t blocks, const Quad* table,
              Floats* sums) {
    Floats total[R][V];
    std::memcpy(total, sums, sizeof total);
    for (int64_t b = 0; b < blocks; ++b) {
        uint64_t block[R];
        for (int r = 0; r < R; ++r) block[r] = load_block(rows + r * row_stride + b * BLOCK_BYTES);
#pragma GCC unroll 8
        for (int c = 0; c < BLOCK_CLUSTERS; ++c) {
            const float* weights[R];
            for (int r = 0; r < R; ++r) weights[r] = reinterpret_cast<const float*>(table + table_entry(block[r], c));
            for (int j = 0; j < CLUSTER_WEIGHTS; ++j, x += V)
                for (int r = 0; r < R; ++r)
                    for (int v = 0; v < V; ++v) total[r][v] += x[v] * weights[r][j];
        }
    }
    std::memcpy(sums, total, sizeof total);
}

struct Problem {
    const float* x;
    const uint8_t* blocks;
    const float* scales;
    const Quad* table;
    float* y;
    int64_t tokens, rows, length, row_blocks, row_stride;
    int threads;
};

template <int V, int R>
void many_tokens(const Problem& p, int64_t first_token) {
    const int64_t padded = p.row_blocks * BLOCK_WEIGHTS, count = std::min<int64_t>(V * LANES, p.tokens - first_token);
    std::vector<Floats> x(padded * V);  // [inner dimension, tokens], zero where there is neither
    float* lanes = reinterpret_cast<float*>(x.data());
    for (int64_t k = 0; k < p.length; ++k)
        for (int64_t m = 0; m < count; ++m) lanes[k * V * LANES + m] = p.x[(first_token + m) * p.length + k];
    for_row_tiles(p.rows, ROW_TILE, p.threads, [&](int64_t first, int64_t last) {
        Floats sums[ROW_TILE][V] = {};
        for (int64_t b = 0; b < p.row_blocks; b += BLOCKS_AT_ONCE) {
            const int64_t blocks = std::min<int64_t>(BLOCKS_AT_ONCE, p.row_blocks - b);
            const Floats* part = x.data() + b * BLOCK_WEIGHTS * V;
            int64_t r = first;
            for (; r + R <= last; r += R)
                multiply<V, R>(part, p.blocks + r * p.row_stride + b * BLOCK_BYTES, p.row_stride, blocks, p.table,
                               sums[r - first]);
            for (; r < last; ++r)
                multiply<V, 1>(part, p.blocks + r * p.row_stride + b * BLOCK_BYTES, p.row_stride, blocks, p.table,
                               sums[r - first]);
        }
        for (int64_t m = 0; m < count; ++m)
            for (int64_t r = first; r < last; ++r)
                p.y[(first_token + m) * p.rows + r] =
                    reinterpret_cast<float*>(sums[r - first])[m] * p.scales[r];
    });
}

// Few tokens: the weights of a cluster in the lanes of a Quad.
template <int M>
void few_tokens(const Problem& p) {
    constexpr int CHAINS = M <= 2 ? 4 : 2;
    const int64_t clusters = p.row_blocks * BLOCK_CLUSTERS;
    std::vector<Quad> x(clusters * M);  // [clusters, tokens]
    for (int m = 0; m < M; ++m)
        for (int64_t k = 0; k < p.length; ++k)
            x[k / CLUSTER_WEIGHTS * M + m][k % CLUSTER_WEIGHTS] = p.x[m * p.length + k];
    for_row_tiles(p.rows, ROW_TILE, p.threads, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r) {
            Quad total[CHAINS][M] = {};
            const Quad* part = x.data();
            for (int64_t b = 0; b < p.row_blocks; ++b) {
                const uint64_t block = load_block(p.blocks + r * p.row_stride + b * BLOCK_BYTES);
#pragma GCC unroll 8
                for (int c = 0; c < BLOCK_CLUSTERS; ++c, part += M) {
                    const Quad weights = p.table[table_entry(block, c)];
                    for (int m = 0; m < M; ++m) total[c % CHAINS][m] += part[m] * weights;
                }
            }
            for (int m = 0; m < M; ++m) {
                Quad sum = total[0][m];
                for (int i = 1; i < CHAINS; ++i) sum += total[i][m];
                p.y[m * p.rows + r] = ((sum[0] + sum[1]) + sum[2]) * p.scales[r];
            }
        }
    });
}

}  // namespace

// y [tokens, rows] = x [tokens, length] times the transposed packed matrix; table: [index code, payload, 4] float32.
extern "C" void fineq_linear(const float* x, const uint8_t* blocks, const float* scales, const float* table, float* y,
                             int64_t tokens, int64_t rows, int64_t length, int32_t threads) {
    std::vector<Quad> aligned(INDEX_CODES * PAYLOADS);
    std::memcpy(aligned.data(), table, aligned.size() * sizeof(Quad));
    const int64_t row_blocks = ceil_div(length, BLOCK_WEIGHTS);
    const Problem p{x,      blocks, scales, aligned.data(), y, tokens, rows, length, row_blocks, row_blocks * BLOCK_BYTES,
                    threads};
    if (tokens <= FEW_TOKENS) {
        if (tokens == 1) few_tokens<1>(p);
        if (tokens == 2) few_tokens<2>(p);
        if (tokens == 3) few_tokens<3>(p);
        if (tokens == 4) few_tokens<4>(p);
        return;
    }
    for (int64_t token = 0; token < tokens;) {
        const int64_t vectors = std::min<int64_t>(MAX_VECTORS, ceil_div(tokens - token, LANES));
        if (vectors == 1) many_tokens<1, 6>(p, token);
        if (vectors == 2) many_tokens<2, 6>(p, token);
#if !defined(__AVX512F__)
        if (vectors == 3) many_tokens<3, 4>(p, token);
        if (vectors == 4) many_tokens<4, 3>(p, token);
#endif
        token += vectors * LANES;
    }
}
