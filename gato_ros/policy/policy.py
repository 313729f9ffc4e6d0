"""The one public class that answers: observations with actions, words and pictures with words.

    policy = GatoPolicy(load_checkpoint(), 'stacking')      # or a robot's specification
    policy.reset('stack the red block on the blue block')
    action = policy.act(observation)                        # paper, section 2.5

    chat = policy.beside('text')                            # the same weights, another context
    print(*chat.say('what is on the table?'), sep='')
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import torch

from gato_ros.model.sample import gumbel_noise
from gato_ros.policy.checkpoint import Checkpoint
from gato_ros.policy.choice import build_engine
from gato_ros.policy.eager import EagerEngine
from gato_ros.policy.engine import Engine, EngineError, OneCall, Place, one_sentence
from gato_ros.policy.stamps import FORGOTTEN, Stamps
from gato_ros.policy.turns import Turns
from gato_ros.policy.understanding import understand
from gato_ros.spec import Action, Observation, TimestepSpec
from gato_ros.tokens import images
from gato_ros.tokens.context import ContextWindow
from gato_ros.tokens.sequence import LOCAL_POSITIONS, Prompt, TimestepTokenizer, TokenBlock

LONGEST_NAME = 48  # tokens of what a policy says of a demonstration
LEAST_BLOCK = 32  # tokens of a block of fixed shape, however small a domain's timestep is

Turn = Callable[[], AbstractContextManager[None]]
Shown = np.ndarray | Mapping[str, np.ndarray] | Observation  # a picture, pictures by name, or all


class GatoPolicy:
    """A checkpoint at work on one sequence of one domain; not thread-safe.

    domain  name in the checkpoint, or the very specification of one
    temperature  of the actions; None: the domain's
    timesteps    largest number that is visible; None: the domain's, which is also the most
    engine  one of choice.ENGINES; auto: the fastest that works here
    sentences  what it was told in training, in this domain
    said    what the policy read in the demonstration that is pinned, in its own words, else ''
    understood  the sentence that is pinned: as given, or what it means as the weights say in
                the domain ``wordings``
    refusal     why a sentence is not acted on, in a sentence for people; '' where it is
    fallback_reason  why the fast engine does not work here, '' when it does

    Several contexts may share weights (:meth:`beside`), each in a thread of its own: they take
    turns, an action's whole step before the next single token of words.

    Raises CheckpointError when the checkpoint does not know the domain, EngineError when an engine
    is asked for that does not work here, or stops working.
    """

    def __init__(self, checkpoint: Checkpoint, domain: str | TimestepSpec,
                 temperature: float | None = None, seed: int = 0, engine: str = 'auto',
                 timesteps: int | None = None) -> None:
        self.checkpoint, self._wanted, self._turns = checkpoint, engine, Turns()
        self._begin(domain, temperature, seed, timesteps, lambda slots, block: build_engine(
            checkpoint.model, slots, engine, block))

    @property
    def checkpoint_hash(self) -> str:
        """Twelve digits that change with any byte of the checkpoint's files."""
        return self.checkpoint.hash

    def beside(self, domain: str | TimestepSpec, temperature: float | None = None,
               seed: int = 0, timesteps: int | None = None) -> GatoPolicy:
        """Begin another context over the same weights, of this domain or another.

        Raises CheckpointError and EngineError as a new policy does.
        """
        other = copy.copy(self)
        other._begin(domain, temperature, seed, timesteps, lambda slots, block: (
            self.engine.another(slots, block), self.fallback_reason))
        return other

    def _begin(self, domain: str | TimestepSpec, temperature: float | None, seed: int,
               timesteps: int | None,
               make_engine: Callable[[int, int], tuple[Engine, str]]) -> None:
        self.domain, config = domain, self.checkpoint.config.domain(domain)
        self.tokenizer, self.sentences = TimestepTokenizer(config.timestep), config.sentences
        self.wordings = config.wordings
        self._listener: GatoPolicy | None = None  # made when it is first needed
        self.temperature = config.temperature if temperature is None else temperature
        self.window = ContextWindow(config.window_tokens, config.visible(timesteps))
        whole = self.tokenizer.layout()
        with one_sentence(self._wanted):
            self.engine, self.fallback_reason = make_engine(
                config.window_tokens, max(len(whole), LEAST_BLOCK))
        self._generator = torch.Generator().manual_seed(seed)
        self._seed = seed
        acts = whole.action_part
        self._action_local = whole.local[acts]
        self._places = [Place(*map(int, place)) for place in zip(
            self._action_local, whole.low[acts], whole.high[acts], strict=True)]
        self._intervals = {f.name: images.intervals(f) for f in config.timestep.images}
        self._seen: dict[str, tuple[np.ndarray, torch.Tensor]] = {}  # encoded pictures by camera
        model = self.checkpoint.model
        self._no_pictures = torch.zeros(0, model.arch.width, device=model.device)
        self.reset()

    def reset(self, prompt: Prompt = '', seed: int | None = None, pinned: bool = True,
              literal: bool = False) -> None:
        """Forget the sequence and take a new prompt: a sentence, or a demonstration's blocks.

        A checkpoint that has learnt to goes on in words behind a pinned demonstration: they are
        pinned with it, and what the policy does can be compared with what it says. A prompt is as
        urgent as an action: what may wait for other contexts is for :meth:`say`. Where it has
        learnt to say what sentences mean, that is asked first: :meth:`act` refuses after nothing.

        seed  of the tokens drawn from here on; None: the policy's own, each time the same
        literal  whether a sentence is pinned as it is, whatever it means
        pinned  whether it stays in the window; else it leaves as timesteps come, as in the paper

        Raises ValueError when there is no room for it, or it would be gone at the first timestep.
        """
        self.window.clear()
        self._stamps = Stamps()
        self.said = self.understood = self.refusal = ''
        self._generator.manual_seed(self._seed if seed is None else seed)
        self._pending: tuple[np.ndarray, np.ndarray] | None = None  # action slots and ids
        self._answer: object = None  # the one that is being said
        if isinstance(prompt, str) and prompt:
            self.understood, self.refusal = (prompt, '') if literal else self._meaning(prompt)
            prompt = self.understood
        blocks = ([self.tokenizer.sentence(prompt)] if prompt else []
                  ) if isinstance(prompt, str) else prompt
        most = self.window.max_timesteps
        if blocks and not pinned and most is not None and most <= len(blocks):
            raise ValueError(f'a rolling prompt of {len(blocks)} blocks was given, expected fewer '
                             f'than the {most} timesteps that this checkpoint sees; pin it')
        needed = sum(map(len, blocks)) + len(self.tokenizer.layout())
        if not pinned and needed > self.window.capacity:
            raise ValueError(f'a rolling prompt and one timestep are {needed} tokens, expected at '
                             f'most {self.window.capacity}: it would leave before it is read; '
                             'take a shorter one')
        for block in blocks:
            slots = (self.window.pin if pinned else self.window.append)(len(block))
            with self._computing(self._turns.urgent):
                self._extend(block, slots)
        shown = bool(blocks) and pinned and not isinstance(prompt, str)
        if shown and self.checkpoint.config.names_demonstrations:
            self.said = ''.join(self.tokenizer.text.pieces(self._speak(
                LONGEST_NAME, 0.0, self.window.pin, self._turns.urgent)))

    def _meaning(self, said: str) -> tuple[str, str]:
        """Return what a sentence is taken as, and why it is not acted on."""
        if not self.wordings:
            return said, ''
        self._listener = self._listener or self.beside(self.wordings)
        return understand(said, self.sentences, self._listener)

    def warm_up(self, steps: int = 3) -> None:
        """Answer examples until the first, slow calls are over; then reset.

        An engine that was chosen here and turns out not to work makes room for the eager one.
        """
        try:
            for _ in range(steps):
                self._answer_example()
            self._meaning('hello')
        except EngineError as error:
            if self._wanted != 'auto' or isinstance(self.engine, EagerEngine):
                raise
            self.fallback_reason = str(error)
            self.engine = EagerEngine(self.checkpoint.model, self.window.capacity)
            self._seen.clear()
            self._listener = None
            self.reset()
            self.warm_up(steps)
        self.reset()

    def _answer_example(self) -> None:
        spec = self.tokenizer.spec
        if not (spec.images or spec.tensors or spec.actions):
            self.reset()
            list(self.say('hello', longest=2))
            return
        blank = {f.name: np.zeros((f.height, f.width, 3), np.uint8) for f in spec.images}
        self.act(Observation(blank, {f.name: np.zeros(f.size) for f in spec.tensors}))

    def act(self, observation: Observation,
            sent: Mapping[str, np.ndarray] | None = None) -> Action:
        """Append an observation, sample an action token by token, decode it.

        sent  the former action as it was really sent, behind the gate: it replaces in the context
              what was sampled. None: the sampled one was sent.

        Where timesteps are missing before it, the answer says how many; after a long hole the
        window is cleared up to its prompt.

        Raises ValueError for what the specification does not allow, and where ``refusal`` is set.
        """
        if self.refusal:
            raise ValueError(self.refusal)
        with self._computing(self._turns.urgent):
            return self._act(observation, sent)

    def _act(self, observation: Observation, sent: Mapping[str, np.ndarray] | None) -> Action:
        times = [time.perf_counter()]
        block = self.tokenizer.observe(observation)
        layout = block.layout
        missing = self._stamps.missing(observation.stamp_ns) * (self.window.timesteps > 0)
        if missing > FORGOTTEN:
            self.window.forget()
            self._pending = None
        former = self._former_action(sent)
        times.append(time.perf_counter())
        at_once = self.engine if isinstance(self.engine, OneCall) and self._places else None
        seen = [] if at_once else [self._encode(name, observation.images[name])
                                   for name in self._intervals]
        pictures = torch.cat(seen) if seen else self._no_pictures
        times.append(time.perf_counter())

        slots = self.window.append(len(block) + len(self._places))
        ids, local, into = block.ids, layout.local, slots[:len(block)]
        if former is not None and self.window.timesteps > 1:  # else it has left the window
            ids = np.concatenate([former[1], ids])
            local = np.concatenate([self._action_local[-len(former[1]):], local])
            into = np.concatenate([former[0], into])
        self._answer = None
        acts = slots[len(block):]
        if at_once:
            ids = at_once.step(
                (block.patches, layout.rows, layout.columns), ids, local, into, self._places,
                acts, self.window, self.temperature, self._noise(self._places, self.temperature))
            times.append(times[-1])
        else:
            self.engine.extend(ids, local, pictures, into, self.window)
            times.append(time.perf_counter())
            ids = self._sample(self._places, acts, self.temperature)
        self._pending = (acts, ids) if self._places else None
        values = self.tokenizer.decode_action(ids)
        times.append(time.perf_counter())
        spent = np.diff(times) * 1e3
        return Action(values, ids.astype(np.int64), observation.stamp_ns, {
            **dict(zip(('tokenise', 'encode', 'prefill', 'decode'), spent, strict=True)),
            'total': spent.sum()}, missing * (self.window.max_timesteps != 1))

    def look(self, camera: str, image: np.ndarray) -> None:
        """Encode a picture, uint8 (H, W, 3), ahead of the observation that it belongs to.

        Raises ValueError for a shape that the specification does not say.
        """
        field = next(f for f in self.tokenizer.spec.images if f.name == camera)
        if image.shape != (field.height, field.width, 3):
            raise ValueError(f'{camera!r} has shape {image.shape}, expected '
                             f'({field.height}, {field.width}, 3)')
        if not isinstance(self.engine, OneCall):  # else it is part of the step's one call
            with self._computing(self._turns.urgent):
                self._encode(camera, image)

    def say(self, prompt: str = '', temperature: float = 0.0,
            longest: int | None = None) -> Iterator[str]:
        """Read a sentence behind what is in the context, and answer it piece by piece.

        The answer ends at the end mark, or at ``longest`` tokens; ''.join(...) is the whole of it.
        What was said stays in the context, oldest out first; :meth:`reset` forgets it. An action
        of this context counts as sent as it was sampled.

        temperature  0: the likeliest token each time
        longest  1 ... 512, and no more than the window has beside a pinned prompt; None: the most

        Raises ValueError for a prompt that is too long, or none where nothing was read before.
        """
        asked = self.tokenizer.asked(prompt)
        if not asked and not self.window.tokens:
            raise ValueError('there is nothing to go on from: give a prompt, or reset with one')
        return self._answer_to(asked, temperature, longest)

    def describe(self, shown: Shown, prompt: str = '', temperature: float = 0.0,
                 longest: int | None = None) -> Iterator[str]:
        """Read an observation of this domain, and say piece by piece what follows it.

        shown   uint8 (H, W, 3) where the domain has one camera and nothing else; pictures by
                name; or a whole Observation
        prompt  a question about it, which is read behind it
        temperature, longest  as of :meth:`say`

        Raises ValueError for what the domain does not say, and for a prompt that is too long.
        """
        if isinstance(shown, np.ndarray):
            names = list(self._intervals)
            if len(names) != 1:
                raise ValueError(f'one picture was given, expected {len(names)} by name: '
                                 f'{", ".join(names) or "this domain has none"}')
            shown = {names[0]: shown}
        observation = shown if isinstance(shown, Observation) else Observation(shown)
        blocks = [self.tokenizer.observe(observation), *self.tokenizer.asked(prompt)]
        return self._answer_to(blocks, temperature, longest)

    def _answer_to(self, blocks: Sequence[TokenBlock], temperature: float,
                   longest: int | None) -> Iterator[str]:
        """Read blocks as timesteps, then speak; all in passes that take a patient turn each."""
        most = min(LOCAL_POSITIONS, self.window.capacity - self.window.pinned)
        if longest is not None and not 1 <= longest <= most:
            raise ValueError(f'longest is {longest}, expected 1 to {most}')
        if not 0 <= temperature < math.inf:
            raise ValueError(f'temperature is {temperature}, expected 0 or more')
        # The answer is a timestep; what it stands behind are others, unless it is pinned.
        sees, needed = self.window.max_timesteps, 1 + (len(blocks) or not self.window.pinned)
        if sees is not None and sees < needed:
            raise ValueError(f'window_timesteps of this domain is {sees}, expected at least '
                             f'{needed}: an answer would not see what it answers')
        self._write_former_action()
        for block in blocks:
            slots = self.window.append(len(block))
            for start in range(0, len(block), self.engine.stride):
                length = min(self.engine.stride, len(block) - start)
                with self._computing(self._turns.patient):
                    self._extend(block.part(start, length), slots[start:start + length])
        self.window.append(0)  # the answer is a timestep, too
        return self.tokenizer.text.pieces(self._speak(
            longest or most, temperature, self.window.grow, self._turns.patient))

    def _speak(self, longest: int, temperature: float, make_room: Callable[[int], np.ndarray],
               turn: Turn) -> Iterator[int]:
        """Sample text and take it into the context, token by token, up to the end mark's."""
        layout, unused = self.tokenizer.sentence_layout(longest), np.zeros(1, np.int64)
        place, end = Place(0, *self.tokenizer.text_range()), self.tokenizer.text.end
        nothing = np.zeros((0, 16, 16, 3), np.uint8)
        self._answer = mine = object()

        def tokens() -> Iterator[int]:
            for count in range(longest):
                if self._answer is not mine:
                    raise ValueError('this answer was interrupted: the policy was told or shown '
                                     'something else since, so ask again')
                with self._computing(turn):
                    token = self._sample([place], unused, temperature)
                    self._extend(TokenBlock(token, nothing, layout.part(count, 1)), make_room(1))
                yield int(token[0])
                if token[0] == end:
                    return
        return tokens()

    def _sample(self, places: Sequence[Place], slots: np.ndarray,
                temperature: float) -> np.ndarray:
        """Return an id for each place, int32, behind what the engine has read."""
        if not places:
            return np.zeros(0, np.int32)
        return self.engine.decode(places, slots, self.window, temperature,
                                  self._noise(places, temperature))

    def _noise(self, places: Sequence[Place], temperature: float) -> list[np.ndarray] | None:
        """Draw the noise of each place, in order; none where the likeliest ids are wanted."""
        return [gumbel_noise(place.high - place.low, self._generator).numpy()
                for place in places] if temperature else None

    def _extend(self, block: TokenBlock, slots: np.ndarray) -> None:
        """Take a block into slots that the window has for it."""
        layout = block.layout
        pictures = (self.engine.encode(block.patches, layout.rows, layout.columns)
                    if len(block.patches) else self._no_pictures)
        self.engine.extend(block.ids, layout.local, pictures, slots, self.window)

    def _encode(self, camera: str, image: np.ndarray) -> torch.Tensor:
        """Return a picture's vectors (P, D); the last one of each camera is kept."""
        seen = self._seen.get(camera)
        if seen is None or not np.array_equal(seen[0], image):
            encoded = self.engine.encode(images.patches(image), *self._intervals[camera])
            seen = self._seen[camera] = image.copy(), encoded
        return seen[1]

    def _former_action(self, sent: Mapping[str, np.ndarray] | None
                       ) -> tuple[np.ndarray, np.ndarray] | None:
        """Return slots and ids of what the ring still lacks of the former action, as it was sent.

        That is its last token, which was sampled and not appended, and whatever stands behind
        the first token that was not sent as it was sampled: those keys are written anew.
        """
        if self._pending is None:
            return None
        slots, sampled = self._pending
        ids = sampled if sent is None else self.tokenizer.encode_action(sent)
        kept = int(np.argmax(np.append(ids[:-1] != sampled[:-1], True)))
        return slots[kept:], ids[kept:]

    def _write_former_action(self) -> None:
        """Complete the former action as it was sampled, so that words may follow it."""
        former, self._pending = self._former_action(None), None
        if former is not None:
            with self._computing(self._turns.patient):
                self.engine.extend(former[1], self._action_local[-len(former[1]):],
                                   self._no_pictures, former[0], self.window)

    @contextmanager
    def _computing(self, turn: Turn) -> Iterator[None]:
        """Take a turn; what the engine says of a device that has gone becomes one sentence."""
        with one_sentence(self.engine.name), turn():
            yield
