"""The message types of a recording, as ROS 2 defines them; nothing else is ever decoded.

A definition has the form in which an MCAP file holds it: the type, then every type inside it.
"""

from __future__ import annotations

IMAGE, CAMERA_INFO = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CameraInfo'
COMPRESSED = 'sensor_msgs/msg/CompressedImage'
JOINTS, COMMAND = 'sensor_msgs/msg/JointState', 'std_msgs/msg/Float64MultiArray'
WORDS, DIAGNOSTICS = 'std_msgs/msg/String', 'diagnostic_msgs/msg/DiagnosticArray'
FRAMES = 'tf2_msgs/msg/TFMessage'
STAMPED = (IMAGE, COMPRESSED, CAMERA_INFO, JOINTS, DIAGNOSTICS)  # they begin with a header

_LINE = '=' * 80
_TIME = 'int32 sec\nuint32 nanosec\n'
_HEADER = 'builtin_interfaces/Time stamp\nstring frame_id\n'


def _whole(text: str, **inside: str) -> str:
    """Return a definition with the definitions of the types inside it."""
    parts = [text, *(f'{_LINE}\nMSG: {name.replace("__", "/")}\n{body}'
                     for name, body in inside.items())]
    return ''.join(parts)


def _headed(text: str, **inside: str) -> str:
    return _whole('std_msgs/Header header\n' + text, **inside, std_msgs__Header=_HEADER,
                  builtin_interfaces__Time=_TIME)


DEFINITIONS = {
    IMAGE: _headed("""uint32 height
uint32 width
string encoding
uint8 is_bigendian
uint32 step
uint8[] data
"""),
    COMPRESSED: _headed("""string format
uint8[] data
"""),
    CAMERA_INFO: _headed("""uint32 height
uint32 width
string distortion_model
float64[] d
float64[9] k
float64[9] r
float64[12] p
uint32 binning_x
uint32 binning_y
sensor_msgs/RegionOfInterest roi
""", sensor_msgs__RegionOfInterest="""uint32 x_offset
uint32 y_offset
uint32 height
uint32 width
bool do_rectify
"""),
    JOINTS: _headed("""string[] name
float64[] position
float64[] velocity
float64[] effort
"""),
    COMMAND: _whole("""std_msgs/MultiArrayLayout layout
float64[] data
""", std_msgs__MultiArrayLayout="""std_msgs/MultiArrayDimension[] dim
uint32 data_offset
""", std_msgs__MultiArrayDimension="""string label
uint32 size
uint32 stride
"""),
    WORDS: 'string data\n',
    DIAGNOSTICS: _headed("""diagnostic_msgs/DiagnosticStatus[] status
""", diagnostic_msgs__DiagnosticStatus="""byte level
string name
string message
string hardware_id
diagnostic_msgs/KeyValue[] values
""", diagnostic_msgs__KeyValue="""string key
string value
"""),
    FRAMES: _whole('geometry_msgs/TransformStamped[] transforms\n',
                   geometry_msgs__TransformStamped="""std_msgs/Header header
string child_frame_id
geometry_msgs/Transform transform
""", geometry_msgs__Transform="""geometry_msgs/Vector3 translation
geometry_msgs/Quaternion rotation
""", geometry_msgs__Vector3='float64 x\nfloat64 y\nfloat64 z\n',
                   geometry_msgs__Quaternion="""float64 x 0
float64 y 0
float64 z 0
float64 w 1
""", std_msgs__Header=_HEADER, builtin_interfaces__Time=_TIME),
}
