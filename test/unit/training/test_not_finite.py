"""A loss or a weight that is no number ends a run, and nothing saved before is lost."""

import pytest
import torch

from gato_ros.training.settings import SourceSettings, TrainSettings
from gato_ros.training.train import RunError, train


def settings(episodes, **changes):
    data = SourceSettings((str(episodes),), timesteps=2, prompt_fraction=0.0)
    values = {'steps': 6, 'batch': 8, 'learning_rate': 3e-3, 'warmup': 2, 'save_every': 3,
              'log_every': 1}
    return TrainSettings('tiny', robot='panda_sim', data=data, **{**values, **changes})


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_what_was_saved(episodes, tmp_path):
    chosen = settings(episodes)
    train(chosen, tmp_path, device='cpu')
    state = torch.load(tmp_path / 'state.pt', weights_only=True)
    state['step'] = 3
    next(iter(state['model'].values())).fill_(float('nan'))
    torch.save(state, tmp_path / 'state.pt')
    files = [tmp_path / 'state.pt', *(tmp_path / 'checkpoint').iterdir()]
    before = [file.read_bytes() for file in files]
    with pytest.raises(RunError, match=r'step 3: the loss of \S+ is not finite, learning rate '
                                       r'0\.00\d+; the state and checkpoint of step 3 in'):
        train(chosen, tmp_path, device='cpu')
    assert [file.read_bytes() for file in files] == before


def test_no_weight_that_is_not_finite_is_saved(episodes, tmp_path):
    with pytest.raises(RunError, match=r'training stopped at step \d: .* is not finite'):
        train(settings(episodes, learning_rate=1e38, save_every=1), tmp_path, device='cpu')
    if (tmp_path / 'state.pt').exists():
        state = torch.load(tmp_path / 'state.pt', weights_only=True)
        assert all(value.isfinite().all() for kind in ('model', 'average')
                   for value in state[kind].values())
