"""config/security/policies.xml: only the safety enclave may publish commands, nothing lacks."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from gato_ros.config import data_path
from gato_ros.robot import load_robot

POLICY = ElementTree.parse(data_path('config', 'security', 'policies.xml')).getroot()
ROBOTS = [load_robot(path) for path in sorted(data_path('config', 'robots').glob('*.yaml'))]


def topics(enclave: str, access: str) -> set[str]:
    """Return the topics that an enclave may 'publish' or 'subscribe'."""
    found = POLICY.findall(f".//enclave[@path='{enclave}']//topics[@{access}='ALLOW']/topic")
    return {str(topic.text) for topic in found}


def test_only_the_safety_enclave_may_publish_commands() -> None:
    commands = {topic for robot in ROBOTS for topic in robot.controllers.values()}
    enclaves = {str(element.get('path')) for element in POLICY.iter('enclave')}
    assert commands <= topics('/gato/safety', 'publish')
    for enclave in enclaves - {'/gato/safety'}:
        assert not topics(enclave, 'publish') & (commands | {'sent_effort'})
        assert not any('*' in topic for topic in topics(enclave, 'publish'))


def test_the_policy_may_see_every_robots_sensors() -> None:
    allowed = topics('/gato/policy', 'subscribe')
    for robot in ROBOTS:
        assert {c.topic for c in robot.cameras} | {robot.joint_states_topic} <= allowed
