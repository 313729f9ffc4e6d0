"""Dialogue: exchanges, learnt in the form in which policy.say asks."""

from __future__ import annotations

from gato_ros.domains.language.exchanges import read_exchanges
from gato_ros.spec import TimestepSpec
from gato_ros.training.data.asked import AskedSource
from gato_ros.training.settings import SourceSettings


class DialogueSource(AskedSource):
    """Draws exchanges in the wordings for training, with a capital and without a mark, too.

    Raises ConfigError where there are none, and for a file that holds something else.
    """

    def __init__(self, name: str, settings: SourceSettings) -> None:
        super().__init__(name, settings, TimestepSpec())
        for ask, say in read_exchanges(settings.dialogue):
            for spoken in sorted({ask, ask[:1].upper() + ask[1:], ask.rstrip('?.!') or ask}):
                self._add(spoken, say)
