"""The fast path on a CUDA device: bfloat16, fixed shapes, one graph for a whole step.

A step's block is padded to one length, a longer prompt goes through in pieces of that length, and
a decoding is all of its passes and draws, so the host waits once, for the ids. Pictures, block and
decoding of an action are one graph, with one copy in and one out; words have graphs of their own
for blocks and tokens. What the graphs hold is plain functions of buffers that never move: without
graphs they run one operation after the other, on any device, which is how they are tested where
there is no GPU. A token's pass is six kernels a layer (kernels.py) where Triton works, else some
thirty of torch's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gato_ros.model.gato import Gato
from gato_ros.policy.device import Graph, Inbox
from gato_ros.policy.engine import EngineError, Place, Seen, require_room
from gato_ros.policy.memory import available_memory
from gato_ros.tokens.context import ContextWindow

UNSEEN = -1e30  # not -inf: what pads a block sees nothing, and a softmax of nothing is NaN
PADDING = -1

Parts = dict[str, tuple[torch.dtype, int]]
Buffers = Mapping[str, Tensor]


class CudaEngine:
    """A copy of the weights in ``dtype`` on the model's device, and the phases of a step over it.

    block   tokens of a step's block, to which shorter ones are padded; no fewer than its actions
    dtype   of weights, ring and products; norms and the sum from block to block stay float32
    graphs  capture each phase when it is first run; None: where the device is a CUDA one
    kernels  take a token through a layer in six kernels; None: where the device is a CUDA one and
             they compile
    slower  why it is without kernels on a CUDA device, '' where it is not

    Raises EngineError where memory does not suffice, or kernels are asked for that do not work.
    """

    def __init__(self, model: Gato, slots: int, block: int, dtype: torch.dtype = torch.bfloat16,
                 graphs: bool | None = None, kernels: bool | None = None) -> None:
        device = model.device
        self._graphs = device.type == 'cuda' if graphs is None else graphs
        if self._graphs and device.type != 'cuda':
            raise EngineError(f'CUDA graphs need a CUDA device, the model is on {device}')
        self._model, self._device, self._dtype = model, device, dtype
        self._kernels, self.slower = _kernels(device, kernels)
        self.name = (f'{device.type} {str(dtype).removeprefix("torch.")}'
                     f'{", six kernels a layer" if self._kernels else ""}'
                     f'{" in graphs" if self._graphs else ""}')
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
        arch, device, norm = self._model.arch, self._device, self._model.norm
        self._slots, self._block, self._rows = slots, block, _rows(slots)
        self.stride = block  # shorter blocks are padded to it
        self._rings = [torch.zeros(self._rows, 2, arch.heads, arch.key_size, dtype=self._dtype,
                                   device=device) for _ in self._layers]
        self._token = self._kernels and self._kernels.TokenPass(self._layers, self._rings,
                                                                (norm.weight, norm.bias))
        self._hidden = torch.zeros(arch.width, device=device)  # before the last norm
        self._pictures = torch.zeros(block, arch.width, device=device)
        self._tokens = Inbox(device, **self._block_parts(), **self._window_parts())
        self._prefill = self._phase(lambda: self._run_block(self._tokens.there, self._pictures))
        self._encoders: dict[int, _Work] = {}
        self._decoders: dict[tuple[Place, ...], _Work] = {}
        self._steps: dict[tuple[int, tuple[Place, ...]], _Work] = {}

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
            work = _Work(Inbox(self._device, **_picture_parts(count)),
                         torch.zeros(count, self._model.arch.width, device=self._device))
            work.run = self._phase(lambda: self._run_encoder(work.inbox.there, work.answer))
            self._encoders[count] = work
        work = self._encoders[count]
        work.inbox.send(**_pixels(patches, rows, columns))
        work.run()
        return work.answer.clone()

    @torch.inference_mode()
    def extend(self, ids: np.ndarray, local: np.ndarray, pictures: Tensor, slots: np.ndarray,
               window: ContextWindow) -> None:
        seen = 0  # pictures of the former pieces
        for start in range(0, len(ids), self._block):
            piece = slice(start, start + self._block)
            count = int((ids[piece] < 0).sum())
            if count:
                self._pictures[:count].copy_(pictures[seen:seen + count])
                seen += count
            self._tokens.send(**self._padded(ids[piece], local[piece], slots[piece]),
                              **_places_of(window))
            self._prefill()

    @torch.inference_mode()
    def decode(self, places: Sequence[Place], slots: np.ndarray, window: ContextWindow,
               temperature: float = 0.0, noise: Sequence[np.ndarray] | None = None,
               logits: Sequence[np.ndarray] | None = None) -> np.ndarray:
        key = tuple(places)
        if key not in self._decoders:
            work = _Work(Inbox(self._device, **self._window_parts(), **_draw_parts(key)),
                         *self._answers(key))
            work.run = self._phase(lambda: self._run_decoder(work.inbox.there, key, work))
            self._decoders[key] = work
        work = self._decoders[key]
        work.inbox.send(acts=slots, **_places_of(window), **_draws(key, temperature, noise))
        work.run()
        ids = work.answer.cpu().numpy().astype(np.int32)  # here the host waits
        for wanted, scores in zip(logits or (), work.scores, strict=bool(logits)):
            wanted[:] = scores.cpu().numpy()
        return ids

    @torch.inference_mode()
    def step(self, seen: Seen, ids: np.ndarray, local: np.ndarray, slots: np.ndarray,
             places: Sequence[Place], acts: np.ndarray, window: ContextWindow,
             temperature: float = 0.0, noise: Sequence[np.ndarray] | None = None) -> np.ndarray:
        if len(ids) > self._block:
            self.extend(ids, local, self.encode(*seen), slots, window)
            return self.decode(places, acts, window, temperature, noise)
        count = len(seen[0])
        key = count, tuple(places)
        if key not in self._steps:
            work = _Work(Inbox(self._device, **self._block_parts(), **self._window_parts(),
                               **_draw_parts(key[1]), **_picture_parts(count)),
                         *self._answers(key[1]))
            work.run = self._phase(lambda: self._run_step(work.inbox.there, key[1], work))
            self._steps[key] = work
        work = self._steps[key]
        work.inbox.send(**_pixels(*seen), **self._padded(ids, local, slots), acts=acts,
                        **_places_of(window), **_draws(key[1], temperature, noise))
        work.run()
        return work.answer.cpu().numpy().astype(np.int32)  # here the host waits

    # What the graphs hold: no shape, no address and no way through depends on a value.

    def _run_step(self, there: Buffers, places: Sequence[Place], work: _Work) -> None:
        pictures = self._pictures
        if len(there['pixels']):
            self._run_encoder(there, pictures[:len(there['rows']) // 2])
        self._run_block(there, pictures)
        self._run_decoder(there, places, work)

    def _run_encoder(self, there: Buffers, pictures: Tensor) -> None:
        pictures.copy_(self._model.embedding.encode(
            there['pixels'].view(1, -1, 16, 16, 3), there['rows'].view(-1, 2),
            there['columns'].view(-1, 2))[0])

    def _run_block(self, there: Buffers, pictures: Tensor) -> None:
        embedding, picture = self._model.embedding, there['picture']
        x = torch.where((picture == PADDING)[:, None], embedding.table(there['ids']),
                        pictures[picture.clamp(min=0)]) + embedding.local(there['local'])
        self._hidden.copy_(self._pass(x, there['slots'], *self._reach(there, there['slots']))[-1])

    def _run_decoder(self, there: Buffers, places: Sequence[Place], work: _Work) -> None:
        embedding, norm, token = self._model.embedding, self._model.norm, self._token
        slots, heads = there['acts'], work.heads
        hidden = self._hidden
        if token:
            token.x.copy_(hidden)
        else:
            index, unseen = self._reach(there, slots)
        for i, place in enumerate(places):
            drawn, noise, now = work.answer[i:i + 1], there[f'noise{i}'], slice(i, i + 1)
            local, scores = embedding.local.weight[place.local], work.scores[i]
            if token:
                token.score(heads[i], scores)
                token.draw(scores, there['temperature'], noise, place.low,
                           embedding.table.weight, local, drawn)
                if i + 1 < len(places):
                    token.run(slots[now], there['position'], there['visible'])
                continue
            normed = F.layer_norm(hidden, hidden.shape, norm.weight, norm.bias)
            scores.copy_(F.linear(normed.to(self._dtype), heads[i]))
            chosen = (scores / there['temperature'] - noise).argmax(keepdim=True)
            torch.add(chosen, place.low, out=drawn)
            if i + 1 < len(places):
                hidden = self._pass(embedding.table(drawn) + local, slots[now], index[now],
                                    unseen[now])[0]

    def _reach(self, there: Buffers, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Return distances int64 (T, rows) of T tokens from all slots, and which they cannot see.
        """
        position = there['position']
        distance = position[slots][:, None] - position[None, :]
        unseen = (distance < 0) | (there['visible'] == 0)[None, :]
        return distance.clamp(0, self._model.arch.max_distance - 1), unseen

    def _pass(self, x: Tensor, slots: Tensor, index: Tensor, unseen: Tensor) -> Tensor:
        """Write T embedded tokens into the ring: (T, D) -> hidden (T, D) before the last norm."""
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
        return x

    def _window_parts(self) -> Parts:
        return dict.fromkeys(('position', 'visible'), (torch.int64, self._rows))

    def _block_parts(self) -> Parts:
        return dict.fromkeys(('ids', 'local', 'picture', 'slots'), (torch.int64, self._block))

    def _padded(self, ids: np.ndarray, local: np.ndarray, slots: np.ndarray
                ) -> dict[str, np.ndarray]:
        """Return a block's vectors with padding in front: the last token stays the last."""
        drawn, pad = ids < 0, (self._block - len(ids), 0)
        return {'ids': np.pad(np.maximum(ids, 0), pad), 'local': np.pad(local, pad),
                'picture': np.pad(np.where(drawn, drawn.cumsum() - 1, PADDING), pad,
                                  constant_values=PADDING),
                'slots': np.pad(slots, pad, constant_values=self._slots)}

    def _answers(self, places: Sequence[Place]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Take memory for ids of places, int64 (A,), and their scores; return these and heads."""
        return (torch.zeros(len(places), dtype=torch.int64, device=self._device),
                [torch.zeros(place.high - place.low, device=self._device) for place in places],
                [self._head(place) for place in places])

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
        return Graph(run) if self._graphs else run


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


class _Work:
    """What a graph reads and writes: inbox, answer; scores and heads where it draws ids."""

    run: Callable[[], None]

    def __init__(self, inbox: Inbox, answer: Tensor, scores: Sequence[Tensor] = (),
                 heads: Sequence[Tensor] = ()) -> None:
        self.inbox, self.answer, self.scores, self.heads = inbox, answer, scores, heads


def _picture_parts(count: int) -> Parts:
    return {'pixels': (torch.uint8, count * 16 * 16 * 3), 'rows': (torch.int64, 2 * count),
            'columns': (torch.int64, 2 * count)}


def _pixels(patches: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> dict[str, np.ndarray]:
    return {'pixels': patches.reshape(-1), 'rows': rows.reshape(-1),
            'columns': columns.reshape(-1)}


def _draw_parts(places: Sequence[Place]) -> Parts:
    noise = {f'noise{i}': (torch.float32, p.high - p.low) for i, p in enumerate(places)}
    return {'acts': (torch.int64, len(places)), 'temperature': (torch.float32, 1), **noise}


def _draws(places: Sequence[Place], temperature: float, noise: Sequence[np.ndarray] | None
           ) -> dict[str, np.ndarray | float]:
    """Return what a draw adds; without noise the temperature changes nothing: one graph for both.
    """
    return {'temperature': 1.0 if noise is None else temperature,
            **{f'noise{i}': noise[i] if noise is not None else 0.0 for i in range(len(places))}}


def _places_of(window: ContextWindow) -> dict[str, np.ndarray]:
    return {'position': window.position, 'visible': window.visible}


def _kernels(device: torch.device, wanted: bool | None) -> tuple[ModuleType | None, str]:
    """Return the kernels' module if they work on this device, else None and why not."""
    if wanted is False or (wanted is None and device.type != 'cuda'):
        return None, ''
    try:
        from gato_ros.policy import kernels
        kernels.try_out(device)
    except Exception as error:  # Triton's own, a missing compiler's, or the device's
        why = (str(error).splitlines() or [type(error).__name__])[0]
        reason = f'the kernels of a layer do not work on {device}: {why}'
        if wanted:
            raise EngineError(reason) from error
        return None, f"{reason}; torch's own are used, which is slower"
    return kernels, ''
