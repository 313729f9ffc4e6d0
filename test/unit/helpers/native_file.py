"""What an eager engine is asked, written for native_main.cpp."""

import numpy as np
import torch

from gato_ros.policy.cpu import WEIGHTS, encoder_weights, layer_weights
from gato_ros.policy.eager import EagerEngine
from gato_ros.tokens import images


class WritingEngine(EagerEngine):
    """Answers, and writes into an open file the weights and all that it was asked."""

    def __init__(self, model, slots, file, weights='float32', half_ring=False):
        super().__init__(model, slots)
        self._file, arch = file, model.arch
        self._int32(arch.layers, arch.width, arch.heads, arch.key_size, arch.feedforward, slots,
                    arch.max_distance, list(WEIGHTS).index(weights), half_ring, 1)
        table, local = model.embedding.table.weight, model.embedding.local.weight
        self._int32(arch.patch_channels, arch.patch_groups, len(table), len(local))
        for block, cache in zip(model.blocks, self._cache, strict=True):
            self._floats(*layer_weights(block), cache.distances)
        self._floats(*encoder_weights(model.embedding.patches), table, local, model.norm.weight,
                     model.norm.bias)

    def encode(self, patches, rows, columns):
        if len(patches):
            self._int32(1, len(patches))
            self._file.write(np.array([images.PIXEL_SCALE, images.PIXEL_OFFSET], np.float32))
            self._file.write(np.ascontiguousarray(patches))
            self._floats(self._model.embedding.places(torch.from_numpy(rows),
                                                      torch.from_numpy(columns)))
        return super().encode(patches, rows, columns)

    def extend(self, ids, local, pictures, slots, window):
        if not self._decoding:
            self._int32(2, len(ids), *ids, *local, *ids)
            self._window(slots, window)
        super().extend(ids, local, pictures, slots, window)

    _decoding = False

    def decode(self, places, slots, window, *how):
        self._int32(3, len(places), *(p.local for p in places), *(p.low for p in places),
                    *(p.high for p in places))
        self._window(slots, window)
        self._decoding = True
        answer = super().decode(places, slots, window, *how)
        self._decoding = False
        return answer

    def close(self):
        """Say that there are no more calls."""
        self._int32(0)

    def _window(self, slots, window):
        for numbers in (slots.astype(np.int64), window.position, window.visible):
            self._file.write(np.ascontiguousarray(numbers))

    def _int32(self, *numbers):
        self._file.write(np.array(numbers, np.int32))

    def _floats(self, *tensors):
        for tensor in tensors:
            self._file.write(tensor.detach().float().contiguous().numpy())
