// The calibrated solver (fineq.calibrated.reference), many rows at once: rows are lanes, columns follow each other.
// Compile with -ffp-contract=off: codes and scales are defined to the last bit. Every sum of the reference runs from
// its first term to its last; a column that is moved by several others is moved by them in their order. Whether that
// happens at once or a block of columns later changes no bit, and later is a product of matrices, which is fast.
#include "common.h"

namespace {

#ifdef __AVX512F__
constexpr int LANES = 8, WIDE_VECTORS = 3, WIDE_COLUMNS = 8;
#else
constexpr int LANES = 4, WIDE_VECTORS = 3, WIDE_COLUMNS = 4;
#endif
using Vector = double __attribute__((vector_size(8 * LANES)));
using Mask = int64_t __attribute__((vector_size(8 * LANES)));
using Floats = float __attribute__((vector_size(4 * LANES)));

constexpr int TILE_ROWS = 48;          // solved together: the metric is read once for all of them
constexpr int CANDIDATES = 96;         // rows times scales that error feedback works on at once
constexpr int64_t BLOCK_COLUMNS = 96;  // whose influence on the columns behind them is one product
constexpr int NARROW_COLUMNS = 2;
static_assert(TILE_ROWS % LANES == 0 && BLOCK_COLUMNS % PAIR_WEIGHTS == 0 && PAIR_WEIGHTS % NARROW_COLUMNS == 0);

struct Metric {  // of a layer's inputs, over whole pairs; see fineq.calibrated.metric
    int64_t columns;
    const double *matrix, *spread;                   // [columns, columns]
    const double *feedback_carry, *feedback_power;   // [pairs, 6, 6] and [pairs, 6]
    const double *inverse, *carry, *power;           // [pairs, 6, 6] twice and [pairs, 6]
};

struct Options {
    const double *factors, *grid;  // multiples of the scale on the diagonal, and of the largest scale
    int32_t factor_count, grid_count, sweeps, largest;
    double smallest_scale, improvement;
};

Vector splat(double value) { return Vector{} + value; }
Vector as_float(Vector x) { return __builtin_convertvector(__builtin_convertvector(x, Floats), Vector); }
Vector select(Mask mask, Vector yes, Vector no) { return mask ? yes : no; }
Vector smaller(Vector a, Vector b) { return a < b ? a : b; }
Vector larger(Vector a, Vector b) { return a > b ? a : b; }

bool any(Mask mask) {
    int64_t found = 0;
    for (int lane = 0; lane < LANES; ++lane) found |= mask[lane];
    return found != 0;
}

// Nearest integer within -limit..limit, half to even.
Vector nearest(Vector x, double limit) {
    const double magic = 6755399441055744.0;  // 1.5 * 2^52: what is added to it loses its fraction
    x = smaller(larger(x, splat(-limit)), splat(limit));
    return (x + magic) - magic;
}

// The largest magnitude of each weight of a pair, by index code.
struct Limits {
    double of[INDEX_CODES][PAIR_WEIGHTS];

    explicit Limits(int largest) {
        for (int code = 0; code < INDEX_CODES; ++code)
            for (int k = 0; k < PAIR_WEIGHTS; ++k)
                of[code][k] = code == 0 ? std::min(MAX_NORMAL, largest) : k % CLUSTER_WEIGHTS == code - 1 ? 0 : largest;
    }
};

struct Choice {
    Vector codes[PAIR_WEIGHTS], index, loss;
};

// As `nearest_in_units` of fineq.calibrated.pairs with a breadth of one.
inline Choice choose(const Vector* x, const double* carry, const double* power, const Limits& limits) {
    Choice best;
    for (int code = 0; code < INDEX_CODES; ++code) {
        Vector errors[PAIR_WEIGHTS], codes[PAIR_WEIGHTS], loss{};
        for (int k = 0; k < PAIR_WEIGHTS; ++k) {
            Vector wanted = x[k];
            for (int j = 0; j < k; ++j) wanted += errors[j] * carry[j * PAIR_WEIGHTS + k];
            codes[k] = nearest(wanted, limits.of[code][k]);
            errors[k] = x[k] - codes[k];
            const Vector missed = wanted - codes[k];
            loss += power[k] * (missed * missed);
        }
        const Mask better = code == 0 ? ~Mask{} : Mask(loss < best.loss);
        for (int k = 0; k < PAIR_WEIGHTS; ++k) best.codes[k] = select(better, codes[k], best.codes[k]);
        best.loss = select(better, loss, best.loss);
        best.index = select(better, splat(code), best.index);
    }
    return best;
}

// out[c][v] -+= panel[j][c] * in[j][v], j ascending.
template <int V, int C, bool SUBTRACT>
inline void multiply(Vector* out, int64_t out_stride, const Vector* in, int64_t in_stride, const double* panel,
                     int64_t depth) {
    Vector total[C][V];
    for (int c = 0; c < C; ++c)
        for (int v = 0; v < V; ++v) total[c][v] = out[c * out_stride + v];
    for (int64_t j = 0; j < depth; ++j)
        for (int c = 0; c < C; ++c)
            for (int v = 0; v < V; ++v) {
                const Vector product = in[j * in_stride + v] * panel[j * C + c];
                total[c][v] = SUBTRACT ? total[c][v] - product : total[c][v] + product;
            }
    for (int c = 0; c < C; ++c)
        for (int v = 0; v < V; ++v) out[c * out_stride + v] = total[c][v];
}

template <int C, bool SUBTRACT>
inline void multiply_vectors(int64_t vectors, Vector* out, int64_t out_stride, const Vector* in, int64_t in_stride,
                             const double* panel, int64_t depth) {
    int64_t v = 0;
    for (; v + WIDE_VECTORS <= vectors; v += WIDE_VECTORS)
        multiply<WIDE_VECTORS, C, SUBTRACT>(out + v, out_stride, in + v, in_stride, panel, depth);
    for (; v < vectors; ++v) multiply<1, C, SUBTRACT>(out + v, out_stride, in + v, in_stride, panel, depth);
}

// Calls body(first, panel, count) for tiles of the columns first..last of `depth` rows of a matrix, each copied
// together; count is WIDE_COLUMNS or NARROW_COLUMNS.
template <class Body>
inline void for_panels(const double* matrix, int64_t stride, int64_t depth, int64_t first, int64_t last,
                       std::vector<double>& panel, Body body) {
    while (first < last) {
        const int64_t count = last - first >= WIDE_COLUMNS ? WIDE_COLUMNS : NARROW_COLUMNS;
        for (int64_t j = 0; j < depth; ++j)
            std::copy_n(matrix + j * stride + first, count, panel.data() + j * count);
        body(first, panel.data(), count);
        first += count;
    }
}

// Rows of a tile, transposed: [columns, vectors].
struct Tile {
    const Metric& metric;
    const Options& options;
    const Limits limits;
    const int64_t columns, pairs, vectors;
    std::vector<Vector> weights, codes, index, weight_product, code_product;
    std::vector<Vector> scales, is_zero;
    std::vector<double> panel;

    Tile(const Metric& metric, const Options& options, int64_t vectors)
        : metric(metric), options(options), limits(options.largest), columns(metric.columns),
          pairs(metric.columns / PAIR_WEIGHTS), vectors(vectors), weights(columns * vectors), codes(columns * vectors),
          index(pairs * vectors), weight_product(columns * vectors), code_product(columns * vectors), scales(vectors),
          is_zero(vectors), panel(BLOCK_COLUMNS * WIDE_COLUMNS) {}

    void load(const double* rows, int64_t count) {
        double* lanes = reinterpret_cast<double*>(weights.data());
        std::fill(weights.begin(), weights.end(), Vector{});
        for (int64_t r = 0; r < count; ++r)
            for (int64_t k = 0; k < columns; ++k) lanes[k * vectors * LANES + r] = rows[r * columns + k];
    }

    void find_scales_on_diagonal() {
        for (int64_t v = 0; v < vectors; ++v) {
            Vector base{};
            for (int64_t k = 0; k < columns; ++k) {
                const Vector w = weights[k * vectors + v];
                base = larger(base, larger(w, -w));
            }
            base = base / splat(options.largest);
            const Mask zero = base < options.smallest_scale;
            is_zero[v] = select(zero, splat(1), splat(0));
            base = select(zero, splat(1), base);
            if (any(zero))
                for (int64_t k = 0; k < columns; ++k) {
                    Vector& w = weights[k * vectors + v];
                    w = select(zero, Vector{}, w);
                }
            Vector best = base, least = splat(__builtin_inf());
            for (int i = 0; i < options.grid_count; ++i) {
                const Vector scale = as_float(base * options.grid[i]), loss = loss_on_diagonal(v, scale);
                best = select(loss < least, scale, best);
                least = smaller(loss, least);
            }
            scales[v] = best;
        }
    }

    Vector loss_on_diagonal(int64_t v, Vector scale) {
        const int normal = std::min(MAX_NORMAL, options.largest);
        Vector total{};
        for (int64_t p = 0; p < pairs; ++p) {
            Vector losses[INDEX_CODES] = {};
            for (int j = 0; j < PAIR_WEIGHTS; ++j) {
                const int64_t k = p * PAIR_WEIGHTS + j;
                const double importance = metric.matrix[k * columns + k];
                const Vector x = weights[k * vectors + v] / scale, missed = x - nearest(x, options.largest),
                             missed_normal = x - nearest(x, normal);
                const Vector full = importance * (missed * missed), zero = importance * (x * x);
                losses[0] += importance * (missed_normal * missed_normal);
                for (int code = 1; code < INDEX_CODES; ++code)
                    losses[code] += j % CLUSTER_WEIGHTS == code - 1 ? zero : full;
            }
            Vector least = losses[0];
            for (int code = 1; code < INDEX_CODES; ++code) least = smaller(losses[code], least);
            total += least;
        }
        return total * (scale * scale);
    }

    // Error feedback for some of the vectors, at several scales each; the best is kept.
    void feed_back(int64_t first_vector, int64_t count) {
        const int64_t wide = count * options.factor_count;  // [factor, vector]
        std::vector<Vector> x(columns * wide), chosen(pairs * wide), errors(BLOCK_COLUMNS * wide), loss(wide), scale(wide);
        for (int64_t c = 0; c < wide; ++c) scale[c] = as_float(scales[first_vector + c % count] * options.factors[c / count]);
        for (int64_t k = 0; k < columns; ++k)
            for (int64_t c = 0; c < wide; ++c)
                x[k * wide + c] = weights[k * vectors + first_vector + c % count] / scale[c];
        for (int64_t start = 0; start < columns; start += BLOCK_COLUMNS) {
            const int64_t end = std::min(columns, start + BLOCK_COLUMNS);
            for (int64_t k = start; k < end; k += PAIR_WEIGHTS) {
                const int64_t p = k / PAIR_WEIGHTS;
                for (int64_t c = 0; c < wide; ++c) {
                    Vector target[PAIR_WEIGHTS];
                    for (int j = 0; j < PAIR_WEIGHTS; ++j) target[j] = x[(k + j) * wide + c];
                    const Choice choice = choose(target, metric.feedback_carry + p * PAIR_WEIGHTS * PAIR_WEIGHTS,
                                                 metric.feedback_power + p * PAIR_WEIGHTS, limits);
                    loss[c] += choice.loss;
                    chosen[p * wide + c] = choice.index;
                    for (int j = 0; j < PAIR_WEIGHTS; ++j) {
                        errors[(k - start + j) * wide + c] = target[j] - choice.codes[j];
                        x[(k + j) * wide + c] = choice.codes[j];
                    }
                }
                subtract(x, wide, errors.data() + (k - start) * wide, k, PAIR_WEIGHTS, k + PAIR_WEIGHTS, end);
            }
            subtract(x, wide, errors.data(), start, end - start, end, columns);
        }
        for (int64_t v = 0; v < count; ++v) {
            Vector best{}, least = loss[v] * (scale[v] * scale[v]);
            for (int i = 1; i < options.factor_count; ++i) {
                const int64_t c = i * count + v;
                const Vector other = loss[c] * (scale[c] * scale[c]);
                best = select(other < least, splat(i), best);
                least = smaller(other, least);
            }
            const auto pick = [&](const Vector* from) {
                Vector result = from[v];
                for (int i = 1; i < options.factor_count; ++i) result = select(best == i, from[i * count + v], result);
                return result;
            };
            for (int64_t k = 0; k < columns; ++k) codes[k * vectors + first_vector + v] = pick(&x[k * wide]);
            for (int64_t p = 0; p < pairs; ++p) index[p * vectors + first_vector + v] = pick(&chosen[p * wide]);
            scales[first_vector + v] = pick(scale.data());
        }
    }

    // Columns first..last of x move to where they compensate the errors of `depth` columns from `row` on.
    void subtract(std::vector<Vector>& x, int64_t wide, const Vector* errors, int64_t row, int64_t depth, int64_t first,
                  int64_t last) {
        for_panels(metric.spread + row * columns, columns, depth, first, last, panel,
                   [&](int64_t column, const double* part, int64_t count) {
                       Vector* out = x.data() + column * wide;
                       if (count == WIDE_COLUMNS)
                           multiply_vectors<WIDE_COLUMNS, true>(wide, out, wide, errors, wide, part, depth);
                       else
                           multiply_vectors<NARROW_COLUMNS, true>(wide, out, wide, errors, wide, part, depth);
                   });
    }

    // Weights and codes times the metric.
    void multiply_by_metric() {
        std::fill(weight_product.begin(), weight_product.end(), Vector{});
        std::fill(code_product.begin(), code_product.end(), Vector{});
        for (int64_t row = 0; row < columns; row += BLOCK_COLUMNS) {
            const int64_t depth = std::min(BLOCK_COLUMNS, columns - row);
            for_panels(metric.matrix + row * columns, columns, depth, 0, columns, panel,
                       [&](int64_t column, const double* part, int64_t count) {
                           for (auto [out, in] : {std::pair{&weight_product, &weights}, std::pair{&code_product, &codes}}) {
                               Vector* to = out->data() + column * vectors;
                               const Vector* from = in->data() + row * vectors;
                               if (count == WIDE_COLUMNS)
                                   multiply_vectors<WIDE_COLUMNS, false>(vectors, to, vectors, from, vectors, part, depth);
                               else
                                   multiply_vectors<NARROW_COLUMNS, false>(vectors, to, vectors, from, vectors, part,
                                                                           depth);
                           }
                       });
        }
    }

    void fit_scales() {
        for (int64_t v = 0; v < vectors; ++v) {
            Vector match{}, power{};
            for (int64_t k = 0; k < columns; ++k) {
                const Vector product = code_product[k * vectors + v];
                match += product * weights[k * vectors + v];
                power += product * codes[k * vectors + v];
            }
            const Mask has_power = power > 0;
            const Vector fitted = as_float(match / select(has_power, power, splat(1))), scale = scales[v];
            const Vector twice = match + match;
            const Vector before = scale * (scale * power - twice), after = fitted * (fitted * power - twice);
            const Mask better = has_power & (fitted > options.smallest_scale) & (after < before);
            scales[v] = select(better, fitted, scale);
        }
    }

    // Every pair once: its best codes with all others fixed. Returns whether any changed.
    bool sweep() {
        std::vector<Vector> moves(BLOCK_COLUMNS * vectors);
        std::vector<int> moved(BLOCK_COLUMNS * vectors);
        bool changed = false;
        for (int64_t start = 0; start < columns; start += BLOCK_COLUMNS) {
            const int64_t end = std::min(columns, start + BLOCK_COLUMNS);
            for (int64_t v = 0; v < vectors; ++v) {
                int64_t count = 0;  // of this vector's columns in the block that changed
                Vector* move = moves.data() + v * BLOCK_COLUMNS;
                int* which = moved.data() + v * BLOCK_COLUMNS;
                for (int64_t k = start; k < end; k += PAIR_WEIGHTS) {
                    const int64_t before = count;
                    count += sweep_pair(k, v, move + count, which + count);
                    for (int64_t i = before; i < count; ++i) add_move(v, move[i], which[i], start, end);
                }
                changed |= count > 0;
                add_moves(v, move, which, count, 0, start);
                add_moves(v, move, which, count, end, columns);
            }
        }
        return changed;
    }

    // Fills in which columns of a pair change and by what; returns their number.
    int64_t sweep_pair(int64_t k, int64_t v, Vector* moves, int* moved) {
        const int64_t p = k / PAIR_WEIGHTS;
        const double* inverse = metric.inverse + p * PAIR_WEIGHTS * PAIR_WEIGHTS;
        const double* carry = metric.carry + p * PAIR_WEIGHTS * PAIR_WEIGHTS;
        const double* power = metric.power + p * PAIR_WEIGHTS;
        const Vector scale = scales[v];
        Vector gradient[PAIR_WEIGHTS], off[PAIR_WEIGHTS], target[PAIR_WEIGHTS], now{};
        for (int j = 0; j < PAIR_WEIGHTS; ++j)
            gradient[j] = weight_product[(k + j) * vectors + v] - scale * code_product[(k + j) * vectors + v];
        for (int i = 0; i < PAIR_WEIGHTS; ++i) {
            Vector shift{};
            for (int j = 0; j < PAIR_WEIGHTS; ++j) shift += gradient[j] * inverse[j * PAIR_WEIGHTS + i];
            off[i] = shift / scale;
            target[i] = codes[(k + i) * vectors + v] + off[i];
            Vector missed = off[i];
            for (int j = 0; j < i; ++j) missed += off[j] * carry[j * PAIR_WEIGHTS + i];
            now += power[i] * (missed * missed);
        }
        const Choice choice = choose(target, carry, power, limits);
        const Mask better = choice.loss < now * options.improvement;
        if (!any(better)) return 0;
        Vector& chosen = index[p * vectors + v];
        chosen = select(better, choice.index, chosen);
        int64_t count = 0;
        for (int j = 0; j < PAIR_WEIGHTS; ++j) {
            Vector& code = codes[(k + j) * vectors + v];
            const Vector move = select(better, choice.codes[j] - code, Vector{});
            if (!any(move != Vector{})) continue;
            code += move;
            moves[count] = move;
            moved[count++] = int(k + j);
        }
        return count;
    }

    void add_move(int64_t v, Vector move, int column, int64_t first, int64_t last) {
        const double* row = metric.matrix + int64_t(column) * columns;
        for (int64_t k = first; k < last; ++k) code_product[k * vectors + v] += move * row[k];
    }

    void add_moves(int64_t v, const Vector* moves, const int* moved, int64_t count, int64_t first, int64_t last) {
        constexpr int AT_ONCE = WIDE_COLUMNS;
        int64_t k = first;
        for (; k + AT_ONCE <= last; k += AT_ONCE) {
            Vector total[AT_ONCE];
            for (int c = 0; c < AT_ONCE; ++c) total[c] = code_product[(k + c) * vectors + v];
            for (int64_t i = 0; i < count; ++i) {
                const double* row = metric.matrix + int64_t(moved[i]) * columns + k;
                for (int c = 0; c < AT_ONCE; ++c) total[c] += moves[i] * row[c];
            }
            for (int c = 0; c < AT_ONCE; ++c) code_product[(k + c) * vectors + v] = total[c];
        }
        for (int64_t i = 0; i < count; ++i) add_move(v, moves[i], moved[i], k, last);
    }

    void store(int64_t count, int8_t* code_rows, uint8_t* index_rows, float* scale_rows) const {
        const auto lane = [&](const std::vector<Vector>& values, int64_t k, int64_t r) {
            return reinterpret_cast<const double*>(values.data())[k * vectors * LANES + r];
        };
        for (int64_t r = 0; r < count; ++r) {
            for (int64_t k = 0; k < columns; ++k) code_rows[r * columns + k] = int8_t(lane(codes, k, r));
            for (int64_t p = 0; p < pairs; ++p) index_rows[r * pairs + p] = uint8_t(lane(index, p, r));
            scale_rows[r] = lane(is_zero, 0, r) != 0 ? 1.0f : float(lane(scales, 0, r));
        }
    }
};

}  // namespace

// Quantize rows [rows, columns] of float64 for a metric into codes int8 [rows, columns], index codes uint8 [rows,
// pairs] and scales [rows]. Columns are whole pairs, in the order in which they are fixed.
extern "C" void fineq_solve(const double* weights, int64_t rows, const Metric* metric, const Options* options,
                            int8_t* codes, uint8_t* index, float* scales, int32_t threads) {
    const int64_t columns = metric->columns, pairs = columns / PAIR_WEIGHTS;
    for_row_tiles(rows, TILE_ROWS, threads, [&](int64_t first, int64_t last) {
        Tile tile(*metric, *options, ceil_div(last - first, LANES));
        tile.load(weights + first * columns, last - first);
        tile.find_scales_on_diagonal();
        const int64_t at_once = std::max<int64_t>(1, CANDIDATES / LANES / options->factor_count);
        for (int64_t v = 0; v < tile.vectors; v += at_once) tile.feed_back(v, std::min(at_once, tile.vectors - v));
        if (options->sweeps > 0) tile.multiply_by_metric();
        for (int sweep = 0; sweep < options->sweeps; ++sweep) {
            tile.fit_scales();
            if (!tile.sweep()) break;
        }
        tile.store(last - first, codes + first * columns, index + first * pairs, scales + first);
    });
}
