"""The policy: sampled tokens, and the context it keeps."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gato_ros.model.layout import sequence_layout
from gato_ros.nodes.policy.loading import load_policy
from gato_ros.policy.checkpoint import checkpoint_hash, load_checkpoint
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


def test_the_nodes_loader_leaves_its_callers_parameters_alone(make_checkpoint, robot):
    folder = make_checkpoint()
    params = SimpleNamespace(checkpoint=str(folder), threads=1, device='cpu', seed=3,
                             temperature=-1.0, engine='auto')
    given = dict(vars(params))
    loaded = load_policy(params, robot)
    assert vars(params) == given
    assert loaded.checkpoint_hash == checkpoint_hash(folder)
    assert loaded.act(robot.example_observation()).tokens.shape == (8,)


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
