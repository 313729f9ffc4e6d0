"""A trained model grows deeper without forgetting."""

import dataclasses

import pytest
import torch

from gato_ros.config import ConfigError
from gato_ros.model.gato import Gato
from gato_ros.model.layout import sequence_layout
from gato_ros.tokens.sequence import TimestepTokenizer
from gato_ros.training.step import take_weights


@pytest.mark.parametrize('layers', [2, 3, 5])
def test_a_deeper_model_begins_as_the_shallow_one_and_can_learn(lively_model, robot, layers):
    block = TimestepTokenizer(robot.timestep()).observe(robot.example_observation(3))
    ids, layout = torch.from_numpy(block.ids).long()[None], sequence_layout([block.layout])
    inputs = ids, torch.from_numpy(block.patches)[None], layout, layout.causal_mask()
    deep = Gato(dataclasses.replace(lively_model.arch, layers=layers)).eval()
    take_weights(deep, lively_model)
    grown = deep(*inputs)
    torch.testing.assert_close(grown, lively_model(*inputs), atol=1e-5, rtol=0)
    grown.square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().max() > 0
               for block in deep.blocks for p in (block.attention.out.weight,
                                                  block.feedforward.out.weight))


def test_what_does_not_fit_is_said(lively_model):
    arch = lively_model.arch
    with pytest.raises(ConfigError, match='has 2 layers and the model 1, expected as many'):
        take_weights(Gato(dataclasses.replace(arch, layers=1)), lively_model)
    with pytest.raises(ConfigError, match='has another shape; choose the same model, or one with'):
        take_weights(Gato(dataclasses.replace(arch, width=32)), lively_model)
