"""One token through the model in six Triton kernels a layer; with two more an id is drawn.

    mix      norm, and the product that gives query, key and value; the latter two go to the ring
    attend   a head's attention over a part of the ring: largest score, sum of weights, answer
    join     the parts of each head become one answer
    add      product that is added to the residual stream (twice a layer)
    gate     norm, product and GEGLU
    score    last norm and head
    draw     the best of scores and noise, and the embedding of what it is

All sums are float32, weights and ring are of any type. A program computes a few rows of a product
from the whole input, so each weight is read once. Triton's interpreter (TRITON_INTERPRET=1) runs
the same source on a CPU, for tests.
"""

# No lazy annotations: Triton reads tl.constexpr from them.
from collections.abc import Sequence
from typing import Protocol

import torch
import triton
import triton.language as tl
from torch import Tensor

ROWS = 4  # of a product, computed by one program
CHUNK = 512  # columns that it takes at once
TILE = 4096  # numbers of keys, and of values, that one program attends to: they fit its registers
IDS = 1024  # scores that are compared at once
UNSEEN = tl.constexpr(-1e30)  # not -inf: the difference of two parts that see nothing is a number


@triton.jit
def _moments(x, WIDTH: tl.constexpr, WHOLE: tl.constexpr):
    """Return mean and 1 / deviation of x (WIDTH,)."""
    at = tl.arange(0, WHOLE)
    values = tl.load(x + at, mask=at < WIDTH, other=0.0)
    mean = tl.sum(values) / WIDTH
    centred = tl.where(at < WIDTH, values - mean, 0.0)
    return mean, 1.0 / tl.sqrt(tl.sum(centred * centred) / WIDTH + 1e-5)


@triton.jit
def _product(x, weight, row, present, COLUMNS: tl.constexpr, CHUNK: tl.constexpr):
    """Return float32 products of x (COLUMNS,) with rows of a weight (n, COLUMNS)."""
    total = tl.zeros((row.shape[0], CHUNK), tl.float32)
    for start in range(0, COLUMNS, CHUNK):
        at = start + tl.arange(0, CHUNK)
        inside = at < COLUMNS
        part = tl.load(weight + row[:, None] * COLUMNS + at[None, :],
                       mask=present[:, None] & inside[None, :], other=0.0).to(tl.float32)
        total += part * tl.load(x + at, mask=inside, other=0.0)[None, :]
    return tl.sum(total, 1)


@triton.jit
def _normed_product(x, gain, shift, weight, row, present, COLUMNS: tl.constexpr,
                    WHOLE: tl.constexpr, CHUNK: tl.constexpr):
    """Return the same of the layer norm of x."""
    mean, scale = _moments(x, COLUMNS, WHOLE)
    total = tl.zeros((row.shape[0], CHUNK), tl.float32)
    for start in range(0, COLUMNS, CHUNK):
        at = start + tl.arange(0, CHUNK)
        inside = at < COLUMNS
        part = tl.load(weight + row[:, None] * COLUMNS + at[None, :],
                       mask=present[:, None] & inside[None, :], other=0.0).to(tl.float32)
        value = (tl.load(x + at, mask=inside, other=0.0) - mean) * scale
        value = (value * tl.load(gain + at, mask=inside, other=0.0)
                 + tl.load(shift + at, mask=inside, other=0.0))
        total += part * value[None, :]
    return tl.sum(total, 1)


@triton.jit
def _mix(x, gain, shift, weight, queries, ring, slot, INNER: tl.constexpr, WIDTH: tl.constexpr,
         WHOLE: tl.constexpr, ROWS: tl.constexpr, CHUNK: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    present = row < 3 * INNER
    found = _normed_product(x, gain, shift, weight, row, present, WIDTH, WHOLE, CHUNK)
    tl.store(queries + row, found, mask=row < INNER)
    place = ring + tl.load(slot) * (2 * INNER) + row - INNER
    tl.store(place, found.to(ring.dtype.element_ty), mask=present & (row >= INNER))


@triton.jit
def _attend(queries, content_bias, distance_bias, ring, distances, slot, position, visible, tops,
            sums, answers, SCALE: tl.constexpr, SLOTS: tl.constexpr, REACH: tl.constexpr,
            HEADS: tl.constexpr, KEY: tl.constexpr, PART: tl.constexpr, WHOLE: tl.constexpr):
    head, part = tl.program_id(0), tl.program_id(1)
    at = tl.arange(0, WHOLE)
    inside = at < KEY
    here = head * KEY + at
    query = tl.load(queries + here, mask=inside, other=0.0)
    content = query + tl.load(content_bias + here, mask=inside, other=0.0).to(tl.float32)
    place = query + tl.load(distance_bias + here, mask=inside, other=0.0).to(tl.float32)
    row = part * PART + tl.arange(0, PART)
    there = row < SLOTS
    distance = (tl.load(position + tl.load(slot))
                - tl.load(position + row, mask=there, other=0))
    seen = there & (tl.load(visible + row, mask=there, other=0) != 0) & (distance >= 0)
    distance = tl.minimum(tl.maximum(distance, 0), REACH - 1)
    wanted = seen[:, None] & inside[None, :]
    key = ring + (row * 2 * HEADS * KEY)[:, None] + here[None, :]
    keys = tl.load(key, mask=wanted, other=0.0).to(tl.float32)
    places = tl.load(distances + ((head * REACH + distance) * KEY)[:, None] + at[None, :],
                     mask=wanted, other=0.0).to(tl.float32)
    score = tl.sum(keys * content[None, :] + places * place[None, :], 1) * SCALE
    score = tl.where(seen, score, UNSEEN)
    top = tl.max(score, 0)
    share = tl.where(seen, tl.exp(score - top), 0.0)
    values = tl.load(key + HEADS * KEY, mask=wanted, other=0.0).to(tl.float32)
    found = head * tl.num_programs(1) + part
    tl.store(tops + found, top)
    tl.store(sums + found, tl.sum(share, 0))
    tl.store(answers + found * KEY + at, tl.sum(values * share[:, None], 0), mask=inside)


@triton.jit
def _join(tops, sums, answers, mixed, PARTS: tl.constexpr, ALL: tl.constexpr, KEY: tl.constexpr,
          WHOLE: tl.constexpr):
    head = tl.program_id(0)
    part, at = tl.arange(0, ALL), tl.arange(0, WHOLE)
    top = tl.load(tops + head * PARTS + part, mask=part < PARTS, other=UNSEEN)
    weight = tl.exp(top - tl.max(top, 0))
    total = tl.sum(weight * tl.load(sums + head * PARTS + part, mask=part < PARTS, other=0.0), 0)
    answer = tl.load(answers + ((head * PARTS + part) * KEY)[:, None] + at[None, :],
                     mask=(part < PARTS)[:, None] & (at < KEY)[None, :], other=0.0)
    tl.store(mixed + head * KEY + at, tl.sum(answer * weight[:, None], 0) / total, mask=at < KEY)


@triton.jit
def _add(x, weight, residual, COUNT: tl.constexpr, COLUMNS: tl.constexpr, ROWS: tl.constexpr,
         CHUNK: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    present = row < COUNT
    found = _product(x, weight, row, present, COLUMNS, CHUNK)
    tl.store(residual + row, tl.load(residual + row, mask=present) + found, mask=present)


@triton.jit
def _gate(x, gain, shift, weight, gated, HALF: tl.constexpr, WIDTH: tl.constexpr,
          WHOLE: tl.constexpr, ROWS: tl.constexpr, CHUNK: tl.constexpr):
    first = tl.program_id(0) * ROWS
    pair = tl.arange(0, 2 * ROWS)  # a value's row, then its gate's, and so on
    row = first + pair // 2
    found = _normed_product(x, gain, shift, weight, row + pair % 2 * HALF, row < HALF, WIDTH,
                            WHOLE, CHUNK)
    value, gate = tl.split(tl.reshape(found, (ROWS, 2)))
    answer = value * 0.5 * gate * (1.0 + tl.erf(gate * 0.7071067811865476))
    out = first + tl.arange(0, ROWS)
    tl.store(gated + out, answer, mask=out < HALF)


@triton.jit
def _score(x, gain, shift, weight, scores, COUNT: tl.constexpr, WIDTH: tl.constexpr,
           WHOLE: tl.constexpr, ROWS: tl.constexpr, CHUNK: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    found = _normed_product(x, gain, shift, weight, row, row < COUNT, WIDTH, WHOLE, CHUNK)
    tl.store(scores + row, found, mask=row < COUNT)


@triton.jit
def _draw(scores, temperature, noise, table, local, answer, x, LOW: tl.constexpr,
          COUNT: tl.constexpr, WIDTH: tl.constexpr, IDS: tl.constexpr, WHOLE: tl.constexpr):
    heat = tl.load(temperature)
    best, chosen = float('-inf'), 0
    for start in range(0, COUNT, IDS):
        at = start + tl.arange(0, IDS)
        inside = at < COUNT
        score = tl.where(inside, tl.load(scores + at, mask=inside, other=0.0) / heat
                         - tl.load(noise + at, mask=inside, other=0.0), float('-inf'))
        top = tl.max(score, 0)
        chosen = tl.where(top > best, start + tl.argmax(score, 0), chosen)
        best = tl.maximum(top, best)
    tl.store(answer, LOW + chosen)
    at = tl.arange(0, WHOLE)
    inside = at < WIDTH
    token = tl.load(table + (LOW + chosen).to(tl.int64) * WIDTH + at, mask=inside, other=0.0)
    tl.store(x + at, token + tl.load(local + at, mask=inside, other=0.0), mask=inside)


class Layer(Protocol):
    """What a pass reads of a layer, see cuda.py."""

    weights: dict[str, Tensor]
    biases: Tensor
    distances: Tensor
    norm1: tuple[Tensor, Tensor]
    norm2: tuple[Tensor, Tensor]


class TokenPass:
    """One token's way through layers and rings that never move; it takes no memory when called.

    rings  of each layer (slots, 2, H, key_size): keys and values, H * key_size of each
    norm   gain and shift of the last norm, float32 (D,) each
    x      float32 (D,): the token goes in embedded, and comes out before the last norm
    """

    def __init__(self, layers: Sequence[Layer], rings: Sequence[Tensor],
                 norm: tuple[Tensor, Tensor]) -> None:
        slots, _, heads, key = rings[0].shape
        width, device = len(norm[0]), norm[0].device
        self._layers, self._rings, self._norm = layers, rings, norm
        self._heads, self._key, self._slots, self._width = heads, key, slots, width
        self._part = TILE // triton.next_power_of_2(key)  # rows of the ring
        self._parts = triton.cdiv(slots, self._part)
        self._feedforward = layers[0].weights['back'].shape[1]

        def floats(*shape: int) -> Tensor:
            return torch.zeros(shape, device=device)

        self.x = floats(width)
        self._queries, self._mixed = floats(heads * key), floats(heads * key)
        self._tops, self._sums = floats(heads, self._parts), floats(heads, self._parts)
        self._answers = floats(heads, self._parts, key)
        self._gated = floats(self._feedforward)

    def run(self, slot: Tensor, position: Tensor, visible: Tensor) -> None:
        """Take ``x`` through all layers, writing keys and values into ``slot`` (int64, 1).

        position, visible  int64 (slots,), as the window has them
        """
        heads, key, width = self._heads, self._key, self._width
        inner, whole = heads * key, triton.next_power_of_2(width)
        normed = {'WIDTH': width, 'WHOLE': whole, 'ROWS': ROWS, 'CHUNK': _chunk(width)}
        for layer, ring in zip(self._layers, self._rings, strict=True):
            w, biases = layer.weights, layer.biases
            _mix[(triton.cdiv(3 * inner, ROWS),)](
                self.x, *layer.norm1, w['mix'], self._queries, ring, slot, INNER=inner, **normed)
            _attend[(heads, self._parts)](
                self._queries, biases[0], biases[1], ring, layer.distances, slot, position,
                visible, self._tops, self._sums, self._answers, SCALE=key ** -0.5,
                SLOTS=self._slots, REACH=layer.distances.shape[1], HEADS=heads, KEY=key,
                PART=self._part, WHOLE=triton.next_power_of_2(key))
            _join[(heads,)](
                self._tops, self._sums, self._answers, self._mixed, PARTS=self._parts,
                ALL=triton.next_power_of_2(self._parts), KEY=key,
                WHOLE=triton.next_power_of_2(key))
            self._add(self._mixed, w['out'])
            _gate[(triton.cdiv(self._feedforward, ROWS),)](
                self.x, *layer.norm2, w['hidden'], self._gated, HALF=self._feedforward, **normed)
            self._add(self._gated, w['back'])

    def score(self, head: Tensor, scores: Tensor) -> None:
        """Score the ids whose rows ``head`` (n, D) holds, from ``x``: into float32 (n,)."""
        _score[(triton.cdiv(len(head), ROWS),)](
            self.x, *self._norm, head, scores, COUNT=len(head), WIDTH=self._width,
            WHOLE=triton.next_power_of_2(self._width), ROWS=ROWS, CHUNK=_chunk(self._width))

    def draw(self, scores: Tensor, temperature: Tensor, noise: Tensor, low: int, table: Tensor,
             local: Tensor, answer: Tensor) -> None:
        """Draw an id from scores (n,) of the ids from ``low`` on, and embed it into ``x``.

        temperature, answer  one number each, float32 and int64; noise float32 (n,)
        table (V, D), local (D,)  what the embedding is the sum of
        """
        _draw[(1,)](scores, temperature, noise, table, local, answer, self.x, LOW=low,
                    COUNT=len(scores), WIDTH=self._width, IDS=IDS,
                    WHOLE=triton.next_power_of_2(self._width))

    def _add(self, x: Tensor, weight: Tensor) -> None:
        rows, columns = weight.shape
        _add[(triton.cdiv(rows, ROWS),)](x, weight, self.x, COUNT=rows, COLUMNS=columns,
                                         ROWS=ROWS, CHUNK=_chunk(columns))


def _chunk(columns: int) -> int:
    return min(CHUNK, triton.next_power_of_2(columns))


def try_out(device: torch.device) -> None:
    """Run the smallest kernel; raises whatever Triton raises where it cannot compile or run."""
    tops, mixed = torch.zeros(1, device=device), torch.zeros(1, device=device)
    _join[(1,)](tops, torch.ones_like(tops), tops, mixed, PARTS=1, ALL=1, KEY=1, WHOLE=1)
