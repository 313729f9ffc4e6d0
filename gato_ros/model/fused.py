"""Attention with relative positions as one compiled function, for training on a CPU.

The same function as Attention's plain lines, within rounding. One head of one sequence at a time
stays in the core's cache, half of the products are left out since nothing attends to what comes
later, and nothing of size T x T is kept for the way back.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gato_ros.compiled import CompileError, compiled

SOURCE = Path(__file__).with_name('native') / 'attention.cpp'
COLUMNS = 16  # of a tile of products: a head's size is a multiple of it
SHORT = 16  # tokens; a shorter sequence costs as much either way
FEW = 4  # times fewer outputs than tokens: there is little to be saved then


class _Shape(ctypes.Structure):
    """As in native/attention.cpp."""

    _fields_ = [(name, ctypes.c_int32) for name in (
        'sequences', 'length', 'outputs', 'heads', 'key', 'threads')] + [
        (name, ctypes.c_int64) for name in (
            'query_row', 'seen_row', 'distance_head', 'distance_row', 'out_row')]


def serves(queries: Tensor, mask: Tensor, outputs: Tensor | None, key_size: int) -> bool:
    """Whether ``attend`` can take these, and is worth it.

    mask (1|B, 1, T, T): one for all sequences is needed
    """
    length = mask.shape[-1]
    few = outputs is not None and len(outputs) * FEW < length
    return (queries.device.type == 'cpu' and queries.dtype == torch.float32
            and key_size % COLUMNS == 0 and mask.shape[0] == 1 and length >= SHORT and not few
            and _library() is not None)


def attend(queries: Tensor, seen: Tensor, distances: Tensor, content_bias: Tensor,
           distance_bias: Tensor, mask: Tensor, outputs: Tensor | None) -> Tensor:
    """Attend within B sequences of T tokens that stand end to end.

    queries (B * n, H * key);  seen (B * T, 2 * H * key): keys, then values
    distances (H, T, key) of the distances T - 1 ... 0;  the biases (H, 1, key)
    mask bool (T, T), nothing beyond the diagonal, each row with one place at least
    outputs int64[n], ascending: the positions of the queries; None: all -> (B * n, H * key)
    """
    if outputs is None:
        outputs = torch.arange(mask.shape[-1])
    return _Attend.apply(queries, seen, distances, content_bias, distance_bias,
                         mask.contiguous(), outputs.contiguous())


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, seen: Tensor, distances: Tensor, content_bias: Tensor,
                distance_bias: Tensor, mask: Tensor, outputs: Tensor) -> Tensor:
        given = (_rows(queries), _rows(seen), _rows(distances), content_bias.contiguous(),
                 distance_bias.contiguous(), mask, outputs)
        ctx.save_for_backward(*given)
        out = torch.empty(queries.shape)
        _call('gato_attend', _shape(given, out), *given, out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        given, of_out = ctx.saved_tensors, gradients[0].contiguous()
        queries, seen, distances, content_bias, distance_bias = given[:5]
        found = (torch.empty(queries.shape), *(torch.zeros(part.shape) for part in (
            seen, distances, content_bias, distance_bias)))
        _call('gato_attend_back', _shape(given, of_out), *given, of_out, *found)
        return (*found, None, None)


def _rows(values: Tensor) -> Tensor:
    return values if values.stride(-1) == 1 else values.contiguous()


def _shape(given: tuple[Tensor, ...], out: Tensor) -> _Shape:
    queries, seen, distances, *_, outputs = given
    heads, length, key = distances.shape
    return _Shape(len(seen) // length, length, len(outputs), heads, key, torch.get_num_threads(),
                  queries.stride(0), seen.stride(0), distances.stride(0), distances.stride(1),
                  out.stride(0))


def _call(name: str, shape: _Shape, *tensors: Tensor) -> None:
    library = _library()
    assert library is not None
    getattr(library, name)(ctypes.byref(shape),
                           *(ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors))


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL | None:
    """Compile where that has not been done yet, and load; None where that cannot be."""
    try:
        return ctypes.CDLL(str(compiled(SOURCE)))
    except (CompileError, OSError):  # the plain lines do as well
        return None
