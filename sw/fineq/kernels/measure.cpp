// What quantizing did to rows: the figures of the report, from the weights and their packed form.
#include "pairs.h"

// Rows of a type (0 float32, 1 float16, 2 bfloat16), `stride` bytes apart, with their blocks [rows, 7 * ceil(length /
// 24)] and scales [rows]. `values`: three weights and a zero, float32, by [index code, payload].
// Fills for each row: the squared error and the squared weights (summed from first to last), the clusters that store
// two 3-bit weights, and the pairs whose clusters, each alone, would choose different codes under `options`.
extern "C" void fineq_measure(const void* weights, int32_t type, int64_t rows, int64_t length, int64_t stride,
                              const Options* options, const uint8_t* blocks, const float* scales, const float* values,
                              double* error, double* power, int64_t* outliers, int64_t* disagreeing,
                              int32_t threads) {
    const int64_t row_blocks = ceil_div(length, BLOCK_WEIGHTS), group_count = ceil_div(row_blocks * BLOCK_PAIRS, LANES);
    const int64_t clusters = ceil_div(length, CLUSTER_WEIGHTS);
    for_row_tiles(rows, 16, threads, [&](int64_t first, int64_t last) {
        std::vector<float> row(group_count * GROUP_WEIGHTS);  // zeros after the end
        std::vector<Group> groups(group_count);
        for (int64_t r = first; r < last; ++r) {
            load_row(static_cast<const char*>(weights) + r * stride, type, length, row.data());
            fill_groups(row.data(), length, *options, groups);
            Ints undecided{};
            for (const Group& group : groups) undecided -= group.kept == NOT_KEPT;
            disagreeing[r] = 0;
            for (int lane = 0; lane < LANES; ++lane) disagreeing[r] += undecided[lane];
            double errors[CLUSTER_WEIGHTS] = {}, powers[CLUSTER_WEIGHTS] = {};
            outliers[r] = 0;
            for (int64_t cluster = 0; cluster < clusters; ++cluster) {
                const uint64_t block = load_block(blocks + (r * row_blocks + cluster / BLOCK_CLUSTERS) * BLOCK_BYTES);
                const uint32_t entry = table_entry(block, cluster % BLOCK_CLUSTERS);
                outliers[r] += entry >> PAYLOAD_BITS != 0;
                for (int j = 0; j < CLUSTER_WEIGHTS; ++j) {
                    const float weight = row[cluster * CLUSTER_WEIGHTS + j];
                    const float lost = weight - values[entry * 4 + j] * scales[r];
                    errors[j] += double(lost * lost);
                    powers[j] += double(weight * weight);
                }
            }
            error[r] = (errors[0] + errors[1]) + errors[2];
            power[r] = (powers[0] + powers[1]) + powers[2];
        }
    });
}
