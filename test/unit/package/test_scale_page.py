"""docs/scale.md holds what scripts/scale.py computes today."""

import importlib.util
from pathlib import Path

from gato_ros.model.architecture import Architecture, load_architecture

FILE = Path(__file__).resolve().parents[3] / 'scripts' / 'scale.py'


def load():
    spec = importlib.util.spec_from_file_location('scale', FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_script_computes():
    scale = load()
    page = scale.PAGE.read_text(encoding='utf-8')
    written = page.split(scale.BEGIN)[1].split(scale.END)[0].strip()
    assert written == scale.tables(scale.SHEET, 0.4), 'python scripts/scale.py --write'


def test_operations_are_counted_as_by_hand():
    """Weights: queries, keys, values, output 4 x 4; feed-forward 8 + 4; three products over 10."""
    arch = Architecture(layers=1, width=2, heads=1, key_size=2, feedforward=4)
    assert load().flops_per_token(arch, 10) == 3 * 2 * (16 + 12 + 3 * 10 * 2)
    assert round(load().parameters(load_architecture('1.18b')) / 1e6) == 1179
