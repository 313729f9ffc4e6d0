"""The one table of token ids (paper, section 2.1)."""

TEXT = (0, 32000)  # SentencePiece pieces; discrete values share the first 1024 ids
DISCRETE = (0, 1024)
CONTINUOUS = (32000, 33024)
SEPARATOR = 33024
SIZE = 33025  # V
BINS = CONTINUOUS[1] - CONTINUOUS[0]
NO_ID = -1  # an image patch has an embedding but no id
