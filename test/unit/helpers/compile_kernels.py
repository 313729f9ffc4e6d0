"""Compile every kernel for compute capability 9.0, without a card, and print its name."""

from triton import compile as build
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from gato_ros.policy import kernels

WIDTH, HEADS, KEY, FEEDFORWARD, SLOTS = 2048, 16, 128, 4096, 1032  # as in config/models/1.18b.yaml
NORMED = {'WIDTH': WIDTH, 'WHOLE': WIDTH, 'ROWS': kernels.ROWS, 'CHUNK': kernels.CHUNK}
PART = kernels.TILE // KEY
PARTS = -(-SLOTS // PART)
KERNELS = {
    '_mix': {'INNER': HEADS * KEY, **NORMED},
    '_attend': {'SCALE': KEY ** -0.5, 'SLOTS': SLOTS, 'REACH': 1024, 'HEADS': HEADS, 'KEY': KEY,
                'PART': PART, 'WHOLE': KEY},
    '_join': {'PARTS': PARTS, 'ALL': 1 << (PARTS - 1).bit_length(), 'KEY': KEY, 'WHOLE': KEY},
    '_add': {'COUNT': WIDTH, 'COLUMNS': FEEDFORWARD, 'ROWS': kernels.ROWS,
             'CHUNK': kernels.CHUNK},
    '_gate': {'HALF': FEEDFORWARD, **NORMED},
    '_score': {'COUNT': 1024, **NORMED},
    '_draw': {'LOW': 0, 'COUNT': 32000, 'WIDTH': WIDTH, 'IDS': kernels.IDS, 'WHOLE': WIDTH},
}
BFLOAT16 = ('weight', 'ring', 'content_bias', 'distance_bias', 'distances')
INT64 = ('slot', 'position', 'visible', 'answer')

for name, constants in KERNELS.items():
    kernel = getattr(kernels, name)
    types = {argument: 'constexpr' if argument in constants else '*bf16' if argument in BFLOAT16
             else '*i64' if argument in INT64 else '*fp32' for argument in kernel.arg_names}
    build(ASTSource(kernel, types, constants), target=GPUTarget('cuda', 90, 32))
    print(name)
