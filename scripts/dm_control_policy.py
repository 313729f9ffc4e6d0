"""Learn a small policy for one DM Control task by soft actor-critic, from state, on one core.

    python scripts/dm_control_policy.py WalkerWalk-v1 --repeat 4 --updates 100000 --out walker-walk

The result is what gato_ros/domains/dm_control/learnt.py reads: an expert that costs microseconds
and labels any state. It needs ``pip install envpool torch``, whose physics are many times faster
than the suite's Python; the file is judged in the suite itself. Critics are a pair in one batch
of matrices with layer normalisation; no episode of these tasks ends before its time, so every
target goes on (Haarnoja et al. 2018, https://arxiv.org/abs/1812.05905).
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from pathlib import Path

import envpool
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

ENVS, LENGTH, BATCH, HIDDEN, DISCOUNT, TAU = 16, 1000, 128, 128, 0.99, 0.01
RANDOM = 200  # decisions of each environment before learning
# What envpool shows and the suite does not.
MORE = {'FingerSpin-v1': ('dist_to_target', 'target_position'), 'FishUpright-v1': ('target',)}


class Worlds:
    """Environments side by side; a decision is ``repeat`` control steps."""

    def __init__(self, name: str, repeat: int, seed: int) -> None:
        self.env = envpool.make_gymnasium(name, num_envs=ENVS, num_threads=1, seed=seed,
                                          max_episode_steps=LENGTH)
        self.repeat, self.length = repeat, LENGTH // repeat
        self.without = MORE.get(name, ())
        self.size = self.env.action_space.shape[0]

    def reset(self) -> np.ndarray:
        return self._flat(self.env.reset()[0])

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rewards = np.zeros(ENVS)
        for _ in range(self.repeat):
            seen, reward, *_ = self.env.step(action.astype(np.float64))
            rewards += reward
        return self._flat(seen), rewards / self.repeat


    def _flat(self, seen: dict[str, np.ndarray]) -> np.ndarray:
        """Return float64[ENVS, O]: the suite's observations in the order of their names."""
        return np.concatenate([seen[name].reshape(ENVS, -1) for name in sorted(seen)
                               if name not in self.without], 1)


class Pair(nn.Module):
    """Two critics at once: [B, O + A] -> [2, B]."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        sizes = (inputs, hidden, hidden, 1)
        self.weights = nn.ParameterList([
            nn.Parameter(torch.randn(2, a, b) / a ** 0.5)
            for a, b in pairwise(sizes)])
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(2, 1, b)) for b in sizes[1:]])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.expand(2, *x.shape)
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if index < 2:
                x = F.relu(F.layer_norm(x, x.shape[-1:]))
        return x[..., 0]


def draw(actor: nn.Module, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return actions in (-1, 1) and the logarithm of their density."""
    mean, spread = actor(seen).chunk(2, -1)
    spread = -4 + 2.5 * (torch.tanh(spread) + 1)  # from -4 to 1
    noise = torch.randn_like(mean)
    raw = mean + noise * spread.exp()
    density = -0.5 * noise ** 2 - spread - 0.919 - 2 * (0.693 - raw - F.softplus(-2 * raw))
    return torch.tanh(raw), density.sum(-1)


def evaluate(actor: nn.Module, worlds: Worlds, centre: np.ndarray, scale: np.ndarray
             ) -> np.ndarray:
    seen, total = worlds.reset(), np.zeros(ENVS)
    for _ in range(worlds.length):
        x = torch.from_numpy(np.clip((seen - centre) / scale, -5, 5).astype(np.float32))
        with torch.no_grad():
            action = torch.tanh(actor(x).chunk(2, -1)[0]).numpy()
        seen, reward = worlds.step(action)
        total += reward * worlds.repeat
    return total


def save(path: Path, actor: nn.Sequential, centre: np.ndarray, scale: np.ndarray) -> None:
    layers = [layer for layer in actor if isinstance(layer, nn.Linear)]
    size = layers[-1].out_features // 2
    arrays = {'centre': centre, 'scale': scale}
    for index, layer in enumerate(layers):
        rows = slice(None) if layer is not layers[-1] else slice(size)
        arrays[f'weight{index}'] = layer.weight.detach().numpy()[rows]
        arrays[f'bias{index}'] = layer.bias.detach().numpy()[rows]
    np.savez_compressed(path, **{name: a.astype(np.float16) for name, a in arrays.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('environment', help='of envpool, such as WalkerWalk-v1')
    parser.add_argument('--repeat', type=int, default=4, help='control steps of a decision')
    parser.add_argument('--updates', type=int, default=100_000)
    parser.add_argument('--per-step', type=int, default=8, help='updates for 16 decisions')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, required=True, help='file, without .npz')
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    rng = np.random.default_rng(given.seed)
    worlds = Worlds(given.environment, given.repeat, given.seed)
    judge = Worlds(given.environment, given.repeat, given.seed + 1)
    seen = worlds.reset()
    inputs, size = seen.shape[1], worlds.size
    actor = nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN),
                          nn.ReLU(), nn.Linear(HIDDEN, 2 * size))
    critic, target = Pair(inputs + size, HIDDEN), Pair(inputs + size, HIDDEN)
    target.load_state_dict(critic.state_dict())
    kept = list(target.requires_grad_(False).parameters())
    log_alpha = torch.tensor(-2.0, requires_grad=True)
    actor_optimizer = torch.optim.Adam(actor.parameters(), 5e-4, fused=True)
    critic_optimizer = torch.optim.Adam(critic.parameters(), 5e-4, fused=True)
    alpha_optimizer = torch.optim.Adam([log_alpha], 5e-4)
    steps = RANDOM + given.updates // given.per_step
    shape = (steps * ENVS,)
    before, after = (np.zeros((*shape, inputs), np.float32) for _ in range(2))
    actions, rewards = np.zeros((*shape, size), np.float32), np.zeros(shape, np.float32)
    count = updates = 0
    centre, scale = np.zeros(inputs), np.ones(inputs)
    best, began = -1.0, time.process_time()
    for step in range(steps):
        if step % worlds.length == 0:
            seen = worlds.reset()
        x = np.clip((seen - centre) / scale, -5, 5).astype(np.float32)
        if step < RANDOM:
            action = rng.uniform(-1, 1, (ENVS, size)).astype(np.float32)
        else:
            with torch.no_grad():
                action = draw(actor, torch.from_numpy(x))[0].numpy()
        seen, reward = worlds.step(action)
        place = slice(count, count + ENVS)
        before[place], actions[place], rewards[place] = x, action, reward
        after[place] = np.clip((seen - centre) / scale, -5, 5)
        count += ENVS
        if step == RANDOM - 1:
            raw = before[:count]
            centre, scale = raw.mean(0), np.maximum(raw.std(0), 0.05)
            for array in (before, after):
                array[:count] = np.clip((array[:count] - centre) / scale, -5, 5)
        for _ in range(given.per_step if step >= RANDOM else 0):
            rows = rng.integers(0, count, BATCH)
            s, a, r, n = (torch.from_numpy(array[rows])
                          for array in (before, actions, rewards, after))
            alpha = log_alpha.detach().exp()
            with torch.no_grad():
                a2, density = draw(actor, n)
                value = target(torch.cat([n, a2], 1)).amin(0) - alpha * density
                goal = r + DISCOUNT * value
            loss = ((critic(torch.cat([s, a], 1)) - goal) ** 2).mean()
            critic_optimizer.zero_grad()
            loss.backward()
            critic_optimizer.step()
            with torch.no_grad():
                torch._foreach_lerp_(kept, list(critic.parameters()), TAU)
            updates += 1
            if updates % 2:
                continue
            critic.requires_grad_(False)
            drawn, density = draw(actor, s)
            loss = (alpha * density - critic(torch.cat([s, drawn], 1)).amin(0)).mean()
            actor_optimizer.zero_grad()
            loss.backward()
            actor_optimizer.step()
            critic.requires_grad_(True)
            alpha_optimizer.zero_grad()
            (-log_alpha.exp() * (density.detach().mean() - size)).backward()
            alpha_optimizer.step()
            if updates % (given.updates // 10) == 0:
                returns = evaluate(actor, judge, centre, scale)
                if returns.mean() > best:
                    best = returns.mean()
                    save(given.out.with_suffix('.npz'), actor, centre, scale)
                print(f'{given.environment} {updates} updates: {returns.mean():.0f} '
                      f'(least {returns.min():.0f}), best {best:.0f}, alpha {alpha:.3f}, '
                      f'{time.process_time() - began:.0f} s', flush=True)


if __name__ == '__main__':
    main()
