"""Checkpoints: both formats, domains by name and by specification, and what is refused and why."""

import dataclasses
import hashlib
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from gato_ros.config import to_dict
from gato_ros.policy.checkpoint import (
    ANY_PAIR,
    FIVE_PAIRS,
    SHIPPED,
    TABLE,
    WEIGHTS,
    CheckpointError,
    DomainConfig,
    load_checkpoint,
)
from gato_ros.policy.memory import available_memory
from gato_ros.policy.policy import GatoPolicy
from gato_ros.spec import DiscreteField, ImageField, TimestepSpec, example_observation
from gato_ros.tokens.text import DEFAULT_MODEL, TextTokenizer, load_text

TEXT = DomainConfig(TimestepSpec(), tasks=('chat',), sentences=('who are you?',))
SCREEN = DomainConfig(TimestepSpec((ImageField('screen', 32, 48),), discrete_actions=(
    DiscreteField('button', ('button',), 4),)), 300, 3, 0.5)


@pytest.mark.parametrize(('folder', 'window', 'names', 'sentences'), [
    (SHIPPED, 176, False, 1), (ANY_PAIR, 344, True, 6), (FIVE_PAIRS, 344, False, 5)])
def test_a_shipped_checkpoint_of_format_1_becomes_one_domain(robot, folder, window, names,
                                                             sentences):
    stored = json.loads((folder / 'config.json').read_text())
    assert stored['format'] == 1, 'the shipped files stay as they are'
    config = load_checkpoint(folder).config
    assert list(config.domains) == ['stacking'] and config.text_model == ''
    domain = config.domain('stacking')
    assert domain is config.domain(robot.timestep())
    assert (domain.window_tokens, domain.window_timesteps, domain.temperature) == (window, 1, 1.0)
    assert domain.tasks == tuple(stored['provenance'].get('tasks', ()))
    assert domain.sentences == tuple(stored['provenance']['sentences'])
    assert len(domain.sentences) == sentences and 'stack the red block on the blue block' in (
        domain.sentences)
    assert config.names_demonstrations == names
    assert config.provenance == stored['provenance'] and config.auxiliary == stored['auxiliary']


def test_format_2_keeps_every_domain(make_checkpoint, robot):
    folder = make_checkpoint(more={'text': TEXT, 'screen': SCREEN}, window_timesteps=2,
                             text_model=load_text().hash, tasks=('stack',))
    stored = json.loads((folder / 'config.json').read_text())
    assert stored['format'] == 2 and list(stored['domains']) == ['stacking', 'text', 'screen']
    config = load_checkpoint(folder).config
    assert config.domains == {
        'stacking': DomainConfig(robot.timestep(), window_timesteps=2, tasks=('stack',)),
        'text': TEXT, 'screen': SCREEN}
    assert config.text_model == load_text().hash
    assert config.domain('screen') == config.domain(SCREEN.timestep) == SCREEN
    assert config.domain(TimestepSpec()) == TEXT


def test_of_domains_with_one_specification_the_last_holds(make_checkpoint, robot):
    """As where a robot's own demonstrations are learnt after the simulator's."""
    config = load_checkpoint(make_checkpoint(window_timesteps=1, more={
        'text': TEXT, 'kitchen': DomainConfig(robot.timestep(), window_timesteps=4)})).config
    assert config.domain(robot.timestep()).window_timesteps == 4
    assert config.domain('stacking').window_timesteps == 1


def test_a_domain_that_it_does_not_know_is_refused_with_those_that_it_has(make_checkpoint):
    checkpoint = load_checkpoint(make_checkpoint(more={'text': TEXT}))
    with pytest.raises(CheckpointError, match="no domain 'atari', expected one of those that it "
                                              'was trained on: stacking, text'):
        GatoPolicy(checkpoint, 'atari')


def test_of_several_domains_the_nearest_says_what_differs(make_checkpoint):
    """One button more is nearer to the screen than to the arm."""
    config = load_checkpoint(make_checkpoint(more={'screen': SCREEN})).config
    other = dataclasses.replace(SCREEN.timestep, discrete_actions=(
        DiscreteField('button', ('button',), 5),))
    with pytest.raises(CheckpointError, match=(
            r'differ: timestep\.discrete_actions\[0\]\.count is 4 in the checkpoint and 5 in the '
            r"robot's YAML \(in 'screen', the nearest of its domains: stacking, screen\)")):
        config.domain(other)


def test_rows_of_the_table_that_no_word_uses_are_not_stored(make_checkpoint, lively_model):
    """And nothing that a policy answers depends on them: actions, buttons, words by chance."""
    folder = make_checkpoint(more={'text': TEXT, 'screen': SCREEN}, temperature=1.0)
    stored = load_file(folder / WEIGHTS)[TABLE]
    used = load_text().size
    assert len(stored) == used + 1025 < 33025
    whole = folder.parent / 'whole'
    shutil.copytree(folder, whole)
    save_file({name: value.contiguous() for name, value in lively_model.state_dict().items()},
              whole / WEIGHTS)  # as it was stored before
    assert (whole / WEIGHTS).stat().st_size - (folder / WEIGHTS).stat().st_size >= (
        (32_000 - used) * 4 * lively_model.arch.width)
    small, large = load_checkpoint(folder), load_checkpoint(whole)
    one, other = small.model.embedding.table.weight, large.model.embedding.table.weight
    assert torch.equal(one[:used], other[:used]) and torch.equal(one[32_000:], other[32_000:])
    assert not one[used:32_000].any() and other[used:32_000].any()
    for engine in ('eager', 'auto'):
        answers = []
        for checkpoint in (small, large):
            arm = GatoPolicy(checkpoint, 'stacking', engine=engine)
            screen, chat = arm.beside('screen'), arm.beside('text')
            arm.reset('stack the red block on the blue block')
            answers.append((
                [arm.act(example_observation(arm.tokenizer.spec, seed)).tokens.tolist()
                 for seed in range(4)],
                [screen.act(example_observation(screen.tokenizer.spec, seed)).tokens.tolist()
                 for seed in range(8)],
                list(chat.say('who are you?', temperature=1.0, longest=40))))
        assert answers[0] == answers[1], engine


def test_a_table_without_rows_for_words_of_the_text_model_is_refused(make_checkpoint):
    folder = make_checkpoint()
    weights = load_file(folder / WEIGHTS)
    weights[TABLE] = torch.cat([weights[TABLE][:5000], weights[TABLE][-1025:]])
    save_file(weights, folder / WEIGHTS)
    with pytest.raises(CheckpointError, match=f'rows for 5000 pieces of text, expected '
                                              f'{load_text().size}'):
        load_checkpoint(folder)


def test_the_text_model_is_known_by_its_bytes(tmp_path):
    assert load_text().hash == hashlib.sha256(DEFAULT_MODEL.read_bytes()).hexdigest()[:12]
    other = tmp_path / 'text.model'
    shutil.copyfile(DEFAULT_MODEL, other)
    with other.open('ab') as file:
        file.write(b'\x9a\x06\x00')  # an empty field that SentencePiece does not know
    assert TextTokenizer(other).hash != load_text().hash


def test_weights_of_another_text_model_are_refused(make_checkpoint):
    folder = make_checkpoint(text_model='0123456789ab')
    with pytest.raises(CheckpointError, match='was trained with the text model 0123456789ab, this '
                                              f'package has {load_text().hash}'):
        load_checkpoint(folder)


def change(key, value):
    """Return what writes a value into the first domain."""
    def spoil(folder):
        data = json.loads((folder / 'config.json').read_text())
        data['domains']['stacking'][key] = value
        (folder / 'config.json').write_text(json.dumps(data))
    return spoil


def test_a_checkpoint_of_another_robot_is_refused_with_both_values(make_checkpoint, robot):
    other = dataclasses.replace(robot, cameras=(
        robot.cameras[0], dataclasses.replace(robot.cameras[1], height=32)))
    both = r'images\[1\].height is 64 in the checkpoint and 32'
    with pytest.raises(CheckpointError, match=both):
        GatoPolicy(load_checkpoint(make_checkpoint()), other.timestep())


def spoil_weights(folder):
    path = folder / 'model.safetensors'
    path.write_bytes(path.read_bytes()[:5000])


def spoil_header(folder):
    (folder / 'model.safetensors').write_bytes(b'\xff' * 8 + b'{' * 100)


def spoil_json(folder):
    (folder / 'config.json').write_text('{"architecture": ')


def spoil_key(folder):
    data = json.loads((folder / 'config.json').read_text())
    (folder / 'config.json').write_text(json.dumps({**data, 'run_me': 'rm -rf'}))


def spoil_shape(folder):
    data = json.loads((folder / 'config.json').read_text())
    data['architecture']['layers'] = 3
    (folder / 'config.json').write_text(json.dumps(data))


def spoil_format(folder):
    data = json.loads((folder / 'config.json').read_text())
    (folder / 'config.json').write_text(json.dumps({**data, 'format': 99}))


def no_domain(folder):
    data = json.loads((folder / 'config.json').read_text())
    (folder / 'config.json').write_text(json.dumps({**data, 'domains': {}}))


def old_format(folder):
    data = to_dict(load_checkpoint(folder).config)
    first = {**data['domains']['stacking'], 'temperature': float('nan')}
    (folder / 'config.json').write_text(json.dumps({
        'architecture': data['architecture'], 'auxiliary': data['auxiliary'],
        **{key: first[key] for key in ('timestep', 'window_tokens', 'temperature')}}))


@pytest.mark.parametrize(('spoil', 'sentence'), [
    (spoil_weights, r'model\.safetensors is truncated or no safetensors file'),
    (spoil_header, r'model\.safetensors is truncated or no safetensors file'),
    (spoil_json, r'config\.json is not usable'),
    (change('temperature', float('nan')),
    'stacking: temperature: expected a finite number, found nan'),
    (change('temperature', -0.5), 'temperature is -0.5, expected 0 to 100'),
    (change('temperature', 1e30), r'temperature is 1e\+30, expected 0 to 100'),
    (change('window_tokens', 0), 'domains.stacking: window_tokens is 0, expected 1 to 65536'),
    (change('window_tokens', 10**12), 'window_tokens is 1000000000000, expected 1 to 65536'),
    (change('window_tokens', float('nan')), 'window_tokens: expected int, found nan'),
    (change('window_timesteps', -1), 'window_timesteps is -1, expected 1 to 65536'),
    (change('tasks', 'stack'), "tasks: expected a list, found 'stack'"),
    (change('timestep', {'pictures': []}), "unknown key 'pictures'"),
    (no_domain, 'domains is empty, expected at least one'),
    (old_format, 'temperature: expected a finite number, found nan'),
    (spoil_key, r"unknown key 'run_me'"),
    (spoil_shape, r'blocks\.2\.\S+ has shape none, expected \('),
    (spoil_format, r'format is 99, expected 1 or 2'),
    (lambda folder: (folder / 'config.json').unlink(), r'config\.json is missing')])
def test_a_spoilt_checkpoint_is_refused_in_a_sentence(make_checkpoint, spoil, sentence):
    folder = make_checkpoint()
    spoil(folder)
    with pytest.raises(CheckpointError, match=sentence):
        load_checkpoint(folder)


def test_weights_that_are_not_finite_are_refused(make_checkpoint, lively_model):
    lively_model.norm.weight[3] = float('nan')
    with pytest.raises(CheckpointError, match=r'norm\.weight holds values that are not finite'):
        load_checkpoint(make_checkpoint())


@pytest.mark.parametrize('folder', ['', 'memory'])
def test_a_containers_limit_counts_as_memory(tmp_path, folder):
    """Files as both versions of control groups show them; pages of read files can be had back."""
    names = (('memory.max', 'memory.current', 'inactive_file') if not folder else
             ('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'))
    group = tmp_path / 'sys/fs/cgroup' / folder
    group.mkdir(parents=True)
    (tmp_path / 'proc').mkdir()
    (tmp_path / 'proc/meminfo').write_text('MemTotal: 9 kB\nMemAvailable:  8000 kB\n')
    assert available_memory(tmp_path) == 8000 * 1024
    (group / names[1]).write_text('3000000\n')
    (group / 'memory.stat').write_text(f'anon 1\n{names[2]} 500000\nactive_file 7\n')
    (group / names[0]).write_text('4000000\n')
    assert available_memory(tmp_path) == 1_500_000
    (group / names[0]).write_text('max\n' if not folder else '9223372036854771712\n')
    assert available_memory(tmp_path) == 8000 * 1024


def test_a_checkpoint_larger_than_memory_is_refused(make_checkpoint, monkeypatch):
    folder = make_checkpoint()
    monkeypatch.setattr('gato_ros.policy.checkpoint.available_memory', lambda: 2.0**20)
    with pytest.raises(CheckpointError, match=r'needs 0\.0 GiB of memory as float32 and 0\.0 GiB'):
        load_checkpoint(folder)


@pytest.mark.skipif(torch.cuda.is_available(), reason='this machine has the device')
def test_a_device_that_is_not_there_is_named(make_checkpoint):
    with pytest.raises(CheckpointError, match="device 'cuda' cannot take the model"):
        load_checkpoint(make_checkpoint(), device='cuda')
