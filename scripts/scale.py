"""What the paper's size on the paper's data would take, computed from rates that were measured.

    python scripts/scale.py                                   # prints the tables of docs/scale.md
    python scripts/scale.py --write                           # and puts them there
    python scripts/scale.py --matrix-rate 650e12 --share 0.4  # with what gpu_day.sh measured

Nothing here is fitted: every number below is the paper's, a data sheet's, or one that was measured
and stands with its source; the rest is arithmetic.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gato_ros.model.architecture import Architecture, load_architecture

PAGE = Path(__file__).resolve().parents[1] / 'docs' / 'scale.md'
BEGIN, END = '<!-- computed: scripts/scale.py --write -->', '<!-- end of what is computed -->'

# The paper: section 2.1, appendix C.1 and table 1 (tokens in thousand millions).
STEPS, SEQUENCES, LENGTH = 1_000_000, 512, 1024
EPISODES = 63e6
PICTURED = {'DM Lab': 194, 'Atari': 1.26 + 0.565, 'Sokoban': 0.298, 'BabyAI': 22.8,
            'DM Control from pixels': 35.5, 'Procgen': 4.46, 'RGB stacking': 24.4 + 0.98,
            'Manipulation Playground': 6.58, 'Playroom': 118}
PLAIN = {'DM Control': 22.5, 'DM Control, random, small': 313, 'DM Control, random, large': 791,
         'Meta-World': 3.39, 'Modular RL': 69.6}
PAPER_CHIPS, PAPER_DAYS, TPU_V3 = 256, 4, 123e12  # section 2.1; FLOP/s of a chip, data sheet

# Data sheets: an H100 SXM without sparsity; eight of them in a machine, machines at 400 Gbit/s.
SHEET, MEMORY, WIRE, IN_MACHINE, TOGETHER = 989e12, 80e9, 50e9, 450e9, 8

# Measured here. Timesteps/s of `small` on one H100 and one H200, batches of 1,024, and expert
# episodes a second with 15 workers: docs/experiments.md, 2026-11-26. Timesteps and bytes of an
# episode: 200 of stack_any_pair_wide, and 200 of Meta-World's by numbers alone, as collected.
SMALL_RATES = {'H100': (11e3, 14e3), 'H200': (17e3, 20e3)}
TIMESTEP = 56  # tokens of the arm's
EPISODES_PER_S, WORKERS, STEPS_OF_EPISODE = 30, 15, 91.7
BYTES_PICTURED, BYTES_PLAIN = 2291 / 56, 155.7 / 18  # of a token, as episodes are stored
PATCHES = 32 / 56  # share of the arm's tokens that are patches
PATCH, ID = 16 * 16 * 3, 4  # bytes of a patch and of an id, as training's columns hold them


def flops_per_token(arch: Architecture, length: int) -> float:
    """Return floating-point operations of training for a token, whose sequence is so long.

    Three times those of the forward pass: products with weights, then of queries with keys and
    with distances, and of shares with values, each over the whole sequence. Patches count as any
    token; their encoder is left out.
    """
    inner = arch.heads * arch.key_size
    weights = arch.width * 4 * inner + arch.width * arch.feedforward * 3 // 2
    return 3 * 2 * arch.layers * (weights + 3 * length * inner)


def parameters(arch: Architecture) -> int:
    """Return the number of weights, without building them."""
    import torch

    from gato_ros.model.gato import Gato, count_parameters
    with torch.device('meta'):
        return count_parameters(Gato(arch))


def tables(matrix_rate: float, share: float) -> str:
    """Return the page's tables for a card's matrix rate, FLOP/s, and training's share of it."""
    large, small = load_architecture('1.18b'), load_architecture('small')
    tokens, count = STEPS * SEQUENCES * LENGTH, parameters(large)
    a_token = flops_per_token(large, LENGTH)
    whole = tokens * a_token
    then = whole / (PAPER_CHIPS * PAPER_DAYS * 86400 * TPU_V3)
    lines = [
        '| the run | |', '| --- | --- |',
        f'| tokens seen: {STEPS:,} steps of {SEQUENCES} sequences of {LENGTH:,} | {tokens:.2e} |',
        f'| operations for a token ({count / 1e9:.3f} thousand million weights) | '
        f'{a_token / 1e9:.2f} GFLOP |',
        f'| all of it | {whole:.2e} FLOP |',
        f"| the paper's {PAPER_CHIPS} TPU v3 chips in {PAPER_DAYS} days would have worked at | "
        f'{100 * then:.0f} % of their data sheet |', '',
        f'| GPU hours, at a matrix rate of {matrix_rate / 1e12:.0f} TFLOP/s | share of it | '
        'hours of one | days of 8 | days of 64 |', '| --- | --- | --- | --- | --- |']
    today = {name: low * TIMESTEP * flops_per_token(small, TIMESTEP) / matrix_rate
             for name, (low, _) in SMALL_RATES.items()}
    for name, part in (*((f'as `small` today on an {card}', part)
                         for card, part in today.items()), ('the bar', share)):
        hours = whole / (part * matrix_rate) / 3600
        lines.append(f'| {name} | {100 * part:.1f} % | {hours:,.0f} | {hours / 24 / 8:,.1f} | '
                     f'{hours / 24 / 64:,.1f} |')
    state = count * (4 + 4 + 8 + 4)
    rate = share * matrix_rate / a_token
    lines += [
        '', '| one card, at the bar | |', '| --- | --- |',
        f'| weights, average, optimiser and gradients in float32 | {state / 1e9:.1f} GB of '
        f'{MEMORY / 1e9:.0f} |',
        f'| tokens a second | {rate:,.0f} |',
        f'| that it reads, were all as rich in pictures as the arm | '
        f'{rate * (PATCHES * PATCH + ID) / 1e6:.0f} MB/s |', '',
        '| cards | a step computes | its traffic inside a machine | across machines | bound by |',
        '| --- | --- | --- | --- | --- |']
    moved = 3 * 4 * count  # gathered twice, gradients once, float32
    for cards in (8, 16, 32, 64, 128):
        computes = SEQUENCES * LENGTH / (rate * cards)
        inside = moved / IN_MACHINE
        across = moved / (WIRE * TOGETHER) if cards > TOGETHER else 0.0
        slowest = max((computes, 'computing'), (inside, 'traffic'), (across, 'traffic'))[1]
        lines.append(f'| {cards} | {1e3 * computes:.0f} ms | {1e3 * inside:.0f} ms | '
                     f'{1e3 * across:.0f} ms | {slowest} |')
    pictured, plain = 1e9 * sum(PICTURED.values()), 1e9 * sum(PLAIN.values())
    a_second = EPISODES_PER_S / WORKERS * STEPS_OF_EPISODE * TIMESTEP
    stored = pictured * BYTES_PICTURED, plain * BYTES_PLAIN
    columns = pictured * (PATCHES * PATCH + ID) + plain * ID
    hours = (pictured + plain) / a_second / 3600
    lines += [
        '', '| the data | |', '| --- | --- |',
        f'| tokens of {EPISODES / 1e6:.0f} million episodes with pictures | {pictured:.2e} |',
        f'| without | {plain:.2e} |',
        f'| stored as our episodes are | {sum(stored) / 1e12:.0f} TB ({stored[0] / 1e12:.0f} with '
        'pictures) |',
        f"| as training's columns hold them, pictures unpacked | {columns / 1e12:.0f} TB |",
        f'| made at the rate of the arm, {a_second:,.0f} tokens a second and core | {hours:,.0f} '
        f'core hours, {hours / 24 / 1024:.1f} days of 1,024 cores |',
        f'| seen in the run, of all tokens | {tokens / (pictured + plain):.2f} times |']
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--matrix-rate', type=float, default=SHEET,
                        help="of the card, FLOP/s; without it an H100's data sheet")
    parser.add_argument('--share', type=float, default=0.4, help='of it that training has')
    parser.add_argument('--write', action='store_true', help='put the tables into docs/scale.md')
    chosen = parser.parse_args()
    made = tables(chosen.matrix_rate, chosen.share)
    print(made)
    if chosen.write:
        page = PAGE.read_text(encoding='utf-8')
        head, tail = page.split(BEGIN)[0], page.split(END)[1]
        PAGE.write_text(f'{head}{BEGIN}\n{made}\n{END}{tail}', encoding='utf-8')


if __name__ == '__main__':
    main()
