"""Which engine computes: the fastest that works on the model's device, or the one asked for."""

from __future__ import annotations

from gato_ros.model.gato import Gato
from gato_ros.policy.cpu import NativeEngine
from gato_ros.policy.cuda import CudaEngine
from gato_ros.policy.eager import EagerEngine
from gato_ros.policy.engine import Engine, EngineError, one_sentence

ENGINES = ('auto', 'eager', 'native', 'int8', 'cuda')


def build_engine(model: Gato, slots: int, wanted: str = 'auto', block: int = 64
                 ) -> tuple[Engine, str]:
    """Build the engine for the model's device; also return why it is not the fast one, or ''.

    wanted  one of ENGINES; auto falls back to eager where the fast path cannot work; int8 is
            native with weights of one byte each, so its answers differ
    block   tokens of a step's block, for the engine whose shapes are fixed
    Raises EngineError where another than auto cannot work.
    """
    if wanted not in ENGINES:
        raise EngineError(f'engine is {wanted!r}, expected one of {", ".join(ENGINES)}')
    if wanted == 'auto':
        try:
            return build_engine(model, slots, 'cuda' if model.device.type == 'cuda' else 'native',
                                block)
        except EngineError as error:
            return build_engine(model, slots, 'eager')[0], str(error)
    with one_sentence(wanted):
        if wanted == 'eager':
            return EagerEngine(model, slots), ''
        if wanted == 'cuda':
            engine = CudaEngine(model, slots, block, graphs=True)
            return engine, engine.slower
        return NativeEngine(model, slots, 'int8' if wanted == 'int8' else None), ''
