"""Every tokenisation rule against ids written out by hand, and round trips."""

import lzma
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_ros.config import ConfigError
from gato_ros.spec import ContinuousField, DiscreteField, ImageField, Observation, TimestepSpec
from gato_ros.tokens import continuous, images, vocab
from gato_ros.tokens.sequence import ACTION_POSITION, NO_POSITION, Kind, TimestepTokenizer
from gato_ros.tokens.text import DEFAULT_MODEL, TextTokenizer, load_text
from gato_ros.tools.commands.text_model import corpus

SPEC = TimestepSpec(
    images=(ImageField('eye', 16, 32),),
    continuous=(ContinuousField('q', ('a', 'b'), (-2.0, -2.0), (2.0, 2.0), ('rad', 'rad')),
                ContinuousField('z', ('free',), (-1.0,), (1.0,), mu_law=True)),
    discrete=(DiscreteField('button', ('pressed',), 4),),
    continuous_actions=(ContinuousField('torque', ('t1', 't2'), (-10.0, -5.0), (10.0, 5.0)),),
    discrete_actions=(DiscreteField('grip', ('open',), 2),))


def timestep(**changes):
    """A timestep of SPEC as (pictures, tensors, actions)."""
    tensors = {'q': np.array([0.0, 2.0]), 'z': np.array([-1.0]), 'button': np.array([3])}
    actions = {'torque': np.array([5.0, -5.0]), 'grip': np.array([1])}
    tensors |= {k: v for k, v in changes.items() if k in tensors}
    actions |= {k: v for k, v in changes.items() if k in actions}
    return {'eye': np.zeros((16, 32, 3), np.uint8)}, tensors, actions


@pytest.mark.parametrize(('value', 'token'), [
    (-1.0, 32000), (-0.5, 32256), (0.0, 32512), (0.5, 32768), (0.999, 33023),
    (1.0, 33023),                    # the last bin, not the next range
    (-9.0, 32000), (7.3, 33023)])    # clipped
def test_continuous_values_fall_into_1024_bins(value, token):
    assert continuous.encode(np.array([value])) == [token]


@pytest.mark.parametrize(('value', 'token'), [
    (0.0, 32512),
    (1.0, 32744),      # ln 101 / ln 25601 = 0.45467; (1 + 0.45467) / 2 * 1024 = 744.8
    (-1.0, 32279),     # (1 - 0.45467) / 2 * 1024 = 279.2
    (256.0, 33023), (-256.0, 32000), (1e9, 33023)])
def test_unbounded_values_go_through_the_mu_law(value, token):
    field = ContinuousField('z', ('free',), (-1.0,), (1.0,), mu_law=True)
    assert continuous.encode_field(field, np.array([value])) == [token]


def test_ids_decode_to_the_centre_of_their_bin():
    ids = np.array([32000, 32512, 33023])
    assert continuous.decode(ids) == pytest.approx([-1 + 1 / 1024, 1 / 1024, 1 - 1 / 1024],
                                                   abs=1e-15)


@given(st.floats(-1, 1))
def test_round_trip_is_exact_to_half_a_bin(value):
    back = continuous.decode(continuous.encode(np.array([value])))[0]
    assert abs(back - value) <= 1 / 1024 + 1e-12


@given(st.floats(-256, 256))
def test_the_mu_law_can_be_undone(value):
    assert continuous.inverse_mu_law(continuous.mu_law(np.array(value))) == pytest.approx(
        value, abs=1e-9)


@given(st.integers(32000, 33023))
def test_every_bin_survives_decoding(token):
    assert continuous.encode(continuous.decode(np.array([token]))) == [token]


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match=r"'q': a value is (nan|-?inf), expected finite"):
        TimestepTokenizer(SPEC).encode(*timestep(q=np.array([0.0, bad])))


def test_patches_are_cut_in_raster_order():
    image = np.zeros((32, 48, 3), np.uint8)
    for row in range(2):
        for column in range(3):
            image[row * 16:row * 16 + 16, column * 16:column * 16 + 16] = 10 * row + column
    assert images.patches(image)[:, 0, 0, 0].tolist() == [0, 1, 2, 10, 11, 12]
    image[1, 2] = (7, 8, 9)
    assert images.patches(image)[0, 1, 2].tolist() == [7, 8, 9]


def test_pixels_are_scaled_to_a_quarter():
    assert images.normalise(np.array([0, 255], np.uint8)) == pytest.approx([-0.25, 0.25])


def test_patch_positions_divide_128_as_in_the_papers_example():
    rows, columns = images.intervals(ImageField('eye', 80, 64))
    assert rows[::4].tolist() == [[0, 26], [26, 51], [51, 77], [77, 102], [102, 128]]
    assert columns[:4].tolist() == [[0, 32], [32, 64], [64, 96], [96, 128]]


def test_a_whole_timestep_has_these_ids():
    block = TimestepTokenizer(SPEC).encode(*timestep())
    #            patches  button  q: 0, 2       z = -1  |      grip  torque: 5, -5
    assert block.ids.tolist() == [-1, -1, 3, 32512, 33023, 32279, 33024, 1, 32768, 32000]
    layout = block.layout
    assert [Kind(k).name for k in layout.kind] == [
        'PATCH', 'PATCH', 'DISCRETE', 'CONTINUOUS', 'CONTINUOUS', 'CONTINUOUS', 'SEPARATOR',
        'ACTION', 'ACTION', 'ACTION']
    assert layout.local.tolist() == [0, 1, 2, 3, 4, 5, NO_POSITION] + 3 * [ACTION_POSITION]
    assert layout.target.tolist() == 7 * [False] + 3 * [True]
    assert layout.low[7:].tolist() == [0, 32000, 32000]
    assert layout.high[7:].tolist() == [2, 33024, 33024]


def test_text_comes_first_and_is_a_target():
    words = load_text().encode('lift it')
    pictures, tensors, actions = timestep()
    block = TimestepTokenizer(SPEC).encode(pictures, tensors, actions, text='lift it')
    count = len(words)
    assert block.ids[:count + 1].tolist() == [*words, -1]
    assert block.layout.target[:count].all() and not block.layout.target[count]
    assert block.layout.local[:count + 2].tolist() == list(range(count + 2))


def test_many_timesteps_equal_one_by_one():
    rng = np.random.default_rng(0)
    pictures = {'eye': rng.integers(0, 256, (5, 16, 32, 3), dtype=np.uint8)}
    tensors = {'q': rng.uniform(-2, 2, (5, 2)), 'z': rng.normal(size=(5, 1)),
               'button': rng.integers(0, 4, (5, 1))}
    actions = {'torque': rng.uniform(-5, 5, (5, 2)), 'grip': rng.integers(0, 2, (5, 1))}
    tokenizer = TimestepTokenizer(SPEC)
    together = tokenizer.encode(pictures, tensors, actions)
    for i in range(5):
        alone = tokenizer.encode(*({k: v[i] for k, v in group.items()}
                                   for group in (pictures, tensors, actions)))
        assert (alone.ids == together.ids[i]).all()
        assert (alone.patches == together.patches[i]).all()


def test_control_and_training_tokenise_alike():
    pictures, tensors, actions = timestep()
    tokenizer = TimestepTokenizer(SPEC)
    live = tokenizer.observe(Observation(pictures, tensors))
    recorded = tokenizer.encode(pictures, tensors, actions)
    assert live.ids.tolist() == recorded.ids[:len(live)].tolist()
    assert live.layout.local.tolist() == recorded.layout.local[:len(live)].tolist()


def test_actions_decode_to_their_units():
    values = TimestepTokenizer(SPEC).decode_action(np.array([1, 32768, 32000]))
    assert values['grip'].tolist() == [1]
    assert values['torque'] == pytest.approx([5 + 10 / 1024, -5 + 5 / 1024])


@pytest.mark.parametrize(('change', 'sentence'), [
    ({'button': np.array([4])}, r"'button' holds 4 to 4, expected whole numbers in \[0, 4\)"),
    ({'q': np.zeros(3)}, r"'q' has shape \(3,\), expected \[..., 2\]")])
def test_values_that_do_not_fit_the_specification_are_named(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        TimestepTokenizer(SPEC).encode(*timestep(**change))


def test_a_missing_field_is_named():
    pictures, tensors, _ = timestep()
    del tensors['z']
    with pytest.raises(ValueError, match="'z' is missing; given: q, button"):
        TimestepTokenizer(SPEC).observe(Observation(pictures, tensors))


@given(st.text(max_size=60))
def test_text_survives_the_round_trip(text):
    # SentencePiece drops nothing but NUL, which it uses as an end mark; surrogates are no text.
    text = text.replace('\0', '').encode('utf-8', 'ignore').decode()
    ids = load_text().encode(text)
    assert ((ids >= 0) & (ids < vocab.TEXT[1])).all()
    assert load_text().decode(ids) == text.replace('▁', ' ')


def test_a_file_that_is_no_text_model_is_named(tmp_path):
    (tmp_path / 'bad.model').write_bytes(b'not a model')
    with pytest.raises(ConfigError, match=r'bad\.model is not a readable SentencePiece model'):
        TextTokenizer(tmp_path / 'bad.model')


@pytest.mark.slow
def test_the_shipped_text_model_can_be_made_again(tmp_path):
    target = tmp_path / 'gato_ros' / 'assets' / 'text.model'
    target.parent.mkdir(parents=True)
    lines = Path(__file__).parents[3] / 'scripts' / 'text_corpus.txt.xz'
    done = subprocess.run([sys.executable, '-m', 'gato_ros.tools.commands.text_model', lines,
                           target.relative_to(tmp_path)], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == DEFAULT_MODEL.read_bytes()


def test_another_corpus_is_refused(tmp_path):
    (tmp_path / 'other.xz').write_bytes(lzma.compress(b'stack the red block'))
    with pytest.raises(ConfigError, match='expected 6ed7f91e2349'):
        corpus(tmp_path / 'other.xz')
    with pytest.raises(ConfigError, match=r'none\.xz cannot be read'):
        corpus(tmp_path / 'none.xz')
