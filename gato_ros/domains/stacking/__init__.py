"""A MuJoCo world of blocks and an arm, its tasks, and a scripted expert that solves them.

    env = StackingEnv(load_robot('panda_sim'), load_task('stack_wide'))
    expert = Expert(env)
    observation = env.reset(seed=0)
    while not env.success and env.time_s < env.time_limit_s:
        observation = env.step(expert.act())
"""

# First: MuJoCo reads the choice when it is imported.
from gato_ros.domains.stacking.render import choose_gl

choose_gl()

from gato_ros.domains.stacking.env import StackingEnv  # noqa: E402
from gato_ros.domains.stacking.expert import Expert  # noqa: E402
from gato_ros.domains.stacking.tasks import Task, load_task, task_names  # noqa: E402

__all__ = ['Expert', 'StackingEnv', 'Task', 'load_task', 'task_names']
