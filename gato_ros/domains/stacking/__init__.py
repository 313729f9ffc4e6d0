"""A MuJoCo world of blocks and an arm, its tasks, and a scripted expert that solves them.

    env = StackingEnv(load_robot('panda_sim'), load_task('stack_wide'))
    expert = Expert(env)
    observation = env.reset(seed=0)
    while not env.success and env.time_s < env.time_limit_s:
        observation = env.step(expert.act())

domain.py makes a domain of it. Nothing is imported here: names and tasks need no MuJoCo.
"""
