"""Train in this process, one of several perhaps, up to a step, and stop there as if killed.

    stopped_training.py SETTINGS.yaml OUT STEP
"""

import os
import sys
from pathlib import Path

import torch

from gato_ros.training import train as module
from gato_ros.training.settings import load_settings

settings, out, last = sys.argv[1:]
original = module._Run._one_step


def stop_there(run, *arguments):
    if run.step == int(last):
        os._exit(0)  # nothing is closed or written any more
    return original(run, *arguments)


torch.set_num_threads(1)
module._Run._one_step = stop_there
module.train(load_settings(settings), Path(out), 'cpu')
