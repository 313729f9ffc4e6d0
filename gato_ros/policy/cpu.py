"""The fast path on a CPU: the C++ in native/, see compiled.py.

A call holds no lock of the interpreter: other threads of the process run meanwhile.
"""

from __future__ import annotations

import copy
import ctypes
import threading
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gato_ros.compiled import CompileError, compiled
from gato_ros.model.embed import PatchEncoder
from gato_ros.model.gato import Gato
from gato_ros.model.transformer import Block
from gato_ros.policy.engine import EngineError, Place, require_room
from gato_ros.policy.memory import available_memory
from gato_ros.tokens import images
from gato_ros.tokens.context import ContextWindow

SOURCE = Path(__file__).with_name('native') / 'engine.cpp'
WEIGHTS = {'float32': 4, 'bfloat16': 2, 'int8': 1}  # bytes; in the order of native/product.h
WHOLE_RING = 2**21  # bytes of keys and values that stay near a core: rounding them saves no time


class Sizes(ctypes.Structure):
    """As in native/transformer.h."""

    _fields_ = [(name, ctypes.c_int32) for name in (
        'layers', 'width', 'heads', 'key', 'feedforward', 'slots', 'max_distance', 'kind',
        'half_ring', 'threads')]


def layer_weights(block: Block) -> list[Tensor]:
    """Return a layer's weights in the order of native/engine.cpp."""
    attention, feedforward = block.attention, block.feedforward
    return [block.norm1.weight, block.norm1.bias, attention.query.weight,
            attention.key_value.weight, attention.out.weight, attention.content_bias,
            attention.distance_bias, block.norm2.weight, block.norm2.bias,
            feedforward.hidden.weight, feedforward.out.weight]


def encoder_weights(encoder: PatchEncoder) -> list[Tensor | None]:
    """Return the patch encoder's weights in the order of native/engine.cpp, channels last."""
    channels = encoder.stem.out_channels
    return [encoder.stem.weight, encoder.conv1.weight.permute(0, 2, 3, 1),
            encoder.conv2.weight.permute(0, 2, 3, 1),
            encoder.out.weight.unflatten(1, (channels, -1)).transpose(1, 2),
            encoder.stem.bias, encoder.conv1.bias, encoder.conv2.bias, encoder.out.bias,
            encoder.norm1.weight, encoder.norm1.bias, encoder.norm2.weight, encoder.norm2.bias]


class _Weights:
    """A model's weights in panels, however many sequences read them."""

    def __init__(self, model: Gato, kind: int) -> None:
        arch = model.arch
        self.model, self.library = model, _library()
        self._sizes = {'layers': arch.layers, 'width': arch.width, 'heads': arch.heads,
                       'key': arch.key_size, 'feedforward': arch.feedforward,
                       'max_distance': arch.max_distance, 'kind': kind}
        self.handle = ctypes.c_void_p(self.library.gato_weights(ctypes.byref(self.sizes())))
        if not self.handle:
            raise EngineError('memory does not suffice for a second copy of the weights')
        for number, block in enumerate(model.blocks):
            self._copy('gato_layer', number, weights=layer_weights(block))
        self._copy('gato_encoder', arch.patch_channels, arch.patch_groups,
                   weights=encoder_weights(model.embedding.patches))
        self._ends = [_floats(w) for w in (model.embedding.table.weight,
                                           model.embedding.local.weight, model.norm.weight,
                                           model.norm.bias)]  # the first two are only borrowed
        self.library.gato_ends(self.handle, *(w.data_ptr() for w in self._ends))
        self._turning, self._turned = threading.Lock(), set[bool]()

    def __del__(self) -> None:
        if getattr(self, 'handle', None):
            self.library.gato_free_weights(self.handle)

    def sizes(self, **own: int) -> Sizes:
        """Return the sizes of the weights and, where given, those that are a sequence's own."""
        return Sizes(**self._sizes, **own)

    def turn_distances(self, half_ring: bool) -> None:
        """Have the distances as a ring in float16, or in float32, needs them."""
        with self._turning:
            if half_ring in self._turned:
                return
            for number, layer in enumerate(self.model.new_cache(1)):
                distances = _floats(layer.distances)
                if not self.library.gato_distances(self.handle, number, half_ring,
                                                   distances.data_ptr()):
                    raise EngineError('memory does not suffice for the distances')
            self._turned.add(half_ring)

    def _copy(self, function: str, *numbers: int, weights: Sequence[Tensor | None]) -> None:
        floats = [_floats(w) for w in weights]
        if not getattr(self.library, function)(self.handle, *numbers, _pointers(floats)):
            raise EngineError('memory does not suffice for a second copy of the weights')


class NativeEngine:
    """Patch encoder, blocks and head in C++, with weights in panels.

    weights  one of WEIGHTS: how they are kept (sums stay float32); None: bfloat16 where that loses
          nothing, as with a checkpoint that was saved so, else float32. In int8 each input's
          weights are whole numbers times one scale, the head's are bfloat16
    half_ring  keys, values and distances in float16 (sums stay float32); None: beside such
          weights, where they are many
    Raises EngineError without a compiler or memory.
    """

    stride = 1

    def __init__(self, model: Gato, slots: int, weights: str | None = None,
                 half_ring: bool | None = None, threads: int | None = None) -> None:
        if model.device.type != 'cpu':
            raise EngineError(f'the native engine computes on the CPU, the model is on '
                              f'{model.device}')
        if weights is None:
            weights = 'bfloat16' if all(torch.equal(w, w.bfloat16().float()) for part in (
                model.blocks, (model.embedding.table,)) for m in part for w in m.parameters()
                if w.dim() == 2) else 'float32'
        self._model, self._library = model, _library()
        self._kept, self._asked = weights, half_ring
        self._threads = threads or torch.get_num_threads()
        self._places: dict[tuple[bytes, bytes], Tensor] = {}  # what a camera's patches have added
        copied = WEIGHTS[weights] * sum(w.numel() for b in model.blocks for w in b.parameters())
        self._require_room(slots, copied)
        self._weights = _Weights(model, list(WEIGHTS).index(weights))
        self._begin(slots)

    def another(self, slots: int, block: int = 0) -> NativeEngine:
        other = copy.copy(self)
        other._handle = None  # a sequence has one owner
        other._require_room(slots)
        other._begin(slots)
        return other

    def _begin(self, slots: int) -> None:
        """Take memory for a sequence over the weights."""
        half_ring = self._rounds(slots)
        self.name = f'native {self._kept}' + ', float16 ring' * half_ring
        self.bound = 1.5 if self._kept == 'int8' else 0.2 if half_ring else 1e-3
        self._weights.turn_distances(half_ring)
        sizes = self._weights.sizes(slots=slots, half_ring=half_ring, threads=self._threads)
        self._handle: ctypes.c_void_p | None = ctypes.c_void_p(
            self._library.gato_sequence(self._weights.handle, ctypes.byref(sizes)))
        if not self._handle:
            raise EngineError(f'memory does not suffice for a window of {slots} tokens')
        self._ranges: dict[tuple[int, int], int] = {}
        self.passes = 0  # of the last decoding

    def _rounds(self, slots: int) -> bool:
        """Whether a ring of so many slots holds float16."""
        arch = self._model.arch
        if self._asked is not None:
            return self._asked
        return (self._kept != 'float32'
                and 8 * arch.layers * slots * arch.heads * arch.key_size > WHOLE_RING)

    def _require_room(self, slots: int, weights: int = 0) -> None:
        arch = self._model.arch
        rows = 2 * slots + (arch.max_distance if weights else 0)
        ring = (2 if self._rounds(slots) else 4) * arch.layers * arch.heads * arch.key_size * rows
        require_room(weights, ring, available_memory())

    def __del__(self) -> None:
        if getattr(self, '_handle', None):
            self._library.gato_free_sequence(self._handle)

    @property
    def cache_bytes(self) -> int:
        """Bytes of a number in the ring."""
        return self._library.gato_ring_bytes(self._handle)

    @property
    def bytes_per_token(self) -> int:
        """Bytes of weights that one token's pass reads, the output head not counted."""
        return self._library.gato_bytes(self._weights.handle)

    @torch.inference_mode()
    def encode(self, patches: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> Tensor:
        key = rows.tobytes(), columns.tobytes()
        if key not in self._places:
            self._places[key] = self._model.embedding.places(torch.from_numpy(rows),
                                                             torch.from_numpy(columns))
        pictures = self._places[key].clone()
        patches = np.ascontiguousarray(patches)
        self._library.gato_encode(
            self._handle, len(patches), _address(patches, np.uint8), images.PIXEL_SCALE,
            images.PIXEL_OFFSET, pictures.data_ptr())
        return pictures

    def extend(self, ids: np.ndarray, local: np.ndarray, pictures: Tensor, slots: np.ndarray,
               window: ContextWindow) -> None:
        self._library.gato_extend(
            self._handle, len(ids), _address(ids, np.int32), _address(local, np.int32),
            pictures.data_ptr(), _address(slots, np.int64), _address(window.position, np.int64),
            _address(window.visible, np.bool_))

    def decode(self, places: Sequence[Place], slots: np.ndarray, window: ContextWindow,
               temperature: float = 0.0, noise: Sequence[np.ndarray] | None = None,
               logits: Sequence[np.ndarray] | None = None,
               draft: np.ndarray | None = None) -> np.ndarray:
        """Sample as the interface says.

        draft  int32[A], a guess of the ids: the fewer are wrong, the fewer passes it takes. The
               answer does not depend on it.
        """
        ids = np.empty(len(places), np.int32)
        local = np.array([place.local for place in places], np.int32)
        ranges = np.array([self._range(place.low, place.high) for place in places], np.int32)
        self.passes = self._library.gato_decode(
            self._handle, len(places), _address(ranges, np.int32), _address(local, np.int32),
            _address(slots, np.int64), _address(window.position, np.int64),
            _address(window.visible, np.bool_), temperature, _rows(noise),
            None if draft is None else _address(draft, np.int32), _address(ids, np.int32),
            _rows(logits))
        return ids

    def _range(self, low: int, high: int) -> int:
        if (low, high) not in self._ranges:
            number = self._library.gato_range(self._handle, low, high)
            if number < 0:
                raise EngineError('memory does not suffice for the output head')
            self._ranges[low, high] = number
        return self._ranges[low, high]


def read_bandwidth(threads: int = 1, size: int = 2**29, rounds: int = 7) -> float:
    """Measure how many bytes/s this machine reads from memory at best, ``size`` bytes at once."""
    floats, library = np.ones(size // 4, np.float32), _library()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        library.gato_read(_address(floats, np.float32), len(floats), threads)
        times.append(time.perf_counter() - start)
    return size / min(times)


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    """Compile where that has not been done yet, and load."""
    library = ctypes.CDLL(str(build()))
    number, pointer = ctypes.c_int, ctypes.c_void_p
    for name, result, arguments in (
            ('gato_weights', pointer, [pointer]), ('gato_free_weights', None, [pointer]),
            ('gato_sequence', pointer, [pointer, pointer]),
            ('gato_free_sequence', None, [pointer]),
            ('gato_distances', number, [pointer, number, number, pointer]),
            ('gato_layer', number, [pointer, number, pointer]),
            ('gato_encoder', number, [pointer, number, number, pointer]),
            ('gato_encode', None, [pointer, number, pointer, ctypes.c_float, ctypes.c_float,
                                   pointer]),
            ('gato_ends', None, [pointer] * 5), ('gato_range', number, [pointer, number, number]),
            ('gato_extend', None, [pointer, number] + [pointer] * 6),
            ('gato_decode', number, [pointer, number] + [pointer] * 5 + [ctypes.c_float]
             + [pointer] * 4),
            ('gato_ring_bytes', number, [pointer]), ('gato_bytes', ctypes.c_int64, [pointer]),
            ('gato_read', ctypes.c_float, [pointer, ctypes.c_int64, number])):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def build() -> Path:
    """Return the compiled library; raises EngineError when it cannot be made."""
    try:
        return compiled(SOURCE)
    except CompileError as error:
        raise EngineError(str(error)) from error


def _floats(weight: Tensor | None) -> Tensor:
    assert weight is not None
    return weight.detach().float().contiguous()


def _pointers(tensors: Sequence[Tensor]) -> ctypes.Array:
    return (ctypes.c_void_p * len(tensors))(*(t.data_ptr() for t in tensors))


def _rows(arrays: Sequence[np.ndarray] | None) -> ctypes.Array | None:
    if arrays is None:
        return None
    return (ctypes.c_void_p * len(arrays))(*(_address(a, np.float32) for a in arrays))


def _address(array: np.ndarray, dtype: type) -> int:
    """Return where the array's values lie; the caller keeps it alive."""
    if array.dtype != dtype or not array.flags.c_contiguous:
        raise TypeError(f'{array.dtype} array, expected contiguous {np.dtype(dtype)}')
    return array.ctypes.data
