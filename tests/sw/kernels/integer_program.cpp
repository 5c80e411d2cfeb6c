// Runs one path of the integer product on a problem from a file: for processors that are emulated.
// Usage: program PROBLEM RESULT. Problem: tokens, rows, length, threads (int64), largest, smallest scale (float32), table,
// x, blocks, scales. Result: y.
#include "integer.cpp"

#include <cstdio>

int main(int, char** arguments) {
    std::FILE* file = std::fopen(arguments[1], "rb");
    auto read = [&](void* target, size_t bytes) {
        if (std::fread(target, 1, bytes, file) != bytes) std::abort();
    };
    int64_t sizes[4];
    float numbers[2];
    read(sizes, sizeof sizes);
    read(numbers, sizeof numbers);
    const int64_t tokens = sizes[0], rows = sizes[1], length = sizes[2];
    std::vector<uint8_t> table(INDEX_CODES * PAYLOADS * 4), blocks(rows * ceil_div(length, BLOCK_WEIGHTS) * BLOCK_BYTES);
    std::vector<float> x(tokens * length), scales(rows), y(tokens * rows);
    read(table.data(), table.size());
    read(x.data(), 4 * x.size());
    read(blocks.data(), blocks.size());
    read(scales.data(), 4 * scales.size());
    fineq_linear_integer(x.data(), blocks.data(), scales.data(), table.data(), y.data(), tokens, rows, length, numbers[0],
                         numbers[1], int32_t(sizes[3]));
    file = std::fopen(arguments[2], "wb");
    return std::fwrite(y.data(), 4, y.size(), file) == y.size() && std::fclose(file) == 0 ? 0 : 1;
}
