"""The learning rate as a pure function of the step (paper, appendix C)."""

import math


def learning_rate(step: int, peak: float, warmup: int, steps: int) -> float:
    """Return the rate for ``step``: linear from near zero to ``peak``, then cosine to a tenth."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return peak * (0.1 + 0.9 * 0.5 * (1.0 + math.cos(math.pi * progress)))
