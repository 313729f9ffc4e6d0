"""The stick and its button: eighteen combinations, in the emulator's order."""

NOTHING, FIRE, UP, RIGHT, LEFT, DOWN = range(6)
UP_RIGHT, UP_LEFT, DOWN_RIGHT, DOWN_LEFT = range(6, 10)
UP_FIRE, RIGHT_FIRE, LEFT_FIRE, DOWN_FIRE = range(10, 14)
UP_RIGHT_FIRE, UP_LEFT_FIRE, DOWN_RIGHT_FIRE, DOWN_LEFT_FIRE = range(14, 18)
COUNT = 18
_ALONE = ((UP_LEFT, UP, UP_RIGHT), (LEFT, NOTHING, RIGHT), (DOWN_LEFT, DOWN, DOWN_RIGHT))
_FIRING = ((UP_LEFT_FIRE, UP_FIRE, UP_RIGHT_FIRE), (LEFT_FIRE, FIRE, RIGHT_FIRE),
           (DOWN_LEFT_FIRE, DOWN_FIRE, DOWN_RIGHT_FIRE))


def stick(right: float, down: float = 0.0, fire: bool = False) -> int:
    """Return the combination for a way to go: only the signs count, 0 is neither."""
    row, column = (1 + int(way > 0) - int(way < 0) for way in (down, right))
    return (_FIRING if fire else _ALONE)[row][column]
