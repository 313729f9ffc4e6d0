"""The shipped policy through the whole graph, in lock-step, is the one in process: every token.

    GATO_PARITY_SEEDS=20 python -m pytest -s test/ros/policy/test_episode_parity.py
"""

from __future__ import annotations

import json
import os

import pytest
from ros_bench import Bench, Processes, ended, until
from std_msgs.msg import String

from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.tasks import load_task
from gato_ros.nodes.common import qos
from gato_ros.policy.checkpoint import load_checkpoint
from gato_ros.policy.policy import GatoPolicy
from gato_ros.robot import TORQUES, load_robot
from gato_ros.safety import SafetyGate

ROBOT = load_robot('panda_sim')
SEEDS = range(int(os.environ.get('GATO_PARITY_SEEDS', '2')))  # of the test split


def in_process(seeds: range) -> list[tuple[bool, list[list[int]]]]:
    """Return for each seed whether the policy succeeds, and its tokens step by step."""
    env = StackingEnv(ROBOT, load_task('stack_wide'))
    policy = GatoPolicy(load_checkpoint(), ROBOT.timestep())
    episodes = []
    for seed in seeds:
        gate, observation, sent, tokens = SafetyGate(ROBOT), env.reset(seed), None, []
        policy.reset(env.task.sentence)
        while not env.success and env.time_s < env.time_limit_s - 1e-6:
            action = policy.act(observation, sent)
            effort = gate.check(action.values[TORQUES], 1.0 / ROBOT.rate_hz).effort
            tokens.append(action.tokens.tolist())
            sent, observation = {TORQUES: effort}, env.step(effort)
        episodes.append((env.success, tokens))
    env.close()
    return episodes


@pytest.mark.sim
@pytest.mark.slow
def test_episodes_are_the_same_tokens_in_the_graph(bench: Bench, processes: Processes) -> None:
    timing = bench.record(String, 'policy/timing', qos.RECORD)
    said = bench.record(String, 'sim/episode', qos.EPISODES)
    processes.node('safety_node', lock_step=True, simulation=True)
    processes.node('policy_node', lock_step=True, autostart=True,
                   prompt=load_task('stack_wide').sentence)
    until(lambda: bench.found('policy/timing', 'sent_effort'), what='discovery')
    # Last: without it nothing is answered, so no answer is missed.
    sim = processes.node('sim_node', mode='lock_step', seeds=str(list(SEEDS)), exit_when_done=True)

    until(lambda: len(ended(said)) == len(SEEDS), timeout_s=60 + 60 * len(SEEDS), what='the end')
    sim.wait(timeout=30)
    expected = in_process(SEEDS)
    until(lambda: len(timing) >= sum(len(tokens) for _, tokens in expected), what='every answer')
    episodes: list[dict[int, list[int]]] = []
    last = 0
    for _, msg in timing:
        step = json.loads(msg.data)
        if not episodes or step['stamp_ns'] < last:
            episodes.append({})
        last = step['stamp_ns']
        episodes[-1][last] = step['tokens']
    successes = [episode['status'] == 'success' for episode in ended(said)]
    assert successes == [success for success, _ in expected]
    for seed, episode, (_, tokens) in zip(SEEDS, episodes, expected, strict=True):
        assert list(episode.values()) == tokens, f'seed {seed}'
    print(f'{len(SEEDS)} seeds, {sum(successes)} successes, '
          f'{sum(len(tokens) for _, tokens in expected)} steps: every token equal')
