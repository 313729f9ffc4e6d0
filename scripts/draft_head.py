"""How many passes a distilled head would save as the draft of an action's tokens; it trains one.

    gato-ros collect --out EPISODES --policy gato_ros/assets/checkpoint --policy-share 1.0 \\
        --first-seed 710000 --episodes 20
    python scripts/draft_head.py EPISODES

The head guesses all tokens but the first from the separator's state: two layers, then the table's
scores. It is taught the checkpoint's own scores behind its own samples, and measured on the last
fifth of the episodes with the noise that a verifying pass would use, beside the former action.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gato_ros.episodes.episode import list_episodes, read_slice, timestep
from gato_ros.model.sample import gumbel_noise
from gato_ros.policy.checkpoint import SHIPPED, load_checkpoint
from gato_ros.policy.policy import GatoPolicy

DRAWS = 3  # of each observation; one of them takes the likeliest
WIDTH = 256  # of the head's hidden layer


def teach(policy: GatoPolicy, episodes: Path, generator: torch.Generator
          ) -> tuple[Tensor, Tensor, Tensor]:
    """Return states (n, D), scores float16 (n, DRAWS, A, ids), and of what episode each is."""
    places, table = policy._places, policy.checkpoint.model.embedding.table.weight
    # The state is what the first token's scores are products of: exact, for there are more scores.
    solve = torch.linalg.pinv(table[places[0].low:places[0].high].double())
    states, scores, owners = [], [], []
    for number, (path, info) in enumerate(list_episodes(episodes)):
        data = read_slice(path, 0, info.length)
        policy.reset(info.sentence)
        for row in range(info.length):
            block = policy.tokenizer.observe(timestep(data, row)[0])
            slots = policy.window.append(len(block) + len(places))
            draws = []
            for draw in range(DRAWS):
                policy._extend(block, slots[:len(block)])
                noise = [gumbel_noise(p.high - p.low, generator).numpy() for p in places]
                found = [np.zeros(p.high - p.low, np.float32) for p in places]
                policy.engine.decode(places, slots[len(block):], policy.window, 1.0,
                                     noise if draw else None, found)
                draws.append(np.stack(found))
            states.append((solve @ torch.from_numpy(draws[0][0]).double()).float())
            scores.append(torch.from_numpy(np.stack(draws)).half())
            owners.append(number)
    return torch.stack(states), torch.stack(scores), torch.tensor(owners)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('episodes', type=Path)
    parser.add_argument('--checkpoint', type=Path, default=SHIPPED)
    parser.add_argument('--domain', default='stacking')
    parser.add_argument('--steps', type=int, default=400)
    options = parser.parse_args()
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    policy = GatoPolicy(load_checkpoint(options.checkpoint), options.domain, engine='native')
    states, scores, owners = teach(policy, options.episodes, generator)
    count, place = scores.shape[2] - 1, policy._places[1]
    table = policy.checkpoint.model.embedding.table.weight[place.low:place.high]
    head = nn.Sequential(nn.Linear(states.shape[1], WIDTH), nn.GELU(),
                         nn.Linear(WIDTH, count * states.shape[1]))
    inputs = (states - states.mean(0)) / states.std(0)
    held_out = owners > 0.8 * owners.max()

    def guess(rows: Tensor) -> Tensor:
        """Return the head's scores (n, A - 1, ids)."""
        return F.linear(head(inputs[rows]).unflatten(-1, (count, -1)), table)

    optimiser = torch.optim.AdamW(head.parameters(), 1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, options.steps)
    taught = (~held_out).nonzero()[:, 0]
    for _ in range(options.steps):
        rows = taught[torch.randint(len(taught), (48,))]
        wanted = scores[rows, torch.randint(DRAWS, (48,)), 1:].float().softmax(-1)
        loss = -(wanted * guess(rows).log_softmax(-1)).sum(-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()

    rows = held_out.nonzero()[:, 0]
    with torch.no_grad():
        drafts = guess(rows)
        for temperature in (0, 1):
            behind = scores[rows, temperature, 1:].float()  # the likeliest's, or a sample's
            noise = temperature * gumbel_noise(behind.numel(), generator).view_as(behind)
            real = (behind - noise).argmax(-1)
            passes = {'head': (drafts - noise).argmax(-1) == real,
                      'former action': real.roll(1, 0) == real}
            # A pass begins behind each wrong guess but the last, whose token is not appended.
            print(f'temperature {temperature}, n = {len(rows)}:', ', '.join(
                f'{name} {1 + (~right[:, :-1]).sum(1).float().mean():.2f} of {count} passes'
                for name, right in passes.items()))


if __name__ == '__main__':
    main()
