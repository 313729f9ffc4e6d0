// Registers of floats, the functions that need them, and products with weights in panels.
//
// A panel holds the weights of some output rows side by side for each input: a product with one
// token streams it once, in order, and a product with several tokens reads it from the cache.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>
#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16, TILE = 6;  // floats in a register; tokens in a product's inner loop
#elif defined(__AVX__)
constexpr int LANES = 8, TILE = 3;
#else
constexpr int LANES = 4, TILE = 5;
#endif
constexpr int PANEL = 4 * LANES;
constexpr size_t LARGE_PAGE = 1 << 21, FAR_SIZE = LARGE_PAGE / 2;  // a matrix that no cache keeps
#if defined(__x86_64__)
#define IN_REGISTER(lane) __asm__("" : "+v"(lane))
#else
#define IN_REGISTER(lane)
#endif

typedef float Lane __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t LaneInt __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef uint32_t LaneBits __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

int padded(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

Lane load(const float* p) { return *reinterpret_cast<const Lane*>(p); }
// What a large ring holds: float16 where the processor converts it, else float32.
#if defined(__F16C__)
struct Short {
    uint16_t bits;
    Short(float value = 0) : bits(_cvtss_sh(std::clamp(value, -65504.0f, 65504.0f), 0)) {}
};
Lane load(const Short* p) {
#if defined(__AVX512F__)
    return (Lane)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p));
#else
    return (Lane)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
#endif
}
#elif defined(__aarch64__)
struct Short {
    __fp16 number;
    Short(float value = 0) : number(__fp16(std::clamp(value, -65504.0f, 65504.0f))) {}
};
Lane load(const Short* p) { return (Lane)vcvt_f32_f16(vld1_f16(&p->number)); }
#else
using Short = float;
#endif
void store(float* p, Lane value) { *reinterpret_cast<Lane*>(p) = value; }
float sum(Lane value) {
    float total = 0;
    for (int i = 0; i < LANES; i++) total += value[i];
    return total;
}

// e^x for x <= 0, to 2 units in the last place (Cephes).
Lane exponential(Lane x) {
    x = x < -87.0f ? Lane{} - 87.0f : x;
    LaneInt n = __builtin_convertvector(x * 1.44269504f - 0.5f, LaneInt);
    Lane whole = __builtin_convertvector(n, Lane);
    Lane r = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    Lane y = 1.9875691500e-4f * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    return y * (Lane)((n + 127) << 23);
}

// x/2 (1 + erf(x / sqrt 2)), to 2e-7 of |x| (Abramowitz and Stegun 7.1.26).
Lane gelu(Lane x) {
    Lane z = x * 0.70710678f;
    z = z < 0 ? -z : z;
    Lane t = 1.0f / (1.0f + 0.3275911f * z);
    Lane tail = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f
                + t * (-1.453152027f + t * 1.061405429f)))) * exponential(-z * z);
    return 0.5f * x * (x < 0 ? tail : 2.0f - tail);
}

// Memory that begins with a cache line: registers that straddle two of them cost a fifth more. Much
// of it lies in large pages where the system has them: a stream crosses fewer of their ends.
template <class Number>
struct Aligned {
    using value_type = Number;
    static constexpr size_t LINE = 64;
    Aligned() = default;
    template <class Other> Aligned(const Aligned<Other>&) {}
    Number* allocate(size_t n) {
        const size_t size = n * sizeof(Number), align = size < FAR_SIZE ? LINE : LARGE_PAGE;
        void* found = std::aligned_alloc(align, (size + align - 1) / align * align);
        if (!found) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
        if (align == LARGE_PAGE) madvise(found, size, MADV_HUGEPAGE);
#endif
        return static_cast<Number*>(found);
    }
    void deallocate(Number* p, size_t) { std::free(p); }
    bool operator==(const Aligned&) const { return true; }
    bool operator!=(const Aligned&) const { return false; }
};
template <class Number> using Numbers = std::vector<Number, Aligned<Number>>;
using Floats = Numbers<float>;
using Brain = uint16_t;  // bfloat16: the upper half of a float
using Byte = int8_t;     // whole numbers; what feeds them carries their columns' scales
enum Kind { FULL, BRAIN, BYTE };  // how weights are kept, as in cpu.py

Lane load(const Byte* p) {  // compilers convert such vectors number by number
#if defined(__AVX512F__)
    return (Lane)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p)));
#elif defined(__AVX2__)
    return (Lane)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p)));
#elif defined(__aarch64__)
    int32_t four;
    std::memcpy(&four, p, 4);
    return (Lane)vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(
        vdup_n_s32(four))))));
#else
    Lane row;
    for (int i = 0; i < LANES; i++) row[i] = p[i];
    return row;
#endif
}

// A row of a panel. Rows of bfloat16 hold two registers' numbers in turn, so that each is one
// operation away from its register.
template <int WIDE, class Weight>
void load_row(const Weight* from, Lane (&row)[WIDE]) {
    if constexpr (std::is_same<Weight, Brain>::value) {
        for (int v = 0; v < WIDE; v += 2) {
            LaneBits both = *reinterpret_cast<const LaneBits*>(from + v * LANES);
            row[v] = (Lane)(both << 16);
            row[v + 1] = (Lane)(both & 0xffff0000u);
        }
    } else {
        for (int v = 0; v < WIDE; v++) row[v] = load(from + v * LANES);
    }
}
// Where number i of a row of bfloat16 stands in it.
int place_in_row(int i) { return i / (2 * LANES) * 2 * LANES + i % LANES * 2 + i / LANES % 2; }

void gelu(float* x, size_t count) {
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) store(x + i, gelu(load(x + i)));
    for (; i < count; i++) x[i] = gelu(Lane{} + x[i])[0];
}

// y (TOKENS, width) = x (TOKENS, columns) times one panel (columns, WIDE * LANES); y += with `add`.
// FAR: the panel comes from memory, not from a cache, so it is asked for early. Inlined into its
// callers it would run out of registers.
template <int TOKENS, int WIDE, bool FAR = false, class Weight>
__attribute__((noinline))
void tile(const Weight* panel, const float* x, int x_stride, int columns, float* y, int y_stride,
          int width, bool add) {
    constexpr int CHAINS = TOKENS == 1 ? 2 : 1;  // enough sums under way to hide latency
    constexpr int AHEAD = 2048;  // bytes; measured: 1,024 to 8,192 differ little
    Lane total[CHAINS][TOKENS][WIDE] = {};
    auto add_column = [&](int column, Lane (&sums)[TOKENS][WIDE]) {
        Lane row[WIDE], value[TOKENS];
        const Weight* from = panel + size_t(column) * WIDE * LANES;
        load_row<WIDE>(from, row);
        for (size_t i = 0; FAR && i < WIDE * LANES * sizeof(Weight); i += 64)
            __builtin_prefetch(reinterpret_cast<const char*>(from) + AHEAD + i);
        for (int t = 0; t < TOKENS; t++) value[t] = Lane{} + x[size_t(t) * x_stride + column];
        for (int v = 0; v < WIDE; v++) {
            IN_REGISTER(row[v]);  // else it is loaded anew for each token
            for (int t = 0; t < TOKENS; t++) sums[t][v] += value[t] * row[v];
        }
    };
    int column = 0;
    for (; column + CHAINS <= columns; column += CHAINS)
        for (int chain = 0; chain < CHAINS; chain++) add_column(column + chain, total[chain]);
    for (; column < columns; column++) add_column(column, total[0]);
    const bool whole = width >= WIDE * LANES;
#pragma GCC unroll 8
    for (int t = 0; t < TOKENS; t++, y += y_stride) {
        float part[WIDE * LANES];
        float* out = whole ? y : part;
#pragma GCC unroll 4
        for (int v = 0; v < WIDE; v++) {
            Lane value = total[0][t][v];
            if (CHAINS == 2) value += total[CHAINS - 1][t][v];
            if (whole && add) value += load(y + v * LANES);
            store(out + v * LANES, value);
        }
        if (!whole)
            for (int i = 0; i < width; i++) y[i] = add ? y[i] + part[i] : part[i];
    }
}

// The same for any number of tokens.
template <int WIDE, class Weight>
void product(const Weight* panel, const float* x, int x_stride, int tokens, int columns, float* y,
             int y_stride, int width, bool add) {
    int token = 0;
    auto run = [&](auto count) {
        constexpr int TOKENS = decltype(count)::value;
        tile<TOKENS, WIDE>(panel, x + size_t(token) * x_stride, x_stride, columns,
                           y + size_t(token) * y_stride, y_stride, width, add);
        token += TOKENS;
    };
    while (token + TILE <= tokens) run(std::integral_constant<int, TILE>());
    while (token + 2 <= tokens) run(std::integral_constant<int, 2>());
    if (token < tokens) run(std::integral_constant<int, 1>());
}

// The same, for which a panel that many tokens need is turned into float32 once, part by part.
template <int WIDE, class Weight>
void several(const Weight* panel, const float* x, int x_stride, int tokens, int columns, float* y,
             int y_stride, int width, bool add, bool far) {
    if (far && tokens == 1) {
        tile<1, WIDE, true>(panel, x, x_stride, columns, y, y_stride, width, add);
        return;
    }
    if (std::is_same<Weight, float>::value || tokens <= 2 * TILE) {
        product<WIDE>(panel, x, x_stride, tokens, columns, y, y_stride, width, add);
        return;
    }
    constexpr int ROW = WIDE * LANES, DEEP = 6144 / ROW;  // 24 KiB: they stay in the first cache
    alignas(64) float part[DEEP * ROW];
    for (int first = 0; first < columns; first += DEEP) {
        const int deep = std::min(DEEP, columns - first);
        for (int i = 0; i < deep; i++) {
            Lane row[WIDE];
            load_row<WIDE>(panel + size_t(first + i) * ROW, row);
            for (int v = 0; v < WIDE; v++) store(part + i * ROW + v * LANES, row[v]);
        }
        product<WIDE>(part, x + first, x_stride, tokens, deep, y, y_stride, width, add || first);
    }
}

// y (T, rows) = x (T, columns) W^T, or y += with `add`.
struct Matrix {
    int rows = 0, columns = 0, panel = PANEL;  // few rows stand in a panel of half the width
    Kind kind = FULL;
    Floats full_panels;
    Numbers<Brain> half_panels;
    Numbers<Byte> byte_panels;

    Matrix() = default;
    // `weight` (rows, columns), rounded to nearest even where it is not FULL; BYTE: divided by
    // `scales` (columns), which the input must be multiplied by
    Matrix(const float* weight, int rows, int columns, Kind kind, const float* scales = nullptr)
        : rows(rows), columns(columns), panel(rows <= PANEL / 2 ? PANEL / 2 : PANEL), kind(kind) {
        size_t size = size_t(padded(rows, panel)) * columns;
        kind == FULL ? full_panels.resize(size) : kind == BRAIN ? half_panels.resize(size)
                                                                : byte_panels.resize(size);
        for (int row = 0; row < rows; row++)
            for (int column = 0; column < columns; column++) {
                size_t place = (size_t(row / panel) * columns + column) * panel;
                float value = weight[size_t(row) * columns + column];
                if (kind == FULL) { full_panels[place + row % panel] = value; continue; }
                if (kind == BYTE) {
                    byte_panels[place + row % panel] = Byte(std::lrint(value / scales[column]));
                    continue;
                }
                uint32_t bits;
                std::memcpy(&bits, &value, 4);
                half_panels[place + place_in_row(row % panel)] =
                    Brain((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
            }
    }

    size_t bytes() const {
        return full_panels.size() * 4 + half_panels.size() * 2 + byte_panels.size();
    }

    template <int WIDE, class Weight>
    void multiply(const Weight* panels, const float* x, int tokens, float* y, bool add,
                  int threads) const {
        const int count = padded(rows, panel) / panel;
        const bool far = bytes() >= FAR_SIZE;
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
        for (int p = 0; p < count; p++)
            several<WIDE>(panels + size_t(p) * columns * panel, x, columns, tokens, columns,
                          y + p * panel, rows, std::min(panel, rows - p * panel), add, far);
    }

    template <class Weight>
    void multiply(const Weight* panels, const float* x, int tokens, float* y, bool add,
                  int threads) const {
        panel == PANEL ? multiply<4>(panels, x, tokens, y, add, threads)
                       : multiply<2>(panels, x, tokens, y, add, threads);
    }

    void apply(const float* x, int tokens, float* y, int threads, bool add = false) const {
        kind == FULL    ? multiply(full_panels.data(), x, tokens, y, add, threads)
        : kind == BRAIN ? multiply(half_panels.data(), x, tokens, y, add, threads)
                        : multiply(byte_panels.data(), x, tokens, y, add, threads);
    }
};

// What whole numbers from -127 to 127 of each column must be multiplied by to be as large as the
// column's weights, of all matrices (rows, columns) that share an input; ones for another kind.
Floats column_scales(std::initializer_list<std::pair<const float*, int>> matrices, int columns,
                     Kind kind) {
    Floats scales(columns, 1.0f);
    for (int column = 0; kind == BYTE && column < columns; column++) {
        float largest = 0;
        for (const auto& [weight, rows] : matrices)
            for (int row = 0; row < rows; row++)
                largest = std::max(largest, std::abs(weight[size_t(row) * columns + column]));
        if (largest > 0) scales[column] = largest / 127;
    }
    return scales;
}

struct Norm {
    Floats gain, shift;
    void multiply(const Floats& scales) {
        for (size_t i = 0; i < scales.size(); i++) gain[i] *= scales[i], shift[i] *= scales[i];
    }
    void apply(const float* x, int tokens, float* y) const {
        const int width = int(gain.size());
        for (int t = 0; t < tokens; t++, x += width, y += width) {
            float mean = 0, square = 0;
            for (int i = 0; i < width; i++) mean += x[i];
            mean /= width;
            for (int i = 0; i < width; i++) square += (x[i] - mean) * (x[i] - mean);
            float scale = 1 / std::sqrt(square / width + 1e-5f);
            for (int i = 0; i < width; i++) y[i] = (x[i] - mean) * scale * gain[i] + shift[i];
        }
    }
};

}  // namespace
