// What fused.py calls: attention with relative positions over whole sequences, and its gradients.
//
// One head of one sequence at a time stays in the core's cache. Nothing of size T x T outlives it:
// the way back computes the weights again. The threads share out the heads, and a head goes
// through the sequences in order, so sums do not depend on their number.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

typedef float Lane __attribute__((vector_size(32), aligned(4)));
typedef int32_t Whole __attribute__((vector_size(32), aligned(4)));
constexpr int LANE = 8, ROWS = 4, COLUMNS = 16;
constexpr float NEVER = -1e30f;

int up(int count) { return (count + COLUMNS - 1) / COLUMNS * COLUMNS; }

// C[m, n] (+)= sum of A[m, k] B[k, n] over k in [low, high); A by strides, N a multiple of 16.
template <int M>
void tile(int n, int low, int high, const float* a, int row, int column, const float* b, int ldb,
          float* c, int ldc, bool add) {
    for (int j = 0; j < n; j += COLUMNS) {
        Lane sum[M][2];
        for (int m = 0; m < M; m++)
            for (int half = 0; half < 2; half++)
                sum[m][half] = add ? *(const Lane*)(c + m * ldc + j + half * LANE) : Lane{};
        for (int k = low; k < high; k++) {
            const Lane left = *(const Lane*)(b + k * ldb + j);
            const Lane right = *(const Lane*)(b + k * ldb + j + LANE);
            for (int m = 0; m < M; m++) {
                const float value = a[m * row + k * column];
                sum[m][0] += value * left;
                sum[m][1] += value * right;
            }
        }
        for (int m = 0; m < M; m++)
            for (int half = 0; half < 2; half++)
                *(Lane*)(c + m * ldc + j + half * LANE) = sum[m][half];
    }
}

void product(int m, int n, int low, int high, const float* a, int row, int column, const float* b,
             int ldb, float* c, int ldc, bool add) {
    switch (m) {
        case 4: return tile<4>(n, low, high, a, row, column, b, ldb, c, ldc, add);
        case 3: return tile<3>(n, low, high, a, row, column, b, ldb, c, ldc, add);
        case 2: return tile<2>(n, low, high, a, row, column, b, ldb, c, ldc, add);
        default: return tile<1>(n, low, high, a, row, column, b, ldb, c, ldc, add);
    }
}

Lane exponential(Lane x) {  // of x <= 0, to a few units of the last place
    x = x < -87.0f ? x * 0.0f - 87.0f : x;
    const Whole turns = __builtin_convertvector(x * 1.44269504f - 0.5f, Whole);  // to the nearest
    const Lane whole = __builtin_convertvector(turns, Lane);
    const Lane rest = x - whole * 0.693359375f - whole * -2.12194440e-4f;
    Lane power = rest * 1.9875691500e-4f + 1.3981999507e-3f;
    power = power * rest + 8.3334519073e-3f;
    power = power * rest + 4.1665795894e-2f;
    power = power * rest + 1.6666665459e-1f;
    power = power * rest + 5.0000001201e-1f;
    power = power * rest * rest + rest + 1.0f;
    const Whole scale = (turns + 127) << 23;
    Lane factor;
    std::memcpy(&factor, &scale, sizeof factor);
    return power * factor;
}

Lane load(const float* from) { return *(const Lane*)from; }
void store(float* to, Lane value) { *(Lane*)to = value; }

float sum(Lane lanes) {
    float total = 0;
    for (int l = 0; l < LANE; l++) total += lanes[l];
    return total;
}

}  // namespace

extern "C" {

// As in fused.py. Tensors are float32, rows of the batch end to end:
//   queries (B * n, H * key), seen (B * T, 2 * H * key), distances (H, T, key) of T - 1 ... 0
//   mask uint8 (T, T), nothing beyond the diagonal; outputs int64 (n,), ascending
struct Shape {
    int32_t sequences, length, outputs, heads, key, threads;
    int64_t query_row, seen_row, distance_head, distance_row, out_row;
};

}  // extern "C"

namespace {

struct Head {
    const Shape s;
    const int key, length, wide, count;  // wide: the length, rounded up
    std::vector<float> keys, values, places, query, place, scores, turned;

    explicit Head(const Shape& shape)
        : s(shape), key(s.key), length(s.length), wide(up(s.length)), count(s.outputs),
          keys(key * wide), values(key * wide), places(key * wide), query(count * key),
          place(count * key), scores(count * wide), turned(count * wide) {}

    static void turn(const float* from, int64_t row, int count, int key, int wide, float* to) {
        for (int j = 0; j < count; j++)
            for (int d = 0; d < key; d++) to[d * wide + j] = from[j * row + d];
    }

    void distances(const float* from) { turn(from, s.distance_row, length, key, wide, places.data()); }

    // The weights of all outputs' rows, in ``scores``; those beyond a row's position are zero.
    void attend(const float* queries, const float* seen, const float* content, const float* distance,
                const uint8_t* mask, const int64_t* outputs) {
        turn(seen, s.seen_row, length, key, wide, keys.data());
        for (int i = 0; i < count; i++)
            for (int d = 0; d < key; d++) {
                const float value = queries[i * s.query_row + d];
                query[i * key + d] = value + content[d];
                place[i * key + d] = value + distance[d];
            }
        const float scale = 1.0f / std::sqrt(float(key));
        for (int i = 0; i < count; i += ROWS) {
            const int rows = std::min(ROWS, count - i), most = int(outputs[i + rows - 1]) + 1;
            product(rows, up(most), 0, key, &query[i * key], key, 1, keys.data(), wide,
                    &scores[size_t(i) * wide], wide, false);
            const int first = (length - most) / COLUMNS * COLUMNS;
            product(rows, wide - first, 0, key, &place[i * key], key, 1, places.data() + first, wide,
                    &turned[size_t(i) * wide + first], wide, false);
            for (int r = i; r < i + rows; r++) {
                const int here = int(outputs[r]) + 1, end = (here + LANE - 1) / LANE * LANE;
                float* score = &scores[size_t(r) * wide];
                const float* shift = &turned[size_t(r) * wide] + length - here;
                const uint8_t* may = mask + size_t(outputs[r]) * length;
                Lane most_of{};
                most_of += NEVER;
                int j = 0;
                for (; j + LANE <= here; j += LANE) {
                    const Lane value = (load(score + j) + load(shift + j)) * scale;
                    store(score + j, value);
                }
                for (; j < here; j++) score[j] = (score[j] + shift[j]) * scale;
                for (; j < wide; j++) score[j] = NEVER;
                if (std::memchr(may, 0, here))
                    for (j = 0; j < here; j++) score[j] = may[j] ? score[j] : NEVER;
                for (j = 0; j < end; j += LANE) {
                    const Lane value = load(score + j);
                    most_of = value > most_of ? value : most_of;
                }
                float largest = NEVER;
                for (int l = 0; l < LANE; l++) largest = std::max(largest, most_of[l]);
                Lane sums{};
                for (j = 0; j < end; j += LANE) {
                    const Lane value = load(score + j), power = exponential(value - largest);
                    const Lane kept = value <= NEVER ? value * 0.0f : power;
                    store(score + j, kept);
                    sums += kept;
                }
                const float share = 1.0f / sum(sums);
                for (j = 0; j < end; j += LANE) store(score + j, load(score + j) * share);
                for (; j < wide; j++) score[j] = 0.0f;
            }
        }
    }
};

}  // namespace

extern "C" {

void gato_attend(const Shape* shape, const float* queries, const float* seen,
                 const float* distances, const float* content, const float* distance,
                 const uint8_t* mask, const int64_t* outputs, float* out) {
    const Shape s = *shape;
#pragma omp parallel num_threads(s.threads)
    {
        Head head(s);
#pragma omp for schedule(static)
        for (int h = 0; h < s.heads; h++) {
            const int at = h * s.key;
            head.distances(distances + h * s.distance_head);
            for (int b = 0; b < s.sequences; b++) {
                const float* rows = seen + int64_t(b) * s.length * s.seen_row + at;
                head.attend(queries + int64_t(b) * s.outputs * s.query_row + at, rows, content + at,
                            distance + at, mask, outputs);
                const float* values = rows + s.heads * s.key;
                float* to = out + int64_t(b) * s.outputs * s.out_row + at;
                for (int i = 0; i < s.outputs; i += ROWS) {
                    const int count = std::min(ROWS, s.outputs - i);
                    product(count, s.key, 0, int(outputs[i + count - 1]) + 1,
                            &head.scores[size_t(i) * head.wide], head.wide, 1, values,
                            int(s.seen_row), to + i * s.out_row, int(s.out_row), false);
                }
            }
        }
    }
}

// Gradients of all but the mask; to_distances, to_content, to_distance and to_seen begin as zeros.
void gato_attend_back(const Shape* shape, const float* queries, const float* seen,
                      const float* distances, const float* content, const float* distance,
                      const uint8_t* mask, const int64_t* outputs, const float* of_out,
                      float* to_queries, float* to_seen, float* to_distances, float* to_content,
                      float* to_distance) {
    const Shape s = *shape;
    const int key = s.key, inner = s.heads * key, n = s.outputs, length = s.length;
    const float scale = 1.0f / std::sqrt(float(key));
#pragma omp parallel num_threads(s.threads)
    {
        Head head(s);
        const int wide = head.wide;
        std::vector<float> slopes(size_t(n) * wide), moved(size_t(n) * wide), one(ROWS * key),
            other(ROWS * key);
#pragma omp for schedule(static)
        for (int h = 0; h < s.heads; h++) {
            const int at = h * key;
            const float* far = distances + h * s.distance_head;
            head.distances(far);
            float* to_far = to_distances + int64_t(h) * length * key;
            for (int b = 0; b < s.sequences; b++) {
                const float* rows = seen + int64_t(b) * length * s.seen_row + at;
                const float* values = rows + inner;
                const float* from = of_out + int64_t(b) * n * s.out_row + at;
                float* to = to_queries + int64_t(b) * n * inner + at;
                float* to_rows = to_seen + int64_t(b) * length * 2 * inner + at;
                head.attend(queries + int64_t(b) * n * s.query_row + at, rows, content + at,
                            distance + at, mask, outputs);
                Head::turn(values, s.seen_row, length, key, wide, head.values.data());
                std::fill(moved.begin(), moved.end(), 0.0f);
                for (int i = 0; i < n; i += ROWS) {
                    const int count = std::min(ROWS, n - i), most = int(outputs[i + count - 1]) + 1;
                    const size_t row = size_t(i) * wide;
                    product(count, up(most), 0, key, from + i * s.out_row, int(s.out_row), 1,
                            head.values.data(), wide, &slopes[row], wide, false);
                    for (int r = i; r < i + count; r++) {
                        float* slope = &slopes[size_t(r) * wide];
                        const float* weight = &head.scores[size_t(r) * wide];
                        const int here = int(outputs[r]) + 1;
                        const int end = (here + LANE - 1) / LANE * LANE;
                        Lane means{};  // weights beyond the position are zero
                        for (int j = 0; j < end; j += LANE) means += load(weight + j) * load(slope + j);
                        const float mean = sum(means);
                        for (int j = 0; j < end; j += LANE)
                            store(slope + j, load(weight + j) * (load(slope + j) - mean) * scale);
                        for (int j = end; j < wide; j++) slope[j] = 0.0f;
                        std::memcpy(&moved[size_t(r) * wide] + length - here, slope,
                                    here * sizeof(float));
                    }
                    product(count, key, 0, most, &slopes[row], wide, 1, rows, int(s.seen_row),
                            one.data(), key, false);
                    product(count, key, length - most, length, &moved[row], wide, 1, far,
                            int(s.distance_row), other.data(), key, false);
                    for (int r = 0; r < count; r++)
                        for (int d = 0; d < key; d++) {
                            to[(i + r) * inner + d] = one[r * key + d] + other[r * key + d];
                            to_content[at + d] += one[r * key + d];
                            to_distance[at + d] += other[r * key + d];
                        }
                }
                int first = 0;  // the first output that may see these columns
                for (int j = 0; j < length; j += ROWS) {
                    const int count = std::min(ROWS, length - j);
                    while (first < n && outputs[first] < j) first++;
                    product(count, key, first, n, &slopes[j], 1, wide, head.query.data(), key,
                            to_rows + j * 2 * inner, 2 * inner, true);
                    product(count, key, first, n, &head.scores[j], 1, wide, from, int(s.out_row),
                            to_rows + j * 2 * inner + inner, 2 * inner, true);
                }
                for (int r = 0; r < length; r += ROWS) {
                    const int count = std::min(ROWS, length - r);
                    int begin = 0;  // distances beyond a position are none of its own
                    while (begin < n && outputs[begin] < length - r - count) begin++;
                    product(count, key, begin, n, &moved[r], 1, wide, head.place.data(), key,
                            to_far + r * key, key, true);
                }
            }
        }
    }
}

}  // extern "C"
