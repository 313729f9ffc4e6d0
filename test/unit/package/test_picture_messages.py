"""Pictures: what OpenCV itself makes of them, values by hand, one sentence for a hostile one."""

from __future__ import annotations

import dataclasses
import resource
import struct
import time
import typing
import zlib
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_ros.config import ConfigError, from_dict
from gato_ros.pictures import (
    ENCODINGS,
    LARGEST,
    ConvertError,
    to_calibration,
    to_image,
)
from gato_ros.robot import CameraSpec, load_robot

EYE = CameraSpec('front', 'camera/front/image_raw', 64, 64)
PACKED = dataclasses.replace(EYE, topic='camera/front/image_raw/compressed',
                             transport='compressed')
# height, width as sent -> the part that is kept, and how it is scaled to 64 x 64
SIZES: dict[tuple[int, int], tuple[slice, slice, int | None]] = {
    (64, 64): (slice(None), slice(None), None),
    (480, 640): (slice(None), slice(80, 560), cv2.INTER_AREA),
    (180, 320): (slice(None), slice(70, 250), cv2.INTER_AREA),
    (600, 400): (slice(100, 500), slice(None), cv2.INTER_AREA),
    (32, 48): (slice(None), slice(8, 40), cv2.INTER_LINEAR)}


def raw(pixels: np.ndarray, encoding: str, padding: int = 0, **changed: Any) -> Any:
    """Return an Image of an array of lines; ``padding`` bytes stand behind each."""
    lines = np.ascontiguousarray(pixels).reshape(len(pixels), -1).view(np.uint8)
    height = len(lines) * 2 // 3 if encoding == 'nv12' else len(lines)
    width = pixels.shape[1]
    lines = np.pad(lines, ((0, 0), (0, padding)), constant_values=99)
    return SimpleNamespace(**{
        'height': height, 'width': width, 'encoding': encoding, 'is_bigendian': 0,
        'step': lines.shape[1], 'data': lines.tobytes(), **changed})


def packed(data: bytes) -> Any:
    return SimpleNamespace(format='whatever the driver says', data=data)


def noise(height: int, width: int, channels: int = 0, kind: type = np.uint8) -> np.ndarray:
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(height).integers(0, np.iinfo(kind).max, shape, kind, True)


def scene(height: int, width: int) -> np.ndarray:
    """Return a smooth picture, as a JPEG likes it."""
    return cv2.GaussianBlur(noise(height, width, 3), (0, 0), 2)


def cut(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return what the default makes of a picture of one of SIZES."""
    rows, columns, how = SIZES[size]
    return image if how is None else cv2.resize(image[rows, columns], (64, 64), interpolation=how)


def as_sent(encoding: str, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels in an encoding, and what OpenCV makes of them in RGB."""
    if encoding == 'rgb8':
        return (pixels := noise(height, width, 3)), pixels
    if encoding == 'mono16':
        pixels = noise(height, width, kind=np.uint16)
        return pixels, cv2.cvtColor(cv2.convertScaleAbs(pixels, alpha=1 / 257), cv2.COLOR_GRAY2RGB)
    code, lines, channels = {
        'bgr8': (cv2.COLOR_BGR2RGB, height, 3), 'rgba8': (cv2.COLOR_RGBA2RGB, height, 4),
        'bgra8': (cv2.COLOR_BGRA2RGB, height, 4), 'mono8': (cv2.COLOR_GRAY2RGB, height, 0),
        'yuv422': (cv2.COLOR_YUV2RGB_UYVY, height, 2), 'uyvy': (cv2.COLOR_YUV2RGB_Y422, height, 2),
        'yuv422_yuy2': (cv2.COLOR_YUV2RGB_YUY2, height, 2),
        'yuyv': (cv2.COLOR_YUV2RGB_YUYV, height, 2),
        'nv12': (cv2.COLOR_YUV2RGB_NV12, height * 3 // 2, 0),
        'bayer_rggb8': (cv2.COLOR_BayerRGGB2RGB, height, 0),
        'bayer_bggr8': (cv2.COLOR_BayerBGGR2RGB, height, 0),
        'bayer_gbrg8': (cv2.COLOR_BayerGBRG2RGB, height, 0),
        'bayer_grbg8': (cv2.COLOR_BayerGRBG2RGB, height, 0)}[encoding]
    pixels = noise(lines, width, channels)
    return pixels, cv2.cvtColor(pixels, code)


@pytest.mark.parametrize('padding', [0, 6])
@pytest.mark.parametrize('size', SIZES, ids=str)
@pytest.mark.parametrize('encoding', ENCODINGS)
def test_a_raw_picture_is_what_opencv_makes_of_it(encoding: str, size: tuple[int, int],
                                                  padding: int) -> None:
    pixels, rgb = as_sent(encoding, *size)
    result = to_image(raw(pixels, encoding, padding), EYE)
    assert result.dtype == np.uint8 and np.array_equal(result, cut(rgb, size))


@pytest.mark.parametrize('size', SIZES, ids=str)
@pytest.mark.parametrize('ending', ['.jpg', '.png'])
def test_a_compressed_picture_is_what_opencv_makes_of_it(ending: str,
                                                         size: tuple[int, int]) -> None:
    data = cv2.imencode(ending, scene(*size))[1]
    rgb = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.array_equal(to_image(packed(data.tobytes()), PACKED), cut(rgb, size))


def test_a_progressive_and_a_grey_jpeg_are_read() -> None:
    for image, options in ((scene(64, 64), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
                           (scene(64, 64)[..., 0], [])):
        data = cv2.imencode('.jpg', image, options)[1]
        rgb = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        assert np.array_equal(to_image(packed(data.tobytes() + b'\0' * 9), PACKED), rgb)


def tiny(camera: CameraSpec = EYE, **changed: Any) -> CameraSpec:
    """Return a camera of 2 x 2 pixels or as said: no policy's, but one can work it out by hand."""
    return dataclasses.replace(camera, **{'height': 2, 'width': 2, **changed})


RED, WHITE, BLACK = [254, 0, 0], [255, 255, 255], [0, 0, 0]  # red of Y 81, U 90, V 240 (BT.601)


@pytest.mark.parametrize(('encoding', 'pixels', 'rgb'), [
    ('rgb8', [[[1, 2, 3], [4, 5, 6]]] * 2, [[[1, 2, 3], [4, 5, 6]]] * 2),
    ('bgr8', [[[1, 2, 3], [4, 5, 6]]] * 2, [[[3, 2, 1], [6, 5, 4]]] * 2),
    ('rgba8', [[[1, 2, 3, 9], [4, 5, 6, 9]]] * 2, [[[1, 2, 3], [4, 5, 6]]] * 2),
    ('bgra8', [[[1, 2, 3, 9], [4, 5, 6, 9]]] * 2, [[[3, 2, 1], [6, 5, 4]]] * 2),
    ('mono8', [[0, 7], [8, 255]], [[[0] * 3, [7] * 3], [[8] * 3, [255] * 3]]),
    ('yuv422', [[[90, 81], [240, 81]], [[128, 235], [128, 16]]], [[RED, RED], [WHITE, BLACK]]),
    ('uyvy', [[[90, 81], [240, 81]], [[128, 235], [128, 16]]], [[RED, RED], [WHITE, BLACK]]),
    ('yuv422_yuy2', [[[81, 90], [81, 240]], [[235, 128], [16, 128]]],
     [[RED, RED], [WHITE, BLACK]]),
    ('yuyv', [[[81, 90], [81, 240]], [[235, 128], [16, 128]]], [[RED, RED], [WHITE, BLACK]]),
    ('nv12', [[235, 16], [16, 235], [128, 128]], [[WHITE, BLACK], [BLACK, WHITE]]),
    ('nv12', [[81, 81], [81, 81], [90, 240]], [[RED, RED], [RED, RED]]),
])
def test_pixels_by_hand(encoding: str, pixels: list, rgb: list) -> None:
    msg = raw(np.array(pixels, np.uint8), encoding, padding=3)
    assert to_image(msg, tiny()).tolist() == rgb


@pytest.mark.parametrize(('big', 'kind'), [(0, '<u2'), (1, '>u2')])
def test_sixteen_bits_of_both_orders_become_eight(big: int, kind: str) -> None:
    """A grey of 257 * n is n; half of a step rounds to the nearer."""
    pixels = np.array([[0, 65535], [128, 129]], kind)
    image = to_image(raw(pixels, 'mono16', padding=3, is_bigendian=big), tiny())
    assert image[..., 0].tolist() == [[0, 255], [0, 1]]
    png = cv2.imencode('.png', pixels.astype(np.uint16))[1].tobytes()
    assert np.array_equal(to_image(packed(png), tiny(PACKED)), image)


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_a_sensor_before_one_colour_shows_that_colour(pattern: str) -> None:
    a, b, c, d = ({'r': 200, 'g': 100, 'b': 50}[letter] for letter in pattern)
    pixels = np.tile(np.array([[a, b], [c, d]], np.uint8), (4, 4))
    image = to_image(raw(pixels, f'bayer_{pattern}8'), tiny(height=8, width=8))
    assert (image == [200, 100, 50]).all()


def test_a_picture_of_the_policys_size_is_not_even_copied() -> None:
    data = noise(64, 64, 3).tobytes()
    msg = raw(noise(64, 64, 3), 'rgb8', data=data)
    assert np.shares_memory(to_image(msg, EYE), np.frombuffer(data, np.uint8))


GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)  # 0 1 2 3 / 4 5 6 7 / 8 9 10 11


@pytest.mark.parametrize(('setting', 'grey'), [
    ({'crop': (1, 0, 2, 3)}, [[1, 2], [5, 6], [9, 10]]),
    ({'rotate': 90}, [[8, 4, 0], [9, 5, 1], [10, 6, 2], [11, 7, 3]]),
    ({'rotate': 180}, [[11, 10, 9, 8], [7, 6, 5, 4], [3, 2, 1, 0]]),
    ({'rotate': 270}, [[3, 7, 11], [2, 6, 10], [1, 5, 9], [0, 4, 8]]),
    ({'crop': (2, 1, 2, 1), 'rotate': 90}, [[6], [7]]),
])
def test_crop_and_rotate_by_hand(setting: dict, grey: list) -> None:
    camera = tiny(height=len(grey), width=len(grey[0]), resize='never', **setting)
    assert to_image(raw(GREY, 'mono8'), camera)[..., 0].tolist() == grey


def test_another_size_is_cut_padded_stretched_or_refused() -> None:
    """4 x 8 pixels, left half black, right half 200, into 2 x 2: areas of equal grey stay so."""
    wide = raw(np.repeat([[0] * 4 + [200] * 4], 4, axis=0).astype(np.uint8), 'mono8')

    def seen(**setting: Any) -> list:
        return to_image(wide, tiny(**setting))[..., 0].tolist()

    assert seen() == seen(resize='centre') == [[0, 200], [0, 200]]
    assert seen(crop=(4, 0, 4, 4)) == [[200, 200], [200, 200]]
    assert seen(resize='stretch', crop=(0, 0, 8, 4)) == [[0, 200], [0, 200]]
    assert seen(resize='pad', height=4, width=4) == [[0] * 4, [0, 0, 200, 200], [0, 0, 200, 200],
                                                     [0] * 4]
    with pytest.raises(ConvertError, match=r"is 4x8, expected 2x2 .*'front'.* resize is never"):
        seen(resize='never')


K = (400.0, 0.0, 319.5, 0.0, 400.0, 239.5, 0.0, 0.0, 1.0)


def lens(**changed: Any) -> Any:
    """Return a camera_info."""
    return SimpleNamespace(**{
        'height': 480, 'width': 640, 'distortion_model': 'plumb_bob',
        'd': [-0.3, 0.1, 0.001, -0.002, 0.0], 'k': K, 'r': np.eye(3).ravel(),
        'p': (*K[:3], 0.0, *K[3:6], 0.0, *K[6:], 0.0), 'binning_x': 0, 'binning_y': 0,
        'roi': SimpleNamespace(x_offset=0, y_offset=0), **changed})


STRAIGHT = dataclasses.replace(EYE, undistort=True)


@pytest.mark.parametrize(('model', 'd'), [
    ('plumb_bob', [-0.3, 0.1, 0.001, -0.002, 0.0]),
    ('rational_polynomial', [0.1, -0.2, 0.001, 0.0, 0.02, 0.3, -0.1, 0.01]),
    ('equidistant', [-0.02, 0.01, -0.003, 0.0005])])
def test_a_lens_is_straightened_as_opencv_does(model: str, d: list[float]) -> None:
    image, k = scene(480, 640), np.reshape(K, (3, 3))
    calibration = to_calibration([lens(distortion_model=model, d=d)] * 2, STRAIGHT)
    straight = (cv2.fisheye.undistortImage(image, k, np.array(d), Knew=k) if model == 'equidistant'
                else cv2.undistort(image, k, np.array(d)))
    result = to_image(raw(image, 'rgb8'), STRAIGHT, calibration)
    assert np.array_equal(result, cut(straight, (480, 640)))
    assert not np.array_equal(result, cut(image, (480, 640)))


def test_a_lens_without_distortion_changes_nothing() -> None:
    image = scene(480, 640)
    calibration = to_calibration([lens(d=[0.0] * 5)], STRAIGHT)
    assert np.array_equal(to_image(raw(image, 'rgb8'), STRAIGHT, calibration),
                          cut(image, (480, 640)))


@pytest.mark.parametrize(('infos', 'words'), [
    ([], 'camera/front/camera_info: nothing has arrived, expected the calibration'),
    ([lens(distortion_model='', d=[])], "distortion model '' with 0 coefficients, expected plumb"),
    ([lens(d=[0.0] * 9)], "'plumb_bob' with 9 coefficients"),
    ([lens(k=[0.0] * 9)], 'expected finite numbers and focal lengths above 0; calibrate'),
    ([lens(p=[float('nan')] * 12)], 'expected finite numbers'),
    ([lens(binning_x=2)], 'binning or a region of interest, expected the whole picture'),
    ([lens(), lens(d=[0.1] * 5)], 'has changed its calibration, expected one for the whole time'),
    ([lens(height=240)], 'the image is 480x640, expected 240x640 as camera/front/camera_info'),
])
def test_a_lens_that_cannot_be_used_is_one_sentence(infos: list, words: str) -> None:
    with pytest.raises(ConvertError) as caught:
        to_image(raw(scene(480, 640), 'rgb8'), STRAIGHT, to_calibration(infos, STRAIGHT))
    assert words in str(caught.value) and '\n' not in str(caught.value)


def png(height: int, width: int, body: bytes = b'') -> bytes:
    """Return a PNG that says this size."""
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + name + data + struct.pack(
            '>I', zlib.crc32(name + data))
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0,
                                                             0, 0))
            + chunk(b'IDAT', body or zlib.compress(bytes(100))) + chunk(b'IEND', b''))


JPEG = cv2.imencode('.jpg', scene(480, 640))[1].tobytes()
FRAME = JPEG.index(b'\xff\xc0') + 5  # where its height and width stand
PNG = cv2.imencode('.png', scene(48, 64))[1].tobytes()


def jpeg(height: int, width: int) -> bytes:
    """Return a JPEG that says this size."""
    return JPEG[:FRAME] + struct.pack('>HH', height, width) + JPEG[FRAME + 4:]


GOOD = noise(64, 64, 3)


@pytest.mark.parametrize(('camera', 'msg', 'words'), [
    (EYE, raw(GOOD, 'rgb8', step=100), '12288 bytes with a step of 100, expected 64 rows of 192'),
    (EYE, raw(GOOD, 'rgb8', step=2**32 - 1), 'a step of 4294967295, expected 64 rows of 192'),
    (EYE, raw(GOOD, 'rgb8', step=0), 'a step of 0, expected 64 rows of 192 bytes'),
    (EYE, raw(GOOD, 'rgb8', height=0), 'the image is 0x64, expected 1 to 16777216 pixels'),
    (EYE, raw(GOOD, 'rgb8', width=0), 'the image is 64x0, expected 1 to 16777216 pixels'),
    (EYE, raw(GOOD, 'rgb8', height=2**32 - 1, width=2**32 - 1), 'the image is 4294967295x42949'),
    (EYE, raw(GOOD, 'rgb8', data=b''), '0 bytes with a step of 192'),
    (EYE, raw(GOOD, 'rgb8', data=bytes(12287)), '12287 bytes with a step of 192'),
    (EYE, raw(GOOD, '8UC3'), "the encoding is '8UC3', expected rgb8"),
    (EYE, raw(noise(64, 63, 2), 'yuyv'), 'is 64x63 in yuyv, expected multiples of 1x2'),
    (EYE, raw(noise(96, 64), 'nv12', height=63), 'is 63x64 in nv12, expected multiples of 2x2'),
    (EYE, raw(noise(64, 64), 'nv12', height=64), '4096 bytes with a step of 64, expected 96 rows'),
    (dataclasses.replace(EYE, crop=(1, 0, 64, 64)), raw(GOOD, 'rgb8'),
     'the image is 64x64, expected room for crop [1, 0, 64, 64]'),
    (PACKED, packed(b''), "0 bytes that begin with '', expected a JPEG or PNG"),
    (PACKED, packed(b'BM' + bytes(60)), "62 bytes that begin with '424d000000000000', expected"),
    (PACKED, packed(JPEG[:len(JPEG) // 2]), 'is cut off or damaged, expected a whole JPEG or PNG'),
    (PACKED, packed(JPEG[:20]), 'is cut off or damaged'),
    (PACKED, packed(PNG[:-20]), 'is cut off or damaged'),
    (PACKED, packed(PNG[:20]), 'is cut off or damaged'),
    (PACKED, packed(png(48, 64, b'no zlib')), 'is cut off or damaged'),
    (PACKED, packed(jpeg(60000, 60000)), 'the image is 60000x60000, expected 1 to 16777216'),
    (PACKED, packed(png(60000, 60000)), 'the image is 60000x60000, expected 1 to 16777216'),
    (PACKED, packed(jpeg(30000, 30000)), 'the image is 30000x30000, expected'),  # OpenCV tries
    (PACKED, packed(png(30000, 30000)), 'the image is 30000x30000, expected'),
    (PACKED, packed(png(2**31 - 1, 1)), 'the image is 2147483647x1, expected'),
    (PACKED, packed(jpeg(0, 640)), 'the image is 0x640, expected'),
    (PACKED, packed(png(4096, 4096)), 'is cut off or damaged'),
    (PACKED, packed(JPEG[:-2] + b'\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00' * 9999 + JPEG[-2:]),
     'a JPEG of 10000 scans, expected at most 64'),
])
def test_a_hostile_picture_is_one_sentence_in_little_time_and_memory(
        camera: CameraSpec, msg: Any, words: str) -> None:
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(ConvertError) as caught:
        to_image(msg, camera)
    assert words in str(caught.value) and '\n' not in str(caught.value)
    assert str(caught.value).startswith('camera/front/image_raw')
    assert time.process_time() - began < 1.0
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < 8 * LARGEST  # twice what the largest picture takes, in four bytes


def judge(msg: Any, camera: CameraSpec) -> None:
    """A picture as the policy wants it, or a sentence; nothing else ever comes out."""
    try:
        image = to_image(msg, camera)
    except ConvertError as error:
        said = str(error)
        assert said.startswith(camera.topic) and '\n' not in said
        return
    assert image.shape == (64, 64, 3) and image.dtype == np.uint8


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([JPEG, PNG]), st.lists(st.tuples(
    st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    st.floats(0.2, 1))
def test_damaged_bytes_give_a_picture_or_a_sentence(whole: bytes, changes: list,
                                                    kept: float) -> None:
    data = bytearray(whole)
    for place, value in changes:
        data[int(place**3 * len(data))] = value  # most of them in the headers
    judge(packed(bytes(data[:int(kept * len(data))]) + whole[-12:]), PACKED)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([*ENCODINGS, '']), st.integers(0, 9), st.integers(0, 9),
       st.integers(0, 40), st.integers(0, 400), st.sampled_from(['centre', 'pad', 'stretch']),
       st.sampled_from([0, 90, 180, 270]))
def test_any_header_gives_a_picture_or_a_sentence(
        encoding: str, height: int, width: int, step: int, size: int, resize: Any,
        rotate: Any) -> None:
    msg = SimpleNamespace(height=height, width=width, encoding=encoding, is_bigendian=0, step=step,
                          data=bytes(size if size % 3 else step * height))
    judge(msg, dataclasses.replace(EYE, resize=resize, rotate=rotate))


def test_how_pictures_come_is_no_part_of_the_specification() -> None:
    """So shipped checkpoints still match their robots, and those that look through other eyes."""
    robot = load_robot('panda_sim')
    eyes = tuple(dataclasses.replace(
        camera, topic=f'{camera.topic}/compressed', transport='compressed', undistort=True,
        crop=(0, 0, 480, 480), rotate=90, resize='pad') for camera in robot.cameras)
    other = dataclasses.replace(robot, cameras=eyes)
    assert other.timestep().hash == robot.timestep().hash == 'b1e53fdf2725'
    assert load_robot('franka_panda').timestep().hash == robot.timestep().hash
    assert [camera.info_topic for camera in eyes] == ['camera/front/camera_info',
                                                      'camera/wrist/camera_info']


def test_every_encoding_can_be_said_in_the_yaml_file() -> None:
    hints = typing.get_type_hints(CameraSpec)
    assert set(typing.get_args(hints['encoding'])) == {'', *ENCODINGS}


@pytest.mark.parametrize(('setting', 'words'), [
    ({'crop': [0, 0, 0, 4]}, r'crop is \[0, 0, 0, 4\], expected x, y, width and height'),
    ({'crop': [0, 0, 4]}, 'crop: expected 4 values'),
    ({'rotate': 45}, 'rotate: expected one of 0, 90, 180, 270, found 45'),
    ({'resize': 'squeeze'}, 'resize: expected one of centre, pad, stretch, never'),
    ({'encoding': 'h264'}, 'encoding: expected one of , rgb8, .* found .h264'),
    ({'transport': 'compressed', 'encoding': 'rgb8'}, 'expected none: a JPEG or PNG says it'),
])
def test_a_setting_that_cannot_be_is_one_sentence(setting: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        from_dict(CameraSpec, {'name': 'front', 'topic': 'image', 'height': 64, 'width': 64,
                               **setting}, 'my_arm.yaml')


def test_a_stated_encoding_wins_over_what_the_message_says() -> None:
    camera = tiny(encoding='bgr8')
    msg = raw(np.array([[[1, 2, 3], [4, 5, 6]]] * 2, np.uint8), 'rgb8')
    assert to_image(msg, camera).tolist() == [[[3, 2, 1], [6, 5, 4]]] * 2
