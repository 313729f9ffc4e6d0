"""Which of a checkpoint's domains speaks: found by what it sees, never by its name."""

from __future__ import annotations

from collections.abc import Sequence

from gato_ros.policy.checkpoint import CheckpointConfig, CheckpointError


def words_domain(config: CheckpointConfig, cameras: Sequence[str] = ()) -> tuple[str, list[str]]:
    """Return the domain that speaks of pictures from these cameras, and which of them it sees.

    A domain that sees one picture sees the first camera's, whatever it calls it; one that sees
    more of them is taken before one that sees fewer, and the last that was learnt before others.
    The cameras come back in the order of the domain's fields.

    cameras  none: a domain of words alone

    Raises CheckpointError where the weights know no such domain.
    """
    found: list[tuple[str, list[str]]] = []
    for name, domain in config.domains.items():
        spec = domain.timestep
        fields = [field.name for field in spec.images]
        if spec.tensors or spec.actions or bool(fields) != bool(cameras):
            continue
        if set(fields) <= set(cameras):
            found.append((name, fields))
        elif len(fields) == 1:
            found.append((name, [cameras[0]]))
    if not found:
        wanted = f'pictures of {" and ".join(cameras)}' if cameras else 'words alone'
        raise CheckpointError(
            f'the checkpoint has no domain of {wanted}, expected one that was trained on '
            f'{"pictures with text" if cameras else "dialogue or documents"} '
            f'(docs/training.md); it knows {", ".join(config.domains)}')
    return max(enumerate(found), key=lambda item: (len(item[1][1]), item[0]))[1]
