"""What a policy says: behind words, behind a picture, behind what it did; token by token."""

import numpy as np
import pytest
import torch

from gato_ros.model.layout import sequence_layout
from gato_ros.policy.checkpoint import DomainConfig, load_checkpoint
from gato_ros.policy.cpu import NativeEngine
from gato_ros.policy.cuda import CudaEngine
from gato_ros.policy.eager import EagerEngine
from gato_ros.policy.policy import GatoPolicy
from gato_ros.robot import TORQUES
from gato_ros.spec import ImageField, Observation, TimestepSpec
from gato_ros.tokens.sequence import LOCAL_POSITIONS, TimestepTokenizer, TokenBlock

QUESTION = 'what is on the table'
PHOTO = TimestepSpec((ImageField('photo', 32, 48),))
ENGINES = {
    'eager': EagerEngine, 'native': NativeEngine,
    'cuda': lambda model, slots: CudaEngine(model, slots, 32, torch.float32)}


@pytest.fixture
def checkpoint(make_checkpoint):
    return load_checkpoint(make_checkpoint(more={
        'text': DomainConfig(TimestepSpec(), window_tokens=300),
        'photo': DomainConfig(PHOTO, window_tokens=200)}))


@pytest.fixture(params=ENGINES)
def open_policy(request, checkpoint):
    """Return a function that opens a domain of the checkpoint on one of the engines."""
    def build(domain, **more):
        policy = GatoPolicy(checkpoint, domain, engine='eager', **more)
        policy.engine = ENGINES[request.param](checkpoint.model, policy.window.capacity)
        return policy
    return build


def by_hand(model, tokenizer, blocks, longest):
    """The likeliest words behind blocks, by recomputing all of it for every token."""
    said = tokenizer.sentence('')
    while len(said) < longest and tokenizer.text.end not in said.ids[-1:]:
        parts = [*blocks, said]
        layout = sequence_layout([b.layout for b in parts])
        ids, patches = (torch.from_numpy(np.concatenate([getattr(b, part) for b in parts]))
                        for part in ('ids', 'patches'))
        hidden = model(ids.long()[None], patches[None], layout, layout.causal_mask())[0, -1]
        best = int(model.logits(hidden, *tokenizer.text_range()).argmax())
        said = TokenBlock(np.append(said.ids, np.int32(best)), said.patches,
                          tokenizer.sentence_layout(len(said) + 1))
    return said


def make_end_likely(model, tokenizer, blocks):
    """Let the end mark win where the likeliest word is another one than before."""
    ids = by_hand(model, tokenizer, blocks, 60).ids
    another = ids[np.flatnonzero(ids != ids[0])[0]]
    with torch.no_grad():
        model.embedding.table.weight[tokenizer.text.end] = (
            1.01 * model.embedding.table.weight[another])


def photo(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (32, 48, 3), np.uint8)


def test_it_answers_a_sentence_in_a_block_of_its_own(checkpoint, open_policy):
    policy = open_policy('text')
    tokenizer = policy.tokenizer
    question = tokenizer.sentence(QUESTION)
    expected = by_hand(checkpoint.model, tokenizer, [question], 12)
    pieces = list(policy.say(QUESTION, longest=12))
    assert ''.join(pieces) == tokenizer.text.decode(expected.ids)
    assert len(pieces) > 6 and all(pieces)
    assert policy.window.tokens == len(question) + 12
    # A second question stands behind the first answer.
    second = tokenizer.sentence('and now')
    expected = by_hand(checkpoint.model, tokenizer, [question, expected, second], 5)
    assert ''.join(policy.say('and now', longest=5)) == tokenizer.text.decode(expected.ids)
    # Without a question it goes on behind what there is.
    policy.reset(QUESTION)
    expected = by_hand(checkpoint.model, tokenizer, [question], 12)
    assert ''.join(policy.say(longest=12)) == tokenizer.text.decode(expected.ids)
    assert policy.window.pinned == len(question)


def test_it_ends_with_the_end_mark_which_stays_in_the_context(checkpoint, open_policy):
    tokenizer = TimestepTokenizer(TimestepSpec())
    question = tokenizer.sentence(QUESTION)
    make_end_likely(checkpoint.model, tokenizer, [question])
    expected = by_hand(checkpoint.model, tokenizer, [question], 60)
    assert 1 < len(expected) < 60 and expected.ids[-1] == tokenizer.text.end
    policy = open_policy('text')
    assert ''.join(policy.say(QUESTION)) == tokenizer.text.decode(expected.ids)
    assert policy.window.tokens == len(question) + len(expected)


def test_it_describes_a_picture_behind_its_timestep(checkpoint, open_policy):
    policy, picture = open_policy('photo'), photo()
    seen = policy.tokenizer.observe(Observation({'photo': picture}))
    expected = by_hand(checkpoint.model, policy.tokenizer, [seen], 8)
    assert expected.ids.tolist() != by_hand(
        checkpoint.model, policy.tokenizer,
        [policy.tokenizer.observe(Observation({'photo': photo(1)}))], 8).ids.tolist()
    for shown in (picture, {'photo': picture}, Observation({'photo': picture})):
        policy.reset()
        text = ''.join(policy.describe(shown, longest=8))
        assert text == policy.tokenizer.text.decode(expected.ids)
    assert policy.window.tokens == len(seen) + 8


def test_it_answers_a_question_about_a_picture(checkpoint, open_policy):
    policy = open_policy('photo')
    blocks = [policy.tokenizer.observe(Observation({'photo': photo()})),
              policy.tokenizer.sentence(QUESTION)]
    expected = by_hand(checkpoint.model, policy.tokenizer, blocks, 8)
    text = ''.join(policy.describe(photo(), QUESTION, longest=8))
    assert text == policy.tokenizer.text.decode(expected.ids)
    assert policy.window.tokens == sum(map(len, blocks)) + 8


def test_words_stand_behind_what_it_did_and_it_goes_on_behind_its_words(
        checkpoint, open_policy, robot):
    """The last action token was sampled and not yet read: words complete it."""
    policy = open_policy('stacking')
    tokenizer, first = policy.tokenizer, robot.example_observation(0)
    done = policy.act(first)
    blocks = [tokenizer.encode(first.images, first.proprioception,
                               tokenizer.decode_action(done.tokens)), tokenizer.sentence(QUESTION)]
    blocks.append(by_hand(checkpoint.model, tokenizer, blocks, 6))
    text = ''.join(policy.say(QUESTION, longest=6))
    assert text == tokenizer.text.decode(blocks[-1].ids)
    second = robot.example_observation(1)
    tokens = policy.act(second, {TORQUES: np.zeros(8)}).tokens
    parts = [*blocks, tokenizer.observe(second)]
    layout = sequence_layout([b.layout for b in parts])
    ids, patches = (torch.from_numpy(np.concatenate([getattr(b, part) for b in parts]))
                    for part in ('ids', 'patches'))
    hidden = checkpoint.model(ids.long()[None], patches[None], layout, layout.causal_mask())[0, -1]
    assert tokens[0] == 32000 + int(checkpoint.model.logits(hidden, 32000, 33024).argmax())


def test_a_token_is_computed_when_it_is_asked_for(checkpoint, monkeypatch):
    policy = GatoPolicy(checkpoint, 'text', engine='eager')
    decode, passes = policy.engine.decode, []
    monkeypatch.setattr(policy.engine, 'decode', lambda *args: (
        passes.append(args), decode(*args))[1])
    answer = policy.say(QUESTION)
    assert not passes
    next(answer)
    first = len(passes)
    next(answer)
    assert 0 < first < len(passes) < 10


def test_sampled_words_follow_the_seed(checkpoint):
    policy = GatoPolicy(checkpoint, 'text', seed=3)
    greedy = ''.join(policy.say(QUESTION, longest=20))
    said = []
    for seed in (3, 3, 4):
        policy.reset(seed=seed)
        said.append(''.join(policy.say(QUESTION, temperature=1.0, longest=20)))
    assert said[0] == said[1] and len({greedy, *said}) == 3


def test_a_long_talk_forgets_its_oldest_sentences(checkpoint):
    policy = GatoPolicy(checkpoint, 'text')
    for _ in range(8):
        list(policy.say(QUESTION, longest=100))
    assert 200 < policy.window.tokens <= 300
    assert ''.join(policy.say(QUESTION))  # an answer as long as the whole window
    assert policy.window.tokens == 300


def test_a_letter_of_several_tokens_comes_whole(checkpoint):
    """The shipped text model spells what it does not know in bytes."""
    policy = GatoPolicy(checkpoint, 'text')
    ids = policy.tokenizer.text.encode('a 机器人 and a ü')
    pieces = list(policy.tokenizer.text.pieces(ids.tolist()))
    assert ''.join(pieces) == policy.tokenizer.text.decode(ids)
    assert len(pieces) < len(ids) and not any('\ufffd' in piece for piece in pieces)


def test_an_answer_that_was_interrupted_says_so(checkpoint, robot):
    policy = GatoPolicy(checkpoint, 'stacking')
    for interrupt in (policy.reset, lambda: policy.act(robot.example_observation()),
                      lambda: policy.say('and now')):
        answer = policy.say(QUESTION)
        next(answer)
        interrupt()
        with pytest.raises(ValueError, match='interrupted: the policy was told or shown'):
            list(answer)


def test_what_cannot_be_said_or_described(checkpoint, make_checkpoint):
    policy = GatoPolicy(checkpoint, 'text')
    with pytest.raises(ValueError, match='nothing to go on from: give a prompt'):
        policy.say()
    with pytest.raises(ValueError, match='a prompt of [0-9]+ tokens was given, expected at most '
                                         f'{LOCAL_POSITIONS}: say it in parts'):
        policy.say('one word ' * 500)
    with pytest.raises(ValueError, match='longest is 0, expected 1 to 300'):
        policy.say(QUESTION, longest=0)
    with pytest.raises(ValueError, match='longest is 301, expected 1 to 300'):
        policy.say(QUESTION, longest=301)
    for temperature in (-1.0, float('nan'), float('inf')):
        with pytest.raises(ValueError, match=f'temperature is {temperature}, expected 0 or more'):
            policy.say(QUESTION, temperature)
    assert policy.window.tokens == 0, 'nothing of what is refused is read'
    with pytest.raises(ValueError, match='one picture was given, expected 0 by name: this'):
        policy.describe(photo())
    with pytest.raises(ValueError, match='was given, expected 2 by name: front, wrist'):
        GatoPolicy(checkpoint, 'stacking').describe(photo())
    with pytest.raises(ValueError, match=r"'photo' has shape \(48, 48, 3\), expected"):
        GatoPolicy(checkpoint, 'photo').describe(np.zeros((48, 48, 3), np.uint8))
    short = GatoPolicy(load_checkpoint(make_checkpoint('short', window_timesteps=1)), 'stacking')
    with pytest.raises(ValueError, match='window_timesteps of this domain is 1, expected at least '
                                         '2: an answer would not see what it answers'):
        short.say(QUESTION)
    short.reset(QUESTION)
    assert ''.join(short.say(longest=4)), 'what is pinned is seen'
