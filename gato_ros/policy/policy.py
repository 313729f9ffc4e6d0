"""The one public class that answers observations with actions (paper, section 2.5).

    policy = GatoPolicy(load_checkpoint(), load_robot('panda_sim').timestep())
    policy.reset('stack the red block on the blue block')
    action = policy.act(observation)
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import torch

from gato_ros.model.sample import waits
from gato_ros.policy.checkpoint import Checkpoint, require_match
from gato_ros.policy.engine import EagerEngine, EngineError, Place, build_engine, one_sentence
from gato_ros.spec import Action, Observation, TimestepSpec
from gato_ros.tokens import images
from gato_ros.tokens.context import ContextWindow
from gato_ros.tokens.sequence import Prompt, TimestepTokenizer, TokenBlock

LONGEST_NAME = 48  # tokens of what a policy says of a demonstration


class GatoPolicy:
    """A checkpoint at work on one sequence; not thread-safe.

    engine  one of engine.ENGINES; auto: the fastest that works here
    said    what the policy read in the demonstration that is pinned, in its own words, else ''
    slow    why the fast engine does not work here, '' when it does

    Raises CheckpointError when the checkpoint was trained for another specification, EngineError
    when an engine is asked for that does not work here, or stops working.
    """

    def __init__(self, checkpoint: Checkpoint, spec: TimestepSpec,
                 temperature: float | None = None, seed: int = 0, engine: str = 'auto') -> None:
        require_match(checkpoint.config, spec)
        config = checkpoint.config
        self.checkpoint = checkpoint
        self.tokenizer = TimestepTokenizer(spec)
        self.temperature = config.temperature if temperature is None else temperature
        self.window = ContextWindow(config.window_tokens, config.window_timesteps)
        self._wanted = engine
        self.engine, self.slow = build_engine(
            checkpoint.model, config.window_tokens, engine, len(self.tokenizer.layout()))
        self._generator = torch.Generator().manual_seed(seed)
        self._seed = seed
        whole = self.tokenizer.layout()
        self._action_local = whole.local[-whole.actions:]
        self._places = [Place(*map(int, place)) for place in zip(
            self._action_local, whole.low[-whole.actions:], whole.high[-whole.actions:],
            strict=True)]
        self._intervals = {f.name: images.intervals(f) for f in spec.images}
        self._seen: dict[str, tuple[np.ndarray, torch.Tensor]] = {}  # encoded pictures by camera
        self.reset()

    def reset(self, prompt: Prompt = '', seed: int | None = None, pinned: bool = True) -> None:
        """Forget the sequence and take a new prompt: a sentence, or a demonstration's blocks.

        A checkpoint that has learnt to goes on in words behind a pinned demonstration: they are
        pinned with it, and what the policy does can be compared with what it says.

        seed  of the tokens drawn from here on; None: the policy's own, so that each reset draws
              the same
        pinned  whether it stays in the window; else it leaves as timesteps come, as in the paper

        Raises ValueError when there is no room for it, or it would be gone at the first timestep.
        """
        self.window.clear()
        self.said = ''
        self._generator.manual_seed(self._seed if seed is None else seed)
        self._pending: tuple[np.ndarray, np.ndarray] | None = None  # action slots and ids
        blocks = ([self.tokenizer.sentence(prompt)] if prompt else []
                  ) if isinstance(prompt, str) else prompt
        most = self.window.max_timesteps
        if blocks and not pinned and most is not None and most <= len(blocks):
            raise ValueError(f'a rolling prompt of {len(blocks)} blocks was given, expected fewer '
                             f'than the {most} timesteps that this checkpoint sees; pin it')
        with one_sentence(self.engine.name):
            for block in blocks:
                self._read(block, pinned)
        shown = bool(blocks) and pinned and not isinstance(prompt, str)
        if shown and self.checkpoint.config.names_demonstrations:
            self.said = self._name()

    def warm_up(self, steps: int = 3) -> None:
        """Answer example observations until the first, slow calls are over; then reset.

        An engine that was chosen here and turns out not to work makes room for the eager one.
        """
        spec = self.tokenizer.spec
        blank = {f.name: np.zeros((f.height, f.width, 3), np.uint8) for f in spec.images}
        tensors = {f.name: np.zeros(f.size) for f in spec.tensors}
        try:
            for _ in range(steps):
                self.act(Observation(blank, tensors))
        except EngineError as error:
            if self._wanted != 'auto' or isinstance(self.engine, EagerEngine):
                raise
            self.slow = str(error)
            self.engine = EagerEngine(self.checkpoint.model, self.window.capacity)
            self._seen.clear()
            self.reset()
            self.warm_up(steps)
        self.reset()

    def act(self, observation: Observation,
            sent: Mapping[str, np.ndarray] | None = None) -> Action:
        """Append an observation, sample an action token by token, decode it.

        sent  the former action as it was really sent, behind the gate: it replaces in the context
              what was sampled. None: the sampled one was sent.
        """
        with one_sentence(self.engine.name):
            return self._act(observation, sent)

    def _act(self, observation: Observation, sent: Mapping[str, np.ndarray] | None) -> Action:
        times = [time.perf_counter()]
        block = self.tokenizer.observe(observation)
        layout = block.layout
        former = self._former_action(sent)
        times.append(time.perf_counter())
        seen = [self._encode(name, observation.images[name]) for name in self._intervals]
        pictures = torch.cat(seen) if seen else torch.empty(0)
        times.append(time.perf_counter())

        slots = self.window.append(len(block) + len(self._places))
        ids, local, into = block.ids, layout.local, slots[:len(block)]
        if former is not None and self.window.timesteps > 1:  # else it has left the window
            ids = np.concatenate([former[1], ids])
            local = np.concatenate([self._action_local[-len(former[1]):], local])
            into = np.concatenate([former[0], into])
        self.engine.extend(ids, local, pictures, into, self.window)
        times.append(time.perf_counter())

        slots = slots[len(block):]
        noise = [waits(place.high - place.low, self._generator).numpy()
                 for place in self._places] if self.temperature else None
        ids = self.engine.decode(self._places, slots, self.window, self.temperature, noise)
        self._pending = slots, ids
        values = self.tokenizer.decode_action(ids)
        times.append(time.perf_counter())
        spent = np.diff(times) * 1e3
        return Action(values, ids.astype(np.int64), observation.stamp_ns, {
            **dict(zip(('tokenise', 'encode', 'prefill', 'decode'), spent, strict=True)),
            'total': spent.sum()})

    def look(self, camera: str, image: np.ndarray) -> None:
        """Encode a picture, uint8 (H, W, 3), ahead of the observation that it belongs to.

        Raises ValueError for a shape that the specification does not say.
        """
        field = next(f for f in self.tokenizer.spec.images if f.name == camera)
        if image.shape != (field.height, field.width, 3):
            raise ValueError(f'{camera!r} has shape {image.shape}, expected '
                             f'({field.height}, {field.width}, 3)')
        with one_sentence(self.engine.name):
            self._encode(camera, image)

    def _read(self, block: TokenBlock, pinned: bool = True) -> None:
        """Take a prompt's block into the window."""
        layout, make_room = block.layout, self.window.pin if pinned else self.window.append
        pictures = self.engine.encode(block.patches, layout.rows, layout.columns)
        self.engine.extend(block.ids, layout.local, pictures, make_room(len(block)), self.window)

    def _name(self) -> str:
        """Say what the pinned demonstration shows, the likeliest token each time; pin that too."""
        text, layout = self.tokenizer.text, self.tokenizer.sentence_layout(LONGEST_NAME)
        place, unused = Place(0, *self.tokenizer.text_range()), np.zeros(1, np.int64)
        nothing, ids = self.tokenizer.sentence('').patches, np.zeros(0, np.int32)
        with one_sentence(self.engine.name):
            while len(ids) < LONGEST_NAME and text.end not in ids[-1:]:
                token = self.engine.decode([place], unused, self.window)
                self._read(TokenBlock(token, nothing, layout.part(len(ids), 1)))
                ids = np.append(ids, token)
        return text.decode(ids)

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
