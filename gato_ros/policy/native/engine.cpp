// What cpu.py calls: a block of new tokens in one call, all action tokens of a step in another.
// Neither allocates, waits, or comes back to Python.

#include <limits>
#include <new>

#include "transformer.h"

extern "C" {

Weights* gato_weights(const Sizes* sizes) {
    try { return new Weights(*sizes); } catch (const std::bad_alloc&) { return nullptr; }
}

void gato_free_weights(Weights* weights) { delete weights; }

// Begin a sequence over weights that are whole; they must outlive it.
Sequence* gato_sequence(Weights* weights, const Sizes* sizes) {
    try {
        return new Sequence(*weights, *sizes);
    } catch (const std::bad_alloc&) { return nullptr; }
}

void gato_free_sequence(Sequence* sequence) { delete sequence; }

// Copy a layer's weights, float32, in the order of cpu.py; 0 when memory does not suffice.
int gato_layer(Weights* weights, int index, const float* const* from) {
    const Sizes& s = weights->size;
    const int inner = s.heads * s.key, half = s.feedforward / 2;
    const Kind kind = Kind(s.kind);
    auto floats = [](const float* p, size_t n) { return Floats(p, p + n); };
    try {
        Layer& layer = weights->layers[index];
        Floats scales = column_scales({{from[2], inner}, {from[3], 2 * inner}}, s.width, kind);
        layer.norm1 = {floats(from[0], s.width), floats(from[1], s.width)};
        layer.norm1.multiply(scales);
        layer.query = Matrix(from[2], inner, s.width, kind, scales.data());
        layer.key_value = Matrix(from[3], 2 * inner, s.width, kind, scales.data());
        layer.out_scales = column_scales({{from[4], s.width}}, inner, kind);
        layer.out = Matrix(from[4], s.width, inner, kind, layer.out_scales.data());
        layer.content_bias = floats(from[5], inner);
        layer.distance_bias = floats(from[6], inner);
        layer.norm2 = {floats(from[7], s.width), floats(from[8], s.width)};
        scales = column_scales({{from[9], s.feedforward}}, s.width, kind);
        layer.norm2.multiply(scales);
        layer.hidden = Matrix(from[9], s.feedforward, s.width, kind, scales.data());
        layer.gate_scales = column_scales({{from[10], s.width}}, half, kind);
        layer.feedforward = Matrix(from[10], s.width, half, kind, layer.gate_scales.data());
    } catch (const std::bad_alloc&) { return 0; }
    return 1;
}

// Copy a layer's projected distances (H, distances, key), float32, as a ring of that kind needs
// them; no sequence with such a ring may be there yet.
int gato_distances(Weights* weights, int index, int half_ring, const float* from) {
    const Sizes& s = weights->size;
    const size_t size = size_t(s.heads) * s.key * weights->reach;
    Table& table = weights->layers[index].distances;
    auto turn = [&](auto* to) {  // the largest distance first
        for (int head = 0; head < s.heads; head++)
            for (int i = 0; i < s.max_distance; i++)
                for (int d = 0; d < s.key; d++)
                    to[(size_t(head) * weights->reach + i / PANEL * PANEL) * s.key + d * PANEL
                       + i % PANEL] =
                        from[(size_t(head + 1) * s.max_distance - 1 - i) * s.key + d];
    };
    try {
        table.make(size, half_ring);
        half_ring ? turn(table.data<Short>()) : turn(table.data<float>());
    } catch (const std::bad_alloc&) { return 0; }
    return 1;
}

// The table and the local positions stay the caller's; the norm is copied.
void gato_ends(Weights* weights, const float* table, const float* local, const float* gain,
               const float* shift) {
    weights->table = table;
    weights->local = local;
    int width = weights->size.width;
    weights->norm = {Floats(gain, gain + width), Floats(shift, shift + width)};
}

// Copy the patch encoder's weights, float32, in the order of cpu.py.
int gato_encoder(Weights* weights, int channels, int groups, const float* const* from) {
    const int width = weights->size.width, cells = Encoder::CELLS;
    auto floats = [](const float* p, int n) { return Floats(p, p + n); };
    try {
        EncoderWeights& e = weights->encoder;
        e.channels = channels, e.groups = groups, e.width = width;
        e.stem = Matrix(from[0], channels, 3 * Encoder::CELL * Encoder::CELL, FULL);
        e.conv1 = Matrix(from[1], channels, 9 * channels, FULL);
        e.conv2 = Matrix(from[2], channels, 9 * channels, FULL);
        e.out = Matrix(from[3], width, cells * channels, FULL);
        e.stem_bias = floats(from[4], channels);
        e.conv1_bias = floats(from[5], channels);
        e.conv2_bias = floats(from[6], channels);
        e.out_bias = floats(from[7], width);
        e.gain1 = floats(from[8], channels), e.shift1 = floats(from[9], channels);
        e.gain2 = floats(from[10], channels), e.shift2 = floats(from[11], channels);
    } catch (const std::bad_alloc&) { return 0; }
    return 1;
}

// Add the encodings of patches, uint8 (count, 16, 16, 3), to `answers` (count, width).
void gato_encode(Sequence* sequence, int count, const uint8_t* patches, float scale, float offset,
                 float* answers) {
    sequence->encoder.encode(count, patches, scale, offset, answers, sequence->size.threads);
}

// Prepare the scores of the ids in [low, high); returns the range's number in this sequence, -1
// without memory.
int gato_range(Sequence* sequence, int low, int high) {
    Weights& weights = sequence->weights;
    try {
        const std::lock_guard<std::mutex> alone(weights.adding);
        auto found = std::find_if(
            weights.ranges.begin(), weights.ranges.end(),
            [&](const Range& range) { return range.low == low && range.high == high; });
        if (found == weights.ranges.end()) {
            const int width = weights.size.width;
            found = weights.ranges.insert(found, {low, high, Matrix(
                weights.table + size_t(low) * width, high - low, width,
                weights.size.kind == FULL ? FULL : BRAIN)});
        }
        if (sequence->logits.size() < size_t(high - low)) sequence->logits.resize(high - low);
        sequence->ranges.push_back(&*found);
    } catch (const std::bad_alloc&) { return -1; }
    return int(sequence->ranges.size()) - 1;
}

// Append `tokens` tokens; where an id is negative, the next row of `pictures` stands.
void gato_extend(Sequence* sequence, int tokens, const int32_t* ids, const int32_t* local,
                 const float* pictures, const int64_t* slots, const int64_t* position,
                 const uint8_t* visible) {
    const int width = sequence->size.width;
    sequence->find_runs(position, visible);
    for (int t = 0; t < tokens; t++) {
        sequence->embed(sequence->x.data() + size_t(t) * width, ids[t],
                        ids[t] < 0 ? pictures : nullptr, local[t]);
        if (ids[t] < 0) pictures += width;
    }
    sequence->extend(slots, position, tokens);
}

// Sample `tokens` ids, each from its range; the last one is not appended.
//   noise   for each token a row of logarithms of exponential draws, or null where the likeliest
//           is wanted;  all_logits  for each token where its scores are wanted, or null
//   draft   a guess of the ids, or null. One pass takes a known id and the guesses behind it;
//           each id that it yields is what a pass of its own would have yielded, up to the first
//           that differs from its guess. The noise belongs to the place, so nothing is drawn
//           twice and the answer is the same, token by token, whatever the guess.
// Returns how many passes it took.
int gato_decode(Sequence* sequence, int tokens, const int32_t* ranges, const int32_t* local,
                const int64_t* slots, const int64_t* position, const uint8_t* visible,
                float temperature, const float* const* noise, const int32_t* draft, int32_t* ids,
                float* const* all_logits) {
    const int width = sequence->size.width;
    sequence->find_runs(position, visible);
    auto sample = [&](int t, const float* hidden) {
        const Range& range = *sequence->ranges[ranges[t]];
        float* logits = all_logits ? all_logits[t] : sequence->logits.data();
        range.head.apply(hidden, 1, logits, sequence->size.threads);
        int best = 0;
        float highest = -std::numeric_limits<float>::max();
        for (int i = 0; i < range.head.rows; i++) {
            float score = noise ? logits[i] / temperature - noise[t][i] : logits[i];
            if (score > highest) { highest = score; best = i; }
        }
        ids[t] = range.low + best;
    };
    sample(0, sequence->last.data());
    int known = 1, passes = 0;
    while (known < tokens) {
        const int start = known - 1, count = draft ? tokens - known : 1;
        for (int t = 0; t < count; t++)
            sequence->embed(sequence->x.data() + size_t(t) * width,
                            t ? draft[start + t] : ids[start], nullptr, local[start + t]);
        sequence->extend(slots + start, position, count, count);
        passes++;
        for (int t = 0; t < count; t++) {
            sample(known, sequence->last.data() + size_t(t) * width);
            known++;
            if (draft && ids[known - 1] != draft[known - 1]) break;
        }
    }
    return passes;
}

// Bytes of a number in the ring.
int gato_ring_bytes(const Sequence* sequence) {
    return sequence->size.half_ring ? sizeof(Short) : 4;
}

// Bytes of weights that one token's pass reads, the head of a range not counted.
int64_t gato_bytes(const Weights* weights) {
    size_t total = 0;
    for (const Layer& layer : weights->layers)
        total += layer.query.bytes() + layer.key_value.bytes() + layer.out.bytes()
                 + layer.hidden.bytes() + layer.feedforward.bytes();
    return int64_t(total);
}

// Read `count` floats once, for measuring how fast this memory can be read.
float gato_read(const float* from, int64_t count, int threads) {
    float total = 0;
    const int64_t share = count / threads / (8 * LANES) * (8 * LANES);
#pragma omp parallel for num_threads(threads) if (threads > 1) reduction(+ : total)
    for (int part = 0; part < threads; part++) {
        Lane sums[8] = {};
        for (int64_t i = part * share; i < (part + 1) * share; i += 8 * LANES)
            for (int j = 0; j < 8; j++) sums[j] += load(from + i + j * LANES);
        for (const Lane& each : sums) total += sum(each);
    }
    return total;
}

}  // extern "C"
