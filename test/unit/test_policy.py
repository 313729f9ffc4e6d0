"""The policy: sampled tokens, the context it keeps, and checkpoints that it refuses."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from gato_ros.model.layout import sequence_layout
from gato_ros.policy.checkpoint import CheckpointError, load_checkpoint
from gato_ros.policy.memory import available_memory
from gato_ros.policy.policy import LONGEST_NAME, GatoPolicy
from gato_ros.robot import TORQUES
from gato_ros.tokens import vocab
from gato_ros.tokens.sequence import TimestepTokenizer, TokenBlock


@pytest.fixture
def policy(make_checkpoint, robot):
    return GatoPolicy(load_checkpoint(make_checkpoint()), robot.timestep())


def greedy_by_hand(model, tokenizer, blocks, observation, pinned=1):
    """The likeliest action tokens by recomputing the whole window for every token."""
    ids = []
    for _ in range(8):
        former = np.array(ids + [32000] * (8 - len(ids)), np.int32)
        whole = tokenizer.encode(observation.images, observation.proprioception,
                                 tokenizer.decode_action(former))
        parts = [*blocks, whole]
        layout = sequence_layout([b.layout for b in parts], pinned=pinned)
        stack = torch.from_numpy(np.concatenate([b.ids for b in parts])).long()[None]
        patches = torch.from_numpy(np.concatenate([b.patches for b in parts]))[None]
        hidden = model(stack, patches, layout, layout.causal_mask())[0, -9 + len(ids)]
        ids.append(int(model.logits(hidden, *vocab.CONTINUOUS).argmax()) + vocab.CONTINUOUS[0])
    return ids


def test_tokens_equal_a_full_recomputation_with_what_was_sent(policy, robot):
    tokenizer, rng = TimestepTokenizer(robot.timestep()), np.random.default_rng(0)
    policy.reset('stack the red block')
    blocks, sent = [tokenizer.sentence('stack the red block')], None
    for seed in range(4):
        observation = robot.example_observation(seed)
        action = policy.act(observation, sent)
        assert action.tokens.tolist() == greedy_by_hand(
            policy.checkpoint.model, tokenizer, blocks, observation)
        # The gate changed the action: the context must hold what was sent, not what was sampled.
        sent = {TORQUES: rng.uniform(-5, 5, 8)}
        blocks.append(tokenizer.encode(observation.images, observation.proprioception, sent))


@pytest.mark.parametrize(('changed', 'written'), [(None, 1), (7, 1), (5, 3), (0, 8)])
def test_of_the_former_action_only_what_the_ring_lacks_is_written(
        policy, robot, monkeypatch, changed, written):
    """Its last token, and all from the first one on that was not sent as it was sampled."""
    tokenizer, extend, lengths = policy.tokenizer, policy.engine.extend, []
    first = policy.act(robot.example_observation(0))
    ids = first.tokens.astype(np.int32)
    if changed is not None:
        ids[changed] = 32000 + (ids[changed] - 32000 + 100) % 1024
    monkeypatch.setattr(policy.engine, 'extend', lambda ids, *rest: (
        lengths.append(len(ids)), extend(ids, *rest)))
    observation = robot.example_observation(1)
    answer = policy.act(observation, tokenizer.decode_action(ids))
    assert lengths[0] == written + len(tokenizer.observe(observation))
    blocks = [tokenizer.encode(o.images, o.proprioception, sent) for o, sent in (
        (robot.example_observation(0), tokenizer.decode_action(ids)),)]
    assert answer.tokens.tolist() == greedy_by_hand(policy.checkpoint.model, tokenizer, blocks,
                                                    observation, pinned=0)


def test_what_was_sent_changes_the_next_answer(policy, robot):
    answers = []
    for sent in (None, {TORQUES: np.full(8, 4.0)}):
        policy.reset()
        policy.act(robot.example_observation(0))
        answers.append(policy.act(robot.example_observation(1), sent).tokens.tolist())
    assert answers[0] != answers[1]


def test_sampled_tokens_stay_in_the_allowed_range(make_checkpoint, robot):
    policy = GatoPolicy(load_checkpoint(make_checkpoint()), robot.timestep(), temperature=50.0)
    for seed in range(5):
        action = policy.act(robot.example_observation(seed))
        assert ((action.tokens >= 32000) & (action.tokens < 33024)).all()
        assert (np.abs(action.values[TORQUES]) <= robot.scale).all()


def test_the_same_seed_answers_alike_after_a_reset(make_checkpoint, robot):
    policy = GatoPolicy(load_checkpoint(make_checkpoint()), robot.timestep(), temperature=1.0)
    runs = []
    for _ in range(2):
        policy.reset('lift')
        runs.append([policy.act(robot.example_observation(s)).tokens.tolist() for s in range(3)])
    assert runs[0] == runs[1]
    policy.reset('stack')
    assert policy.act(robot.example_observation(0)).tokens.tolist() != runs[0][0]


def test_a_long_episode_keeps_the_window_full_and_the_prompt_in_it(make_checkpoint, robot):
    policy = GatoPolicy(load_checkpoint(make_checkpoint()), robot.timestep())
    policy.reset('stack the red block')
    prompt = policy.window.pinned
    for seed in range(25):
        policy.act(robot.example_observation(seed))
    timestep = len(policy.tokenizer.layout())
    assert policy.window.timesteps == (1024 - prompt) // timestep
    assert policy.window.visible[:prompt].all()


def test_a_prompt_says_the_same_at_every_step(make_checkpoint, robot):
    """With a window of one timestep the tenth answer is that of a policy which has just begun."""
    policy = GatoPolicy(load_checkpoint(make_checkpoint(window_timesteps=1)), robot.timestep())
    policy.reset('stack the red block')
    tenth = [policy.act(robot.example_observation(seed)) for seed in range(10)][-1]
    policy.reset('stack the red block')
    assert policy.act(robot.example_observation(9)).tokens.tolist() == tenth.tokens.tolist()


def said_by_hand(model, tokenizer, shown):
    """The likeliest words behind a demonstration, by recomputing all for every token."""
    said = tokenizer.sentence('')
    while len(said) < LONGEST_NAME and tokenizer.text.end not in said.ids[-1:]:
        parts = [*shown, said]
        layout = sequence_layout([b.layout for b in parts], pinned=len(parts))
        ids, patches = (torch.from_numpy(np.concatenate([getattr(b, part) for b in parts]))
                        for part in ('ids', 'patches'))
        hidden = model(ids.long()[None], patches[None], layout, layout.causal_mask())[0, -1]
        best = int(model.logits(hidden, *tokenizer.text_range()).argmax())
        said = TokenBlock(np.append(said.ids, np.int32(best)), said.patches,
                          tokenizer.sentence_layout(len(said) + 1))
    return said


@pytest.mark.parametrize('words', ['', 'stack the red block'])
def test_a_rolling_prompt_is_read_like_a_pinned_one_and_leaves_as_the_window_fills(
        make_checkpoint, robot, words):
    one = len(TimestepTokenizer(robot.timestep()).layout())
    policy = GatoPolicy(load_checkpoint(make_checkpoint(window_tokens=4 * one)), robot.timestep())
    tokenizer = policy.tokenizer
    blocks = [tokenizer.sentence(words)] if words else [
        tokenizer.encode(seen.images, seen.proprioception, {TORQUES: np.zeros(8)})
        for seen in map(robot.example_observation, (7, 8))]
    policy.reset(words or blocks, pinned=False)
    seen = robot.example_observation(0)
    assert policy.act(seen).tokens.tolist() == greedy_by_hand(
        policy.checkpoint.model, tokenizer, blocks, seen)
    lengths = [policy.window.tokens]
    for seed in range(1, 5):
        policy.act(robot.example_observation(seed))
        lengths.append(policy.window.tokens)
    first = sum(map(len, blocks))
    assert policy.window.pinned == 0
    assert lengths == [min(first + count * one, 4 * one) for count in (1, 2, 3, 4, 5)]


def test_a_rolling_prompt_that_would_be_gone_at_once_is_refused(make_checkpoint, robot):
    policy = GatoPolicy(load_checkpoint(make_checkpoint(window_timesteps=1)), robot.timestep())
    with pytest.raises(ValueError, match='rolling prompt of 1 blocks was given, expected fewer '
                                         'than the 1 timesteps'):
        policy.reset('stack the red block', pinned=False)


@pytest.mark.parametrize('ends', [False, True])
def test_it_says_what_a_demonstration_shows_and_holds_to_that(make_checkpoint, robot, ends):
    checkpoint = load_checkpoint(make_checkpoint(names_demonstrations=True))
    model, tokenizer = checkpoint.model, TimestepTokenizer(robot.timestep())
    shown = [tokenizer.encode(seen.images, seen.proprioception, {TORQUES: np.zeros(8)})
             for seen in map(robot.example_observation, range(2))]
    table = model.embedding.table.weight
    if ends:  # somewhere on the way the end becomes likelier than the word that is repeated
        likely = table[said_by_hand(model, tokenizer, shown).ids[0]].clone()
        aside = torch.randn(len(likely), generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            table[tokenizer.text.end] = likely + 0.05 * likely.norm() * aside / aside.norm()
    said = said_by_hand(model, tokenizer, shown)
    assert (1 < len(said) < LONGEST_NAME) == ends
    policy = GatoPolicy(checkpoint, robot.timestep())
    policy.reset(shown)
    assert policy.said == tokenizer.text.decode(said.ids)
    assert policy.window.pinned == sum(map(len, shown)) + len(said)
    seen = robot.example_observation(5)
    assert policy.act(seen).tokens.tolist() == greedy_by_hand(
        model, tokenizer, [*shown, said], seen, pinned=3)
    policy.reset('stack the red block')
    assert policy.said == ''


def test_the_answer_carries_the_observations_stamp_and_times(policy, robot):
    observation = dataclasses.replace(robot.example_observation(), stamp_ns=123)
    action = policy.act(observation)
    assert action.stamp_ns == 123
    assert set(action.timing_ms) == {'tokenise', 'encode', 'prefill', 'decode', 'total'}


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


@pytest.mark.parametrize(('spoil', 'sentence'), [
    (spoil_weights, r'model\.safetensors is truncated or no safetensors file'),
    (spoil_header, r'model\.safetensors is truncated or no safetensors file'),
    (spoil_json, r'config\.json is not usable'),
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


def test_pictures_seen_ahead_change_nothing_but_the_time(policy, robot):
    first, second = robot.example_observation(0), robot.example_observation(1)
    expected = [policy.act(o).tokens.tolist() for o in (first, second)]
    policy.reset()
    for observation in (first, second):
        for camera, image in observation.images.items():
            policy.look(camera, image)
        action = policy.act(observation)
        assert action.tokens.tolist() == expected.pop(0)
    with pytest.raises(ValueError, match=r"'front' has shape \(1, 2, 3\), expected \(64, 64, 3\)"):
        policy.look('front', np.zeros((1, 2, 3), np.uint8))


def test_a_picture_that_changes_in_place_is_encoded_anew(policy, robot):
    observation = robot.example_observation(0)
    front = observation.images['front']
    policy.look('front', front)
    front[:] = 255 - front
    changed = policy.act(observation).tokens.tolist()
    policy.reset()
    policy._seen.clear()
    assert policy.act(observation).tokens.tolist() == changed


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
