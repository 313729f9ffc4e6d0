"""The one public class that answers observations with actions (paper, section 2.5).

    policy = GatoPolicy(load_checkpoint(), load_robot('panda_sim').timestep())
    policy.reset('stack the red block on the blue block')
    action = policy.act(observation)
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from gato_ros.model.kv_cache import reach
from gato_ros.model.layout import SequenceLayout, sequence_layout
from gato_ros.model.sample import sample
from gato_ros.policy.checkpoint import Checkpoint, require_match
from gato_ros.spec import Action, Observation, TimestepSpec
from gato_ros.tokens.context import ContextWindow
from gato_ros.tokens.sequence import Layout, TimestepTokenizer, TokenBlock

Prompt = str | Sequence[TokenBlock]


class GatoPolicy:
    """A checkpoint at work on one sequence; not thread-safe.

    Raises CheckpointError when the checkpoint was trained for another specification.
    """

    def __init__(self, checkpoint: Checkpoint, spec: TimestepSpec,
                 temperature: float | None = None, seed: int = 0) -> None:
        require_match(checkpoint.config, spec)
        config = checkpoint.config
        self.checkpoint = checkpoint
        self.tokenizer = TimestepTokenizer(spec)
        self.temperature = config.temperature if temperature is None else temperature
        self.window = ContextWindow(config.window_tokens, config.window_timesteps)
        self._model = checkpoint.model
        self._cache = self._model.new_cache(config.window_tokens)
        self._generator = torch.Generator(self._model.device).manual_seed(seed)
        self._seed = seed
        self._layouts: dict[tuple[Layout, ...], SequenceLayout] = {}
        whole = self.tokenizer.layout()
        self._actions = [whole.part(len(whole) - whole.actions + i, 1)
                         for i in range(whole.actions)]
        self._action_tail = whole.part(len(whole) - whole.actions, whole.actions)
        self.reset()

    def reset(self, prompt: Prompt = '') -> None:
        """Forget the sequence and pin a new prompt: a sentence, or a demonstration's blocks."""
        self.window.clear()
        self._generator.manual_seed(self._seed)
        self._pending: tuple[np.ndarray, np.ndarray] | None = None  # action slots and ids
        blocks = ([self.tokenizer.sentence(prompt)] if prompt else []
                  ) if isinstance(prompt, str) else prompt
        for block in blocks:
            self._extend([block], self.window.pin(len(block)))

    def warm_up(self, steps: int = 3) -> None:
        """Answer example observations until the first, slow calls are over; then reset."""
        spec = self.tokenizer.spec
        images = {f.name: np.zeros((f.height, f.width, 3), np.uint8) for f in spec.images}
        tensors = {f.name: np.zeros(f.size) for f in spec.tensors}
        for _ in range(steps):
            self.act(Observation(images, tensors))
        self.reset()

    @torch.inference_mode()
    def act(self, observation: Observation,
            sent: Mapping[str, np.ndarray] | None = None) -> Action:
        """Append an observation, sample an action token by token, decode it.

        sent  the former action as it was really sent, behind the gate: it replaces in the context
              what was sampled. None: the sampled one was sent.
        """
        start = time.perf_counter()
        block = self.tokenizer.observe(observation)
        prefix = self._former_action(sent)
        tokenised = time.perf_counter()

        count = len(self._actions)
        slots = self.window.append(len(block) + count)
        blocks = [block]
        if prefix is not None and self.window.visible[prefix[0]].all():
            # Keys of the former action are written anew, now that it is known what was sent.
            blocks.insert(0, TokenBlock(prefix[1], block.patches[:0], self._action_tail))
            hidden = self._extend(blocks, np.concatenate([prefix[0], slots[:len(block)]]))
        else:
            hidden = self._extend(blocks, slots[:len(block)])
        prefilled = time.perf_counter()

        ids = np.zeros(count, np.int32)
        for i, layout in enumerate(self._actions):
            low, high = int(layout.low[0]), int(layout.high[0])
            logits = self._model.logits(hidden[-1], low, high)
            ids[i] = low + int(sample(logits, self.temperature, self._generator))
            if i + 1 < count:
                token = TokenBlock(ids[i:i + 1], block.patches[:0], layout)
                hidden = self._extend([token], slots[len(block) + i:len(block) + i + 1])
        self._pending = slots[len(block):], ids
        values = self.tokenizer.decode_action(ids)
        done = time.perf_counter()
        return Action(values, ids.astype(np.int64), observation.stamp_ns, {
            'tokenise': (tokenised - start) * 1e3, 'prefill': (prefilled - tokenised) * 1e3,
            'decode': (done - prefilled) * 1e3, 'total': (done - start) * 1e3})

    def _former_action(self, sent: Mapping[str, np.ndarray] | None
                       ) -> tuple[np.ndarray, np.ndarray] | None:
        """Return slots and ids of the former action, as it was sent."""
        if self._pending is None or sent is None:
            return self._pending
        return self._pending[0], self.tokenizer.encode_action(sent)

    @torch.inference_mode()
    def _extend(self, blocks: Sequence[TokenBlock], slots: np.ndarray) -> torch.Tensor:
        """Run consecutive blocks through the model into ``slots``; hidden states (T, D)."""
        key = tuple(b.layout for b in blocks)
        device = self._model.device
        if key not in self._layouts:
            self._layouts[key] = sequence_layout(key, device=device)
        ids = np.concatenate([b.ids for b in blocks]).astype(np.int64)
        patches = np.concatenate([b.patches for b in blocks])
        return self._model.extend(
            torch.from_numpy(ids).to(device), torch.from_numpy(patches).to(device),
            self._layouts[key], self._cache,
            reach(self.window, slots, self._model.arch.max_distance, device))
