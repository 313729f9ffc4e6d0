"""Words of a policy: which of a checkpoint's domains speaks, and what it says.

The domain is found by what it sees, never by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from gato_ros.pictures import scaled
from gato_ros.policy.checkpoint import Checkpoint, CheckpointConfig, CheckpointError
from gato_ros.policy.policy import GatoPolicy

Pictures = Mapping[str, np.ndarray]  # camera -> uint8[H, W, 3], RGB
PICTURE = 'picture'  # what the camera of a nameless picture is called


def words_domain(config: CheckpointConfig, cameras: Sequence[str] = ()) -> tuple[str, list[str]]:
    """Return the domain that speaks of pictures from these cameras, and which of them it sees.

    A domain that sees one picture sees the first camera's, whatever it calls it; one that sees
    more of them is taken before one that sees fewer, and the last that was learnt before others.
    The cameras come back in the order of the domain's fields.

    cameras  none: a domain of words alone

    Raises CheckpointError where the weights know no such domain.
    """
    found: list[tuple[str, list[str]]] = []
    commands = {domain.wordings for domain in config.domains.values()}  # these only understand
    for name, domain in config.domains.items():
        if name in commands:
            continue
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


class Speaker:
    """A policy of the domain that speaks of these cameras' pictures, or of nothing but words.

    weights  a checkpoint, or a policy that is at work: then a context beside its own

    Raises CheckpointError where the checkpoint knows no such domain.
    """

    def __init__(self, weights: Checkpoint | GatoPolicy, cameras: Iterable[str] = ()) -> None:
        checkpoint = weights.checkpoint if isinstance(weights, GatoPolicy) else weights
        self.domain, self.cameras = words_domain(checkpoint.config, list(cameras))
        self.policy = (weights.beside(self.domain) if isinstance(weights, GatoPolicy)
                       else GatoPolicy(weights, self.domain))

    def answer(self, question: str, pictures: Pictures | None = None,
               longest: int | None = None) -> Iterator[str]:
        """Yield the answer's pieces, as asked for the first time; of no question, a caption.

        Raises ValueError for a question that is too long.
        """
        self.policy.reset()
        if not self.cameras:
            return self.policy.say(question, longest=longest)
        fields, given = self.policy.tokenizer.spec.images, pictures or {}
        shown = {field.name: _sized(given[camera], field.height, field.width)
                 for field, camera in zip(fields, self.cameras, strict=True)}
        return self.policy.describe(shown, question, longest=longest)


def _sized(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    same = picture.shape[:2] == (height, width)
    return picture if same else scaled(picture, height, width)
