"""A Gymnasium environment with a Dict of spaces, registered when this is imported."""

import gymnasium
import numpy as np
from gymnasium import spaces


class DictWorld(gymnasium.Env):
    """A dot is to be pushed to a mark; what it sees is a picture, numbers and words."""

    observation_space = spaces.Dict({
        'camera': spaces.Box(0, 255, (20, 30, 3), np.uint8),
        'body': spaces.Dict({'place': spaces.Box(-1.0, 1.0, (1,)), 'gear': spaces.Discrete(3)}),
        'goal': spaces.Text(40, charset='abcdefghijklmnopqrstuvwxyz ')})
    action_space = spaces.Dict({'push': spaces.Box(-0.2, 0.2, (1,)),
                                'switches': spaces.MultiDiscrete([2, 4])})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.mark = self.np_random.uniform(-1, 1, 2)
        self.steps, self.gear = 0, 0
        return self._seen(), {}

    def step(self, action):
        self.place = float(np.clip(self.place + action['push'][0], -1, 1))
        self.gear, self.steps = (self.gear + int(action['switches'][0])) % 3, self.steps + 1
        near = abs(self.place - self.mark) < 0.1
        return self._seen(), -abs(self.place - self.mark), near, self.steps >= 30, {'won': near}

    def _seen(self):
        camera = np.zeros((20, 30, 3), np.uint8)
        camera[:, int((self.place + 1) * 14), 0] = camera[:, int((self.mark + 1) * 14), 1] = 255
        return {'camera': camera, 'goal': 'go left' if self.mark < 0 else 'go right',
                'body': {'place': np.array([self.place], np.float32), 'gear': self.gear}}


gymnasium.register('DictWorld-v0', DictWorld)
