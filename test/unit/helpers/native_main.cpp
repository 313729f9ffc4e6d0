// The engine without Python, for processors other than this one's: weights and calls come from a
// file, as native_file.py writes them; ids and scores of each decoding go into another.

#include <cstdio>

#include "engine.cpp"

namespace {

FILE* from;

template <class Number>
std::vector<Number> take(size_t count) {
    std::vector<Number> numbers(count);
    if (std::fread(numbers.data(), sizeof(Number), count, from) != count) std::exit(2);
    return numbers;
}
int number() { return take<int32_t>(1)[0]; }

// Take one array of float32 for each size, and hand their addresses over.
template <class Use>
void arrays(std::initializer_list<int> sizes, Use use) {
    std::vector<std::vector<float>> held;
    std::vector<const float*> where;
    for (int size : sizes) {
        held.push_back(take<float>(size));
        where.push_back(held.back().data());
    }
    use(where.data());
}

}  // namespace

int main(int, char** argv) {
    from = std::fopen(argv[1], "rb");
    FILE* to = std::fopen(argv[2], "wb");
    const Sizes s = take<Sizes>(1)[0];
    const int inner = s.heads * s.key, half = s.feedforward / 2, channels = number(),
              groups = number(), ids = number(), places = number();
    Weights* weights = gato_weights(&s);
    for (int i = 0; i < s.layers; i++) {
        arrays({s.width, s.width, inner * s.width, 2 * inner * s.width, s.width * inner, inner,
                inner, s.width, s.width, s.feedforward * s.width, s.width * half},
               [&](auto p) { gato_layer(weights, i, p); });
        arrays({inner * s.max_distance},
               [&](auto p) { gato_distances(weights, i, s.half_ring, p[0]); });
    }
    arrays({channels * 48, 9 * channels * channels, 9 * channels * channels,
            16 * channels * s.width, channels, channels, channels, s.width, channels, channels,
            channels, channels},
           [&](auto p) { gato_encoder(weights, channels, groups, p); });
    const auto table = take<float>(size_t(ids) * s.width), local = take<float>(places * s.width),
               gain = take<float>(s.width), shift = take<float>(s.width);
    gato_ends(weights, table.data(), local.data(), gain.data(), shift.data());
    Sequence* sequence = gato_sequence(weights, &s);
    std::vector<float> pictures;
    for (int call = number(); call; call = number()) {
        const int count = number();
        if (call == 1) {  // encode: pixels' scale and offset, patches, what is added
            const auto how = take<float>(2);
            const auto patches = take<uint8_t>(size_t(count) * 768);
            pictures = take<float>(size_t(count) * s.width);
            gato_encode(sequence, count, patches.data(), how[0], how[1], pictures.data());
            continue;
        }
        const auto first = take<int32_t>(count), second = take<int32_t>(count),
                   third = take<int32_t>(count);  // ids, rows; or rows, ranges' ends
        const auto slots = take<int64_t>(count), position = take<int64_t>(s.slots);
        const auto visible = take<uint8_t>(s.slots);
        if (call == 2) {
            gato_extend(sequence, count, first.data(), second.data(), pictures.data(),
                        slots.data(), position.data(), visible.data());
            continue;
        }
        std::vector<int32_t> ranges, answer(count);
        std::vector<std::vector<float>> scores;
        std::vector<float*> rows;
        for (int i = 0; i < count; i++) {
            ranges.push_back(gato_range(sequence, second[i], third[i]));
            scores.emplace_back(third[i] - second[i]);
        }
        for (auto& row : scores) rows.push_back(row.data());
        gato_decode(sequence, count, ranges.data(), first.data(), slots.data(), position.data(),
                    visible.data(), 1.0f, nullptr, nullptr, answer.data(), rows.data());
        std::fwrite(answer.data(), 4, count, to);
        for (auto& row : scores) std::fwrite(row.data(), 4, row.size(), to);
    }
    std::fclose(to);
    return 0;
}
