"""Games of an old console in its emulator: buttons, a small screen, experts that read its memory.

    environment = Atari().environment()
    seen = environment.reset('pong', seed=0)
"""
