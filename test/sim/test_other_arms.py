"""Other arms before the blocks: each one stacks, and what does not fit is said in one sentence."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from gato_ros.config import ConfigError, data_path, to_dict
from gato_ros.domains.registry import domain_of, find_task, load_domain
from gato_ros.domains.stacking.bodies.posture import propose
from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.tasks import load_task
from gato_ros.domains.wrappers import open_environment
from gato_ros.evaluation.actors import ExpertActor, Scene
from gato_ros.evaluation.rollout import rollout
from gato_ros.kinematics import Chain
from gato_ros.robot import TeleoperationSpec, load_robot

pytestmark = pytest.mark.sim

BODIES = ('fr3_sim', 'ur5e_sim', 'iiwa14_sim', 'gen3_sim')
MASS_KG = {'fr3_sim': 16.88, 'ur5e_sim': 21.89, 'iiwa14_sim': 31.51, 'gen3_sim': 9.09}


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """Write ur5e_sim's YAML file and models, and change the texts of both."""

    def write(in_yaml: tuple[str, str] = ('', ''), in_model: tuple[str, str] = ('', '')) -> Path:
        file, model = tmp_path / 'mine.yaml', tmp_path / 'ur5e.xml'
        shutil.copy(data_path('sim', 'bodies', 'robotiq_2f85.xml'), tmp_path)
        for path, source, (old, new) in (
                (file, data_path('config', 'robots', 'ur5e_sim.yaml'), in_yaml),
                (model, data_path('sim', 'bodies', 'ur5e.xml'), in_model)):
            text = source.read_text(encoding='utf-8')
            assert old in text
            path.write_text(text.replace(old, new), encoding='utf-8')
        return file

    return write


@pytest.mark.parametrize('name', BODIES)
def test_the_expert_stacks_with_each_body_through_the_gate(name: str) -> None:
    domain, task = find_task('stack_wide', name)
    scene = Scene(domain, open_environment(domain), 'stack_wide', task, 10_000)
    assert rollout(scene, ExpertActor(), 'expert').success


@pytest.mark.parametrize('name', BODIES)
def test_a_body_starts_at_home_with_an_open_gripper_and_weighs_what_is_published(
        name: str) -> None:
    robot = load_robot(name)
    world = StackingEnv(robot, load_task('stack_wide'), render=False).world
    arm = [i for i in range(world.model.nbody)
           if world.model.body(i).name not in ('world', 'red', 'green', 'blue')]
    assert world.model.body_mass[arm].sum() == pytest.approx(MASS_KG[name], abs=0.01)
    assert world.opening > 0.039
    np.testing.assert_allclose(Chain(robot).pose(world.joint_positions).position, world.tcp,
                               atol=1e-4)
    world.data.qpos[world.qpos[world.arm]] = world.home
    world.forward()
    np.testing.assert_allclose(world.tcp, (0.42, 0.0, 0.25), atol=0.03)
    np.testing.assert_allclose(world.tcp_rotation, np.diag((1.0, -1.0, -1.0)), atol=0.01)


def test_both_cameras_show_the_arm_and_the_blocks() -> None:
    env = StackingEnv(load_robot('iiwa14_sim'), load_task('stack_wide'))
    seen = env.reset(10_000).images
    assert {name: image.shape for name, image in seen.items()} == {
        'front': (64, 64, 3), 'wrist': (64, 64, 3)}
    assert all(env.visible('front', 64, 64)[block] > 3 for block in ('red', 'green', 'blue'))
    robot_geoms = set(env.world.body.hand)
    for camera in seen:
        shown = env._camera(camera, 64, 64).geoms(env.world.data, camera)
        assert sum(int(geom) in robot_geoms for geom in shown.ravel()) > 50, camera
    env.close()


def test_the_same_seed_gives_the_same_episode_with_other_shapes_too() -> None:
    env = StackingEnv(load_robot('gen3_sim'), load_task('shapes_seen_wide'), render=False)
    env.reset(3)
    first = env.world.data.qpos.copy()
    env.reset(4)
    env.reset(3)
    np.testing.assert_array_equal(env.world.data.qpos, first)


def test_each_body_is_a_source_of_its_own_and_the_panda_stays_the_nameless_one() -> None:
    assert load_domain('stacking').source('stack_wide') == 'stacking'
    found = {load_domain('stacking', name).specification('stack_wide').hash for name in BODIES}
    assert len(found) == len(BODIES)
    assert load_domain('stacking', 'ur5e_sim').source('stack_wide') == 'stacking/ur5e_sim'
    assert [domain_of(name) for name in ('', 'panda_sim', 'ur5e_sim', 'fr3', 'ur5e')] == [
        'stacking', 'stacking', 'stacking', 'robot', 'robot']


def test_an_arm_of_ones_own_lies_beside_its_yaml_file(changed) -> None:
    robot = load_robot(changed())
    assert robot.simulation is not None
    assert Path(robot.simulation.model).parent == Path(robot.simulation.gripper).parent
    assert domain_of(str(changed())) == 'stacking'
    assert StackingEnv(robot, load_task('stack_wide'), render=False).reset(0)


def test_a_gripper_that_closes_by_a_positive_command_is_opened_by_a_negative_one(changed) -> None:
    """The finger's joint turned round: 0 is open, 0.0425 m closed, as in many grippers."""
    file = changed(('gripper: gripper_finger', 'gripper: gripper_finger\n  opens: -1'))
    text = file.read_text(encoding='utf-8') + '  gap: [[0.0, 0.085], [0.0425, 0.0]]\n'
    file.write_text(text, encoding='utf-8')
    model = file.parent / 'robotiq_2f85.xml'
    text = model.read_text(encoding='utf-8').replace('axis="0 1 0"', 'axis="0 -1 0"')
    text = text.replace('pos="0 0.012 0.015"', 'pos="0 0.0545 0.015"').replace(
        'pos="0 0.004 0.045"', 'pos="0 0.0465 0.045"')
    model.write_text(text, encoding='utf-8')
    domain, task = find_task('stack_wide', str(file))
    scene = Scene(domain, open_environment(domain), 'stack_wide', task, 10_000)
    assert rollout(scene, ExpertActor(), 'expert').success


def test_the_proposed_posture_and_gains_stack_too(tmp_path: Path) -> None:
    """As whoever brings an arm does it: `gato-ros robot posture`, and its lines into the file."""
    bare = load_robot('gen3_sim')
    proposal = propose(bare)
    joints = tuple(dataclasses.replace(joint, damping=proposal.damping.get(joint.name, 100.0))
                   for joint in bare.joints)
    manner = TeleoperationSpec(proposal.stiffness, proposal.home, 'gripper_finger')
    robot = dataclasses.replace(bare, joints=joints, teleoperation=manner)
    file = tmp_path / 'mine.yaml'
    file.write_text(yaml.safe_dump(to_dict(robot)), encoding='utf-8')
    domain, task = find_task('stack_wide', str(file))
    scene = Scene(domain, open_environment(domain), 'stack_wide', task, 10_000)
    assert rollout(scene, ExpertActor(), 'expert').success


def test_a_place_out_of_reach_has_no_posture() -> None:
    robot = load_robot('gen3_sim')
    short = dataclasses.replace(robot, joints=tuple(
        dataclasses.replace(joint, position=(-0.2, 0.2), margin=0.0)
        if joint.name.startswith('joint') else joint for joint in robot.joints))
    with pytest.raises(ConfigError, match='no posture was found'):
        propose(short)


def test_servos_of_other_names_become_motors(changed) -> None:
    """As in MuJoCo Menagerie: the actuator is a position servo and is called elbow."""
    file = changed(in_model=('<motor name="elbow_joint" joint="elbow_joint"/>',
                             '<position name="elbow" joint="elbow_joint" kp="3500"/>'))
    world = StackingEnv(load_robot(file), load_task('stack_wide'), render=False).world
    world.data.ctrl[world.model.actuator('elbow_joint').id] = 7.0
    world.forward()
    assert world.data.actuator('elbow_joint').force[0] == pytest.approx(7.0)


@pytest.mark.parametrize(('in_yaml', 'in_model', 'said'), [
    (('', ''), ('<motor name="elbow_joint" joint="elbow_joint"/>', ''),
     "no actuator 'elbow_joint' for the joint 'elbow_joint'"),
    (('  mount: attachment_site', '  mount: attachment_site\n  actuators: {elbow_joint: elbow}'),
     ('', ''), "no actuator 'elbow' for the joint 'elbow_joint'"),
    (('elbow_joint', 'knee_joint'), ('', ''), "no joint 'knee_joint'"),
    (('[0.0, 0.138, 0.0]', '[0.0, 0.238, 0.0]'), ('', ''), 'moves its tool otherwise'),
    (('mount: attachment_site', 'mount: flange'), ('', ''), "no site or body 'flange'"),
    (('model: ur5e.xml', 'model: ur6e.xml'), ('', ''), 'ur6e.xml is no file'),
    (('', ''), ('<worldbody>', '<asset><mesh name="m" file="hull.stl"/></asset><worldbody>'
                '<geom type="mesh" mesh="m"/>'), 'hull.stl'),
    (('', ''), ('</worldbody>', ''), 'is no MuJoCo model'),
    (('wrist_3_joint, controller: effort_controller, position: [-3.1416, 3.1416]',
      'wrist_3_joint, controller: effort_controller, position: [-1.0, 1.0]'), ('', ''),
     'cannot turn a hand that points down by a quarter turn'),
    (('  gripper: gripper_finger\n', ''), ('', ''), 'which joint is its gripper'),
    (('interface: effort', 'interface: position'), ('', ''), 'interface effort'),
    (('  mount: attachment_site', '  mount: attachment_site\n  gap: [[0.0, 0.1], [0.0, 0.0]]'),
     ('', ''), 'simulation.gap'),
])
def test_what_does_not_fit_is_said_in_one_sentence(changed, in_yaml, in_model, said) -> None:
    file = changed(in_yaml, in_model)
    with pytest.raises(ConfigError) as caught:
        StackingEnv(load_robot(file), load_task('stack_wide'), render=False)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 700
    assert '\n' not in str(caught.value)
