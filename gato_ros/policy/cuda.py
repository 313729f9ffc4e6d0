"""The fast path on a CUDA device: bfloat16, fixed shapes, one graph for each phase of a step.

A step's block is padded to one length, a longer prompt goes through in pieces of that length, and
a decoding is one graph of all its passes and draws, so the host waits once, for the ids. What the
graphs hold is plain functions of buffers that never move: without graphs they run one operation
after the other, on any device, which is how they are tested where there is no GPU.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gato_ros.model.gato import Gato
from gato_ros.policy.engine import EngineError, Place, one_sentence, require_room
from gato_ros.policy.memory import available_memory
from gato_ros.tokens.context import ContextWindow

UNSEEN = -1e30  # not -inf: what pads a block sees nothing, and a softmax of nothing is NaN
PADDING = -1


class CudaEngine:
    """A copy of the weights in ``dtype`` on the model's device, and the phases of a step over it.

    block   tokens of a step's block, to which shorter ones are padded; no fewer than its actions
    dtype   of weights, ring and products; norms and the sum from block to block stay float32
    graphs  capture each phase when it is first run; None: where the device is a CUDA one

    Raises EngineError where memory does not suffice.
    """

    def __init__(self, model: Gato, slots: int, block: int, dtype: torch.dtype = torch.bfloat16,
                 graphs: bool | None = None) -> None:
        device = model.device
        self._graphs = device.type == 'cuda' if graphs is None else graphs
        if self._graphs and device.type != 'cuda':
            raise EngineError(f'CUDA graphs need a CUDA device, the model is on {device}')
        self.name = (f'{device.type} {str(dtype).removeprefix("torch.")}'
                     f'{" in graphs" if self._graphs else ""}')
        self._model, self._device, self._dtype = model, device, dtype
        self.bound = 1e-3 if dtype == torch.float32 else 0.5
        self.cache_bytes = dtype.itemsize
        self._heads: dict[tuple[int, int], Tensor] = {}  # by range of ids
        self._require_memory(_rows(slots), sum(
            w.numel() for part in model.blocks for w in part.parameters()))
        with torch.inference_mode():
            self._layers = self._copy_layers()
        self._begin(slots, block)

    def another(self, slots: int, block: int) -> CudaEngine:
        self._require_memory(_rows(slots))
        other = copy.copy(self)
        other._begin(slots, block)
        return other

    @torch.inference_mode()
    def _begin(self, slots: int, block: int) -> None:
        """Take memory for a sequence over the weights: its ring, and what its graphs hold."""
        arch, device = self._model.arch, self._device
        self._slots, self._block, self._rows = slots, block, _rows(slots)
        self.stride = block  # shorter blocks are padded to it
        self._rings = [torch.zeros(self._rows, 2, arch.heads, arch.key_size, dtype=self._dtype,
                                   device=device) for _ in self._layers]
        self._hidden = torch.zeros(arch.width, device=device)
        self._pictures = torch.zeros(block, arch.width, device=device)
        self._tokens = _Inbox(torch.int64, device, ids=block, local=block, picture=block,
                              slots=block, position=self._rows, visible=self._rows)
        self._prefill = self._phase(self._run_prefill)
        self._encoders: dict[int, _Encoder] = {}
        self._decoders: dict[tuple[Place, ...], _Decoder] = {}

    @property
    def bytes_per_token(self) -> int:
        """Bytes of weights that one token's pass reads, the output head not counted."""
        return sum(w.nbytes for layer in self._layers for w in layer.weights.values())

    @torch.inference_mode()
    def encode(self, patches: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> Tensor:
        count = len(patches)
        if not count:
            return self._pictures[:0]
        if count not in self._encoders:
            encoder = _Encoder(count, self._model.arch.width, self._device)
            encoder.run = self._phase(lambda: self._run_encoder(encoder))
            self._encoders[count] = encoder
        encoder = self._encoders[count]
        encoder.pixels.send(pixels=patches.reshape(-1))
        encoder.places.send(rows=rows.reshape(-1), columns=columns.reshape(-1))
        encoder.run()
        return encoder.pictures.clone()

    @torch.inference_mode()
    def extend(self, ids: np.ndarray, local: np.ndarray, pictures: Tensor, slots: np.ndarray,
               window: ContextWindow) -> None:
        seen = 0  # pictures of the former pieces
        for start in range(0, len(ids), self._block):
            piece = slice(start, start + self._block)
            drawn = ids[piece] < 0
            count, pad = int(drawn.sum()), self._block - len(ids[piece])
            if count:
                self._pictures[:count].copy_(pictures[seen:seen + count])
                seen += count

            def padded(values: np.ndarray, filler: int, pad: int = pad) -> np.ndarray:
                return np.pad(values, (pad, 0), constant_values=filler)  # the last stays the last

            self._tokens.send(
                ids=padded(np.maximum(ids[piece], 0), 0), local=padded(local[piece], 0),
                picture=padded(np.where(drawn, drawn.cumsum() - 1, PADDING), PADDING),
                slots=padded(slots[piece], self._slots), position=window.position,
                visible=window.visible)
            self._prefill()

    @torch.inference_mode()
    def decode(self, places: Sequence[Place], slots: np.ndarray, window: ContextWindow,
               temperature: float = 0.0, noise: Sequence[np.ndarray] | None = None,
               logits: Sequence[np.ndarray] | None = None) -> np.ndarray:
        key = tuple(places)
        if key not in self._decoders:
            decoder = _Decoder(key, self._device, [self._head(place) for place in key])
            decoder.run = self._phase(lambda: self._run_decoder(decoder))
            self._decoders[key] = decoder
        decoder = self._decoders[key]
        self._tokens.send(slots=slots, position=window.position, visible=window.visible)
        # Without noise the temperature changes nothing: one graph for both.
        draws = {f'noise{i}': noise[i] if noise is not None else 0.0 for i in range(len(key))}
        decoder.draws.send(temperature=1.0 if noise is None else temperature, **draws)
        decoder.run()
        ids = decoder.ids.cpu().numpy().astype(np.int32)  # here the host waits
        for wanted, scores in zip(logits or (), decoder.scores, strict=bool(logits)):
            wanted[:] = scores.cpu().numpy()
        return ids

    # What the graphs hold: no shape, no address and no way through depends on a value.

    def _run_encoder(self, encoder: _Encoder) -> None:
        pixels, places = encoder.pixels.there, encoder.places.there
        encoder.pictures.copy_(self._model.embedding.encode(
            pixels['pixels'].view(1, -1, 16, 16, 3), places['rows'].view(-1, 2),
            places['columns'].view(-1, 2))[0])

    def _run_prefill(self) -> None:
        embedding, tokens = self._model.embedding, self._tokens.there
        picture, slots = tokens['picture'], tokens['slots']
        x = torch.where((picture == PADDING)[:, None], embedding.table(tokens['ids']),
                        self._pictures[picture.clamp(min=0)]) + embedding.local(tokens['local'])
        self._hidden.copy_(self._pass(x, slots, *self._reach(slots))[-1])

    def _run_decoder(self, decoder: _Decoder) -> None:
        embedding, draws = self._model.embedding, decoder.draws.there
        slots = self._tokens.there['slots'][:len(decoder.places)]
        index, unseen = self._reach(slots)
        hidden = self._hidden
        for i, place in enumerate(decoder.places):
            scores = decoder.scores[i] = F.linear(hidden.to(self._dtype),
                                                  decoder.heads[i]).float()
            chosen = (scores / draws['temperature'] - draws[f'noise{i}']).argmax(keepdim=True)
            torch.add(chosen, place.low, out=decoder.ids[i:i + 1])
            if i + 1 < len(decoder.places):
                x = embedding.table(decoder.ids[i:i + 1]) + embedding.local.weight[place.local]
                now = slice(i, i + 1)
                hidden = self._pass(x, slots[now], index[now], unseen[now])[0]

    def _reach(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Return distances int64 (T, rows) of T tokens from all slots, and which they cannot see.
        """
        position = self._tokens.there['position']
        distance = position[slots][:, None] - position[None, :]
        unseen = (distance < 0) | (self._tokens.there['visible'] == 0)[None, :]
        return distance.clamp(0, self._model.arch.max_distance - 1), unseen

    def _pass(self, x: Tensor, slots: Tensor, index: Tensor, unseen: Tensor) -> Tensor:
        """Write T embedded tokens into the ring: (T, D) -> hidden states (T, D), float32."""
        arch, width = self._model.arch, (self._model.arch.width,)
        index = index.expand(arch.heads, -1, -1)
        scale = arch.key_size ** -0.5
        for layer, ring in zip(self._layers, self._rings, strict=True):
            w = layer.weights
            y = F.layer_norm(x, width, *layer.norm1).to(self._dtype)
            mixed = F.linear(y, w['mix']).unflatten(-1, (3, arch.heads, -1))  # (T, 3, H, key_size)
            ring.index_copy_(0, slots, mixed[:, 1:])
            keys, values = ring.transpose(0, 2)[:, 0], ring.transpose(0, 2)[:, 1]
            for_content, for_place = mixed[:, 0].transpose(0, 1) + layer.biases
            scores = _product(for_place, layer.distances.transpose(1, 2)).gather(-1, index)
            scores = (scores + _product(for_content, keys.transpose(1, 2))) * scale
            weights = scores.masked_fill_(unseen, UNSEEN).softmax(-1).to(self._dtype)
            x = x + F.linear((weights @ values).transpose(0, 1).flatten(1), w['out'])
            value, gate = F.linear(F.layer_norm(x, width, *layer.norm2).to(self._dtype),
                                   w['hidden']).chunk(2, dim=-1)
            x = x + F.linear(value * F.gelu(gate), w['back'])
        return F.layer_norm(x, width, self._model.norm.weight, self._model.norm.bias)

    def _copy_layers(self) -> list[_Layer]:
        layers = []
        for block, cache in zip(self._model.blocks, self._model.new_cache(1), strict=True):
            attention, feedforward = block.attention, block.feedforward
            weights = {'mix': torch.cat([attention.query.weight, attention.key_value.weight]),
                       'out': attention.out.weight, 'hidden': feedforward.hidden.weight,
                       'back': feedforward.out.weight}
            layers.append(_Layer(
                {name: w.to(self._dtype) for name, w in weights.items()},
                torch.stack([attention.content_bias, attention.distance_bias]).to(self._dtype),
                cache.distances.to(self._dtype), (block.norm1.weight, block.norm1.bias),
                (block.norm2.weight, block.norm2.bias)))
        return layers

    def _head(self, place: Place) -> Tensor:
        """Return the rows of the table that score a place's ids; sequences share them."""
        ids = place.low, place.high
        if ids not in self._heads:
            self._heads[ids] = self._model.embedding.table.weight[slice(*ids)].to(self._dtype)
        return self._heads[ids]

    def _require_memory(self, rows: int, weights: int = 0) -> None:
        arch, size = self._model.arch, self._dtype.itemsize
        rows = 2 * rows + (arch.max_distance if weights else 0)
        free = (torch.cuda.mem_get_info(self._device)[0] if self._device.type == 'cuda'
                else available_memory())
        require_room(weights * size, rows * arch.heads * arch.key_size * arch.layers * size, free,
                     f' on {self._device}')

    def _phase(self, run: Callable[[], None]) -> Callable[[], None]:
        return _Graph(run) if self._graphs else run


def _rows(slots: int) -> int:
    """Return a ring's rows: one at least for padding, and a multiple of 8, which is fast."""
    return (slots + 8) // 8 * 8


def _product(queries: Tensor, keys: Tensor) -> Tensor:
    """Return float32 scores: rounded to bfloat16, whole torques' scores move by three times more.
    """
    if queries.dtype == torch.float32:
        return queries @ keys
    if queries.device.type == 'cuda':
        return torch.bmm(queries, keys, out_dtype=torch.float32)
    return queries.float() @ keys.float()


@dataclass(frozen=True, eq=False)
class _Layer:
    """A layer: products' weights, both biases of queries (2, H, 1, key_size), distances (H, n,
    key_size), and its norms.
    """

    weights: dict[str, Tensor]
    biases: Tensor
    distances: Tensor
    norm1: tuple[Tensor, Tensor]
    norm2: tuple[Tensor, Tensor]


class _Inbox:
    """Named vectors that one copy brings to the device; ``there`` holds them on it."""

    def __init__(self, dtype: torch.dtype, device: torch.device, **sizes: int) -> None:
        on_gpu = device.type == 'cuda'
        host = torch.zeros(sum(sizes.values()), dtype=dtype, pin_memory=on_gpu)
        self._host, self._device = host, host.to(device, copy=True)
        self._gone = torch.cuda.Event() if on_gpu else None
        self.there = dict(zip(sizes, self._device.split(list(sizes.values())), strict=True))
        self._here = {name: part.numpy() for name, part in zip(
            sizes, host.split(list(sizes.values())), strict=True)}

    def send(self, **values: np.ndarray | float) -> None:
        """Copy values to the front of their vectors, a number to a whole one; then send all."""
        if self._gone is not None:
            self._gone.synchronize()  # the former copy still reads what is written here
        for name, value in values.items():
            self._here[name][:np.size(value) if np.ndim(value) else None] = value
        self._device.copy_(self._host, non_blocking=True)
        if self._gone is not None:
            self._gone.record()


def read_bandwidth(device: str, size: int = 2**30, rounds: int = 20) -> float:
    """Measure how many bytes/s the device reads from its memory at best, ``size`` bytes at once.

    Raises EngineError where the device or its memory does not suffice.
    """
    with one_sentence(device):
        numbers = torch.ones(size // 4, device=device)
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        times = []
        for _ in range(rounds):
            start.record()
            numbers.sum()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) * 1e-3)
        return size / min(times)


class _Encoder:
    """Buffers for pictures of one number of patches."""

    run: Callable[[], None]

    def __init__(self, count: int, width: int, device: torch.device) -> None:
        self.pixels = _Inbox(torch.uint8, device, pixels=count * 16 * 16 * 3)
        self.places = _Inbox(torch.int64, device, rows=2 * count, columns=2 * count)
        self.pictures = torch.zeros(count, width, device=device)


class _Decoder:
    """Buffers for a decoding: each place's head, draws, the ids and the scores they come from."""

    run: Callable[[], None]

    def __init__(self, places: tuple[Place, ...], device: torch.device,
                 heads: Sequence[Tensor]) -> None:
        self.places, self.heads = places, heads
        self.draws = _Inbox(torch.float32, device, temperature=1, **{
            f'noise{i}': p.high - p.low for i, p in enumerate(places)})
        self.ids = torch.zeros(len(places), dtype=torch.int64, device=device)
        self.scores = [torch.zeros(0)] * len(places)


class _Graph:
    """A function of buffers that never move, captured when it is first called."""

    def __init__(self, run: Callable[[], None]) -> None:
        self._run = run
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        if self._graph is None:
            self._graph = self._capture()
        self._graph.replay()

    def _capture(self) -> torch.cuda.CUDAGraph:
        aside = torch.cuda.Stream()  # libraries choose their ways and take memory before a capture
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                self._run()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode='thread_local'):
            self._run()
        return graph
