// The residual patch encoder of model/embed.py.
#pragma once

#include "product.h"

namespace {

struct EncoderWeights {
    int channels = 0, groups = 0, width = 0;
    Matrix stem, conv1, conv2, out;
    Floats stem_bias, conv1_bias, conv2_bias, out_bias, gain1, shift1, gain2, shift2;
};

// Cells are rows, channels lie side by side.
struct Encoder {
    static constexpr int PATCH = 16, CELL = 4, SIDE = PATCH / CELL, CELLS = SIDE * SIDE;
    const EncoderWeights& weights;
    const int channels, width;
    Floats cells, normed, around;  // (patches, CELLS, channels), (CELLS, channels), 9 times that

    explicit Encoder(const EncoderWeights& weights)
        : weights(weights), channels(weights.channels), width(weights.width) {
        normed.resize(CELLS * channels);
        around.resize(size_t(CELLS) * std::max(9 * channels, 48));
    }

    void normalise(const float* from, const Floats& gain, const Floats& shift) {
        const int each = channels / weights.groups;
        for (int g = 0; g < weights.groups; g++) {
            float mean = 0, square = 0;
            for (int cell = 0; cell < CELLS; cell++)
                for (int c = g * each; c < (g + 1) * each; c++) mean += from[cell * channels + c];
            mean /= CELLS * each;
            for (int cell = 0; cell < CELLS; cell++)
                for (int c = g * each; c < (g + 1) * each; c++) {
                    float gap = from[cell * channels + c] - mean;
                    square += gap * gap;
                }
            float scale = 1 / std::sqrt(square / (CELLS * each) + 1e-5f);
            for (int cell = 0; cell < CELLS; cell++)
                for (int c = g * each; c < (g + 1) * each; c++)
                    normed[cell * channels + c] =
                        (from[cell * channels + c] - mean) * scale * gain[c] + shift[c];
        }
        gelu(normed.data(), normed.size());
    }

    // Lay every cell's 3 x 3 neighbours side by side, zeros outside.
    void gather() {
        for (int row = 0; row < SIDE; row++)
            for (int column = 0; column < SIDE; column++)
                for (int k = 0; k < 9; k++) {
                    int r = row + k / 3 - 1, c = column + k % 3 - 1;
                    float* to = around.data() + ((row * SIDE + column) * 9 + k) * channels;
                    if (r < 0 || c < 0 || r >= SIDE || c >= SIDE)
                        std::fill(to, to + channels, 0.0f);
                    else
                        std::copy_n(normed.data() + (r * SIDE + c) * channels, channels, to);
                }
    }

    void fill(float* to, const Floats& bias) const {
        for (int cell = 0; cell < CELLS; cell++) std::copy(bias.begin(), bias.end(),
                                                           to + cell * channels);
    }

    // All of one patch, uint8 (16, 16, 3), but the last product: x (CELLS, channels).
    void encode(const uint8_t* patch, float scale, float offset, float* x) {
        for (int cell = 0; cell < CELLS; cell++)  // pixels of a cell in the stem's order
            for (int colour = 0; colour < 3; colour++)
                for (int i = 0; i < CELL * CELL; i++) {
                    int row = cell / SIDE * CELL + i / CELL, column = cell % SIDE * CELL + i % CELL;
                    around[(cell * 3 + colour) * CELL * CELL + i] =
                        patch[(row * PATCH + column) * 3 + colour] * scale + offset;
                }
        fill(x, weights.stem_bias);
        weights.stem.apply(around.data(), CELLS, x, 1, true);
        normalise(x, weights.gain1, weights.shift1);
        gather();
        fill(normed.data(), weights.conv1_bias);
        weights.conv1.apply(around.data(), CELLS, normed.data(), 1, true);
        // Reads each group whole before it writes it.
        normalise(normed.data(), weights.gain2, weights.shift2);
        gather();
        for (int cell = 0; cell < CELLS; cell++)
            for (int c = 0; c < channels; c++) x[cell * channels + c] += weights.conv2_bias[c];
        weights.conv2.apply(around.data(), CELLS, x, 1, true);
    }

    // Add the encodings of patches, uint8 (count, 16, 16, 3), to `answers` (count, width).
    void encode(int count, const uint8_t* patches, float scale, float offset, float* answers,
                int threads) {
        const int size = CELLS * channels;
        if (cells.size() < size_t(count) * size) cells.resize(size_t(count) * size);
        for (int i = 0; i < count; i++) {
            encode(patches + size_t(i) * PATCH * PATCH * 3, scale, offset,
                   cells.data() + size_t(i) * size);
            for (int d = 0; d < width; d++) answers[size_t(i) * width + d] += weights.out_bias[d];
        }
        weights.out.apply(cells.data(), count, answers, threads, true);
    }
};

}  // namespace
