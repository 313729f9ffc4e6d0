// The blocks of model/transformer.py: weights that any number of sequences share, and one sequence
// with its ring of keys and values.
//
// Keys and distances stand in panels like weights, so all of attention is products of one kind.
#pragma once

#include <list>
#include <mutex>

#include "encoder.h"

namespace {

// Numbers in float32, in Short, or in both.
struct Table {
    Floats full;
    Numbers<Short> half;

    void make(size_t size, bool rounded) {
        rounded && sizeof(Short) == 2 ? half.resize(size) : full.resize(size);
    }
    template <class Number>
    Number* data() {
        if constexpr (std::is_same<Number, float>::value) return full.data();
        else return half.data();
    }
    template <class Number>
    const Number* data() const { return const_cast<Table*>(this)->data<Number>(); }
    template <class Number>
    bool far() const {
        const size_t bytes = std::is_same<Number, float>::value ? full.size() * 4
                                                                : half.size() * 2;
        return bytes >= FAR_SIZE;
    }
};

struct Layer {
    Norm norm1, norm2;
    Matrix query, key_value, out, hidden, feedforward;
    Floats content_bias, distance_bias;  // (H, key)
    Floats out_scales, gate_scales;  // what the inputs of `out` and `feedforward` carry
    Table distances;  // of each head, the largest first, in panels, as the rings need them
};

struct Ring {  // of a layer
    Table keys, values;  // in panels of slots, and of the key's columns
};

struct Run {  // neighbouring slots that hold neighbouring positions
    int slot, length;
    int64_t position;
};

struct Sizes {  // as in cpu.py
    int32_t layers, width, heads, key, feedforward, slots, max_distance, kind, half_ring, threads;
};

struct Range {
    int low, high;
    Matrix head;
};

// Only read by sequences, but for what they add when they first need it, one at a time.
struct Weights {
    const Sizes size;  // slots, half_ring and threads are a sequence's own matter
    const int reach;   // distances in whole panels
    std::vector<Layer> layers;
    std::list<Range> ranges;
    EncoderWeights encoder;
    Norm norm;
    const float *table = nullptr, *local = nullptr;  // the caller's, (V, D) and (positions, D)
    std::mutex adding;

    explicit Weights(const Sizes& size)
        : size(size), reach(padded(size.max_distance, PANEL)), layers(size.layers) {}
};

struct Sequence {
    static constexpr int BLOCK = 24 / TILE * TILE;  // tokens whose scores are held at once
    Weights& weights;
    const Sizes size;
    int inner, room, reach;  // room: slots in whole panels; reach: distances in whole panels
    int value_wide, value_panels;  // registers of a panel of values, and how many panels
    std::vector<Ring> rings;
    std::vector<const Range*> ranges;  // by the numbers that the caller has for them
    Encoder encoder;
    Floats x, normed, queries, fresh, mixed, wide, gated, last, logits, scratch;
    std::vector<Run> runs;
    std::vector<uint8_t> wanted_slots, wanted_distances;  // panels that hold any that count
    size_t scratch_size;  // of one thread

    Sequence(Weights& weights, const Sizes& size)
        : weights(weights), size(size), encoder(weights.encoder) {
        const Sizes& s = size;
        inner = s.heads * s.key;
        room = padded(s.slots, PANEL);
        reach = weights.reach;
        value_wide = s.key <= LANES ? 1 : s.key <= 2 * LANES ? 2 : 4;
        value_panels = padded(s.key, value_wide * LANES) / (value_wide * LANES);
        rings.resize(s.layers);
        for (Ring& ring : rings) {
            ring.keys.make(size_t(inner) * room, s.half_ring);
            ring.values.make(size_t(s.heads) * value_panels * s.slots * value_wide * LANES,
                             s.half_ring);
        }
        wanted_slots.resize(room / PANEL);
        wanted_distances.resize(reach / PANEL);
        scratch_size = size_t(BLOCK) * (2 * s.key + room + reach + 2 * LANES);
        scratch.resize(scratch_size * s.threads);
        x.resize(size_t(s.slots) * s.width);
        normed.resize(x.size());
        queries.resize(size_t(s.slots) * inner);
        fresh.resize(size_t(s.slots) * 2 * inner);
        mixed.resize(queries.size());
        wide.resize(size_t(s.slots) * s.feedforward);
        gated.resize(wide.size() / 2);
        last.resize(x.size());
        runs.reserve(s.slots);
    }

    void find_runs(const int64_t* position, const uint8_t* visible) {
        runs.clear();
        for (int slot = 0; slot < size.slots; slot++) {
            if (!visible[slot]) continue;
            if (!runs.empty() && runs.back().slot + runs.back().length == slot
                && runs.back().position + runs.back().length == position[slot])
                runs.back().length++;
            else
                runs.push_back({slot, 1, position[slot]});
        }
    }

    // Mark the panels of slots and of distances that tokens at positions first ... last need.
    void find_panels(int64_t first, int64_t last) {
        const int64_t limit = size.max_distance - 1;
        std::fill(wanted_slots.begin(), wanted_slots.end(), 0);
        std::fill(wanted_distances.begin(), wanted_distances.end(), 0);
        for (const Run& run : runs) {
            for (int p = run.slot / PANEL; p <= (run.slot + run.length - 1) / PANEL; p++)
                wanted_slots[p] = 1;
            int64_t farthest = std::clamp<int64_t>(last - run.position, 0, limit);
            int64_t nearest = std::clamp<int64_t>(first - run.position - run.length + 1, 0, limit);
            for (int64_t p = (limit - farthest) / PANEL; p <= (limit - nearest) / PANEL; p++)
                wanted_distances[p] = 1;
        }
    }

    // Turn contents' and distances' scores of one token into its weights, by slot; return what
    // they add up to.
    float weigh(int64_t position, float* scores, const float* places) const {
        const int64_t limit = size.max_distance - 1;
        float largest = -1e30f, total = 0;
        Lane largests = Lane{} + largest;
        for (const Run& run : runs) {
            int64_t distance = position - run.position;
            int length = int(std::clamp<int64_t>(distance + 1, 0, run.length));
            // Distances beyond the largest count as the largest.
            int beyond = int(std::clamp<int64_t>(distance - limit, 0, length));
            float* s = scores + run.slot;
            const float* place = places + (limit - distance);
            for (int i = 0; i < beyond; i++) s[i] += places[0];
            for (int i = beyond; i < length; i++) s[i] += place[i];
            int i = 0;
            for (; i + LANES <= length; i += LANES) {
                Lane score = load(s + i);
                largests = score > largests ? score : largests;
            }
            for (; i < length; i++) largest = std::max(largest, s[i]);
        }
        for (int i = 0; i < LANES; i++) largest = std::max(largest, largests[i]);
        for (const Run& run : runs) {
            int length = int(std::clamp<int64_t>(position - run.position + 1, 0, run.length));
            float* s = scores + run.slot;
            Lane sums = {};
            int i = 0;
            for (; i + LANES <= length; i += LANES) {
                Lane weight = exponential(load(s + i) - largest);
                store(s + i, weight);
                sums += weight;
            }
            if (i < length) {
                Lane weight = exponential(load(s + i) - largest);
                for (int j = 0; j < length - i; j++) total += s[i + j] = weight[j];
            }
            total += sum(sums);
            std::fill(s + length, s + run.length, 0.0f);  // what comes after the token
        }
        return total;
    }

    template <int WIDE, class Number>
    void mix(const Number* values, bool far, const float* weights, int tokens,
             float* answers) const {
        for (int p = 0; p < value_panels; p++)
            for (const Run& run : runs)
                several<WIDE>(values + (size_t(p) * size.slots + run.slot) * WIDE * LANES,
                              weights + run.slot, room + LANES, tokens, run.length,
                              answers + p * WIDE * LANES, inner,
                              std::min(WIDE * LANES, size.key - p * WIDE * LANES), true, far);
    }

    // One head's answers (tokens, key) to queries, both with rows of `inner`.
    template <class Number>
    void attend(const Layer& layer, const Ring& ring, int head, const float* queries,
                const int64_t* slots, const int64_t* position, int tokens, float* scratch,
                float* answers) const {
        const int key = size.key, score_row = room + LANES, place_row = reach + LANES;
        const float scale = 1 / std::sqrt(float(key));
        const float* content_bias = layer.content_bias.data() + size_t(head) * key;
        const float* distance_bias = layer.distance_bias.data() + size_t(head) * key;
        const float* scales = layer.out_scales.data() + size_t(head) * key;
        const Number* keys = ring.keys.data<Number>() + size_t(head) * room * key;
        const Number* places_by_distance = layer.distances.data<Number>()
                                           + size_t(head) * reach * key;
        const Number* values = ring.values.data<Number>()
                               + size_t(head) * value_panels * size.slots * value_wide * LANES;
        float *contents = scratch, *distances = contents + BLOCK * key,
              *scores = distances + BLOCK * key, *places = scores + size_t(BLOCK) * score_row;
        const int blocks = (tokens + BLOCK - 1) / BLOCK;  // as equal as can be
        const int most = padded((tokens + blocks - 1) / blocks, TILE);
        for (int first = 0; first < tokens; first += most) {
            int count = std::min(most, tokens - first);
            for (int t = 0; t < count; t++)
                for (int d = 0; d < key; d++) {
                    float query = queries[size_t(first + t) * inner + d];
                    contents[t * key + d] = (query + content_bias[d]) * scale;
                    distances[t * key + d] = (query + distance_bias[d]) * scale;
                }
            for (int p = 0; p < room / PANEL; p++)
                if (wanted_slots[p])
                    several<4>(keys + size_t(p) * PANEL * key, contents, key, count, key,
                               scores + p * PANEL, score_row, PANEL, false,
                               ring.keys.far<Number>());
            for (int p = 0; p < reach / PANEL; p++)
                if (wanted_distances[p])
                    several<4>(places_by_distance + size_t(p) * PANEL * key, distances, key,
                               count, key, places + p * PANEL, place_row, PANEL, false,
                               layer.distances.far<Number>());
            float shares[BLOCK];
            for (int t = 0; t < count; t++)
                shares[t] = 1 / weigh(position[slots[first + t]], scores + size_t(t) * score_row,
                                      places + size_t(t) * place_row);
            float* answer = answers + size_t(first) * inner;
            for (int t = 0; t < count; t++) std::fill_n(answer + size_t(t) * inner, key, 0.0f);
            const bool far = ring.values.far<Number>();
            value_wide == 1   ? mix<1>(values, far, scores, count, answer)
            : value_wide == 2 ? mix<2>(values, far, scores, count, answer)
                              : mix<4>(values, far, scores, count, answer);
            for (int t = 0; t < count; t++)
                for (int d = 0; d < key; d++)
                    answer[size_t(t) * inner + d] *= shares[t] * scales[d];
        }
    }

    template <class Number>
    void remember(Ring& ring, const int64_t* slots, int tokens) {
        const int width = value_wide * LANES, key = size.key;
        for (int t = 0; t < tokens; t++)
            for (int head = 0; head < size.heads; head++) {
                const int64_t slot = slots[t];
                const float* from = fresh.data() + size_t(t) * 2 * inner + size_t(head) * key;
                Number* to = ring.keys.data<Number>()
                             + (size_t(head) * room + slot / PANEL * PANEL) * key + slot % PANEL;
                for (int d = 0; d < key; d++) to[size_t(d) * PANEL] = from[d];
                from += inner;
                for (int p = 0; p < value_panels; p++) {
                    to = ring.values.data<Number>()
                         + ((size_t(head) * value_panels + p) * size.slots + slot) * width;
                    std::copy(from + p * width, from + std::min(key, (p + 1) * width), to);
                }
            }
    }

    // Append tokens that are embedded in x; the normed hidden states of the last `wanted` ones are
    // left in `last`.
    void extend(const int64_t* slots, const int64_t* position, int tokens, int wanted = 1) {
        const int width = size.width, half = size.feedforward / 2, threads = size.threads;
        const auto attend = size.half_ring ? &Sequence::attend<Short>
                                           : &Sequence::attend<float>;
        find_panels(position[slots[0]], position[slots[tokens - 1]]);
        for (int number = 0; number < size.layers; number++) {
            const Layer& layer = weights.layers[number];
            Ring& ring = rings[number];
            layer.norm1.apply(x.data(), tokens, normed.data());
            layer.key_value.apply(normed.data(), tokens, fresh.data(), threads);
            size.half_ring ? remember<Short>(ring, slots, tokens)
                           : remember<float>(ring, slots, tokens);
            // Nothing after the last layer reads the other tokens.
            int first = number + 1 == size.layers ? tokens - wanted : 0, count = tokens - first;
            float* residual = x.data() + size_t(first) * width;
            layer.query.apply(normed.data() + size_t(first) * width, count, queries.data(),
                              threads);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
            for (int part = 0; part < threads; part++)
                for (int head = part; head < size.heads; head += threads) {
                    size_t place = size_t(head) * size.key;
                    (this->*attend)(layer, ring, head, queries.data() + place, slots + first,
                                    position, count, scratch.data() + part * scratch_size,
                                    mixed.data() + place);
                }
            layer.out.apply(mixed.data(), count, residual, threads, true);
            layer.norm2.apply(residual, count, normed.data());
            layer.hidden.apply(normed.data(), count, wide.data(), threads);
            for (int t = 0; t < count; t++) {
                const float* value = wide.data() + size_t(t) * size.feedforward;
                float* product = gated.data() + size_t(t) * half;
                std::copy_n(value + half, half, product);
                gelu(product, half);
                for (int i = 0; i < half; i++) product[i] *= value[i] * layer.gate_scales[i];
            }
            layer.feedforward.apply(gated.data(), count, residual, threads, true);
        }
        weights.norm.apply(x.data() + size_t(tokens - wanted) * width, wanted,
                           last.data());
    }

    void embed(float* out, int32_t id, const float* picture, int32_t row) const {
        const float* token = picture ? picture : weights.table + size_t(id) * size.width;
        const float* place = weights.local + size_t(row) * size.width;
        for (int i = 0; i < size.width; i++) out[i] = token[i] + place[i];
    }
};

}  // namespace
