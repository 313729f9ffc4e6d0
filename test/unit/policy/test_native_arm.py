"""The compiled engine on another processor: arm64 with NEON, in an emulator."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from native_file import WritingEngine
from test_engine import ODD, scores_of

from gato_ros.compiled import FLAGS
from gato_ros.model.gato import Gato
from gato_ros.policy.cpu import SOURCE

COMPILER, EMULATOR, LIBRARIES = 'aarch64-linux-gnu-g++', 'qemu-aarch64', '/usr/aarch64-linux-gnu'
BOUNDS = {('float32', False): 1e-4, ('bfloat16', True): 0.2, ('int8', False): 1.5}


@pytest.fixture(scope='module')
def program(tmp_path_factory):
    for name in (COMPILER, EMULATOR):
        if shutil.which(name) is None:
            pytest.skip(f'{name} is not installed, so the engine was not tested on arm64: '
                        'apt-get install g++-aarch64-linux-gnu qemu-user')
    made = tmp_path_factory.mktemp('arm') / 'engine'
    flags = [flag for flag in FLAGS if flag not in ('-march=native', '-shared', '-fopenmp')]
    subprocess.run([COMPILER, *flags, '-march=armv8-a', '-Wno-unknown-pragmas',
                    f'-I{SOURCE.parent}',
                    str(Path(__file__).parents[1] / 'helpers' / 'native_main.cpp'),
                    '-o', str(made)], check=True)
    return made


@pytest.mark.slow
@pytest.mark.parametrize(('weights', 'half_ring'), list(BOUNDS))
def test_arm64_answers_as_the_eager_path_does(program, robot, tmp_path, weights, half_ring):
    """At sizes that fit no register, while the ring fills and wraps behind a sentence."""
    torch.manual_seed(0)
    model = Gato(ODD).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    with (tmp_path / 'calls').open('wb') as file:
        engine = WritingEngine(model, 220, file, weights, half_ring)
        wanted, reference = scores_of(engine, robot, 220, steps=5)
        engine.close()
    subprocess.run([EMULATOR, '-L', LIBRARIES, str(program), str(tmp_path / 'calls'),
                    str(tmp_path / 'answers')], check=True)
    row = np.dtype([('ids', np.int32, 8), ('scores', np.float32, (8, 1024))])
    found = np.fromfile(tmp_path / 'answers', row)
    assert len(found) == 5
    for ids, scores, right, best in zip(found['ids'], found['scores'], wanted, reference,
                                        strict=True):
        end = int(np.argmax(np.append(ids != right, True))) + 1  # up to the first that differs
        assert np.abs(scores[:end] - best[:end]).max() < BOUNDS[weights, half_ring]
    if weights == 'float32':
        np.testing.assert_array_equal(found['ids'], wanted)
