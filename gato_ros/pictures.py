"""What a camera sends -> what the policy sees: one function, in control as in training.

    image = to_image(msg, camera, calibration)     # uint8[camera.height, camera.width, 3], RGB

Decode, undistort, crop, rotate, resize: each stage is OpenCV's own, and a picture that has the
policy's size already and needs no stage goes through as it is. No ROS is needed: a message is
whatever has the fields of sensor_msgs' Image, CompressedImage or CameraInfo.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np

from gato_ros.robot import CameraSpec
from gato_ros.untrusted import MIB, open_file

Image: TypeAlias = Any  # of sensor_msgs: Image or CompressedImage
CameraInfo: TypeAlias = Any

LARGEST = 4096 * 4096  # pixels that a picture may have as it is sent: 48 MiB in RGB
LARGEST_FILE = 64 * MIB
DRIVER = ' (set by the camera driver)'
JPEG, PNG = b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n'  # how such a file begins
SCAN, END = b'\xff\xda', b'\xff\xd9'  # a JPEG's marks, which its data cannot hold
SCANS = 64  # of a progressive JPEG, each of which may take as long as the whole picture
PNG_END = b'IEND\xaeB`\x82'
# encoding -> bytes of a pixel in its row, and OpenCV's way to RGB; None: it is RGB
ENCODINGS: dict[str, tuple[int, int | None]] = {
    'rgb8': (3, None), 'bgr8': (3, cv2.COLOR_BGR2RGB),
    'rgba8': (4, cv2.COLOR_RGBA2RGB), 'bgra8': (4, cv2.COLOR_BGRA2RGB),
    'mono8': (1, cv2.COLOR_GRAY2RGB), 'mono16': (2, cv2.COLOR_GRAY2RGB),
    'yuv422': (2, cv2.COLOR_YUV2RGB_UYVY), 'uyvy': (2, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': (2, cv2.COLOR_YUV2RGB_YUY2), 'yuyv': (2, cv2.COLOR_YUV2RGB_YUY2),
    'nv12': (1, cv2.COLOR_YUV2RGB_NV12),
    # OpenCV names a pattern by its second row: its BG is what all others call rggb.
    'bayer_rggb8': (1, cv2.COLOR_BayerBG2RGB), 'bayer_bggr8': (1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': (1, cv2.COLOR_BayerGR2RGB), 'bayer_grbg8': (1, cv2.COLOR_BayerGB2RGB)}
# encoding -> what height and width must be multiples of, for pixels share their colours
BLOCKS = {'yuv422': (1, 2), 'uyvy': (1, 2), 'yuv422_yuy2': (1, 2), 'yuyv': (1, 2), 'nv12': (2, 2)}
TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
# distortion model -> how many coefficients it may have
MODELS = {'plumb_bob': (4, 5), 'rational_polynomial': (8,), 'equidistant': (4,)}


class ConvertError(ValueError):
    """A message that cannot be used; one sentence with value, expectation and place."""


@dataclass(frozen=True)
class Calibration:
    """What a camera_info says of a lens: fields of sensor_msgs/CameraInfo, without its header."""

    height: int
    width: int
    model: str
    d: tuple[float, ...]
    k: tuple[float, ...]
    r: tuple[float, ...]
    p: tuple[float, ...]


def to_image(msg: Image, camera: CameraSpec, calibration: Calibration | None = None) -> np.ndarray:
    """Return uint8[H, W, 3] in RGB, as the policy sees it; where nothing is to do, a view.

    calibration  of the lens, from ``to_calibration``; only a camera with ``undistort`` needs it

    Raises ConvertError for a message that cannot be used, and never allocates for one more than
    a picture of LARGEST pixels takes.
    """
    try:
        image = _decode(msg, camera) if camera.transport == 'compressed' else _raw(msg, camera)
        if camera.undistort:
            image = _undistort(image, camera, calibration)
        return _resize(_turn(image, camera), camera)
    except cv2.error as error:
        raise ConvertError(f'{camera.topic}: OpenCV refuses the picture: {error.err or error}'
                           ) from error


def to_calibration(infos: Iterable[CameraInfo], camera: CameraSpec) -> Calibration | None:
    """Return the one calibration that all messages of a camera's camera_info say; None of none.

    Raises ConvertError for one that is not usable, and where two of them differ.
    """
    found: Calibration | None = None
    for info in infos:
        new = _calibration(info, camera)
        if found is not None and new != found:
            raise ConvertError(f'{camera.info_topic} has changed its calibration, expected one '
                               'for the whole time: start again after another')
        found = new
    return found


def read_picture(file: Path) -> np.ndarray:
    """Return the picture of a PNG or JPEG file as uint8[h, w, 3] in RGB.

    Grey and 16 bits are converted, and what is transparent becomes white.

    Raises ConvertError for a file that is not there, empty, too large, damaged or no picture.
    """
    try:
        with open_file(file) as stream:
            data = stream.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ConvertError(f'{file} cannot be read: {error.strerror}') from error
    if not data or len(data) > LARGEST_FILE:
        raise ConvertError(f'{file} has {"no" if not data else f"more than {LARGEST_FILE}"} '
                           'bytes, expected a JPEG or PNG')
    try:  # a JPEG's orientation is heeded, a PNG's transparency kept
        return _unpack(data, str(file), cv2.IMREAD_COLOR if data.startswith(JPEG)
                       else cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ConvertError(f'{file}: OpenCV refuses the picture: {error.err or error}') from error


def describe(msg: Image, camera: CameraSpec) -> str:
    """Return what a camera sends, for people: '640x480 rgb8', or 'jpeg' of a compressed one."""
    if camera.transport == 'compressed':
        return {JPEG: 'jpeg', PNG[:3]: 'png'}.get(bytes(msg.data[:3]), 'compressed')
    return f'{msg.width}x{msg.height} {camera.encoding or msg.encoding}'


def _raw(msg: Image, camera: CameraSpec) -> np.ndarray:
    """Return uint8[h, w, 3] of an Image of any encoding, with or without padding in its rows."""
    encoding, height, width = camera.encoding or msg.encoding, msg.height, msg.width
    if encoding not in ENCODINGS:
        raise ConvertError(f'{camera.topic}: the encoding is {encoding!r}, expected '
                           f'{", ".join(ENCODINGS)} (set it in the camera driver, or say what it '
                           "is as the camera's encoding in the robot's YAML file)")
    _check_size(height, width, camera.topic, DRIVER)
    rows, columns = BLOCKS.get(encoding, (1, 1))
    if height % rows or width % columns:
        raise ConvertError(f'{camera.topic}: the image is {height}x{width} in {encoding}, '
                           f'expected multiples of {rows}x{columns} (set by the camera driver)')
    size, to_rgb = ENCODINGS[encoding]
    row, lines = width * size, height * 3 // 2 if encoding == 'nv12' else height
    if msg.step < row or len(msg.data) != msg.step * lines:
        raise ConvertError(f'{camera.topic}: {len(msg.data)} bytes with a step of {msg.step}, '
                           f'expected {lines} rows of {row} bytes or more (set by the camera '
                           'driver)')
    pixels = np.frombuffer(msg.data, np.uint8).reshape(lines, msg.step)[:, :row]
    if encoding == 'mono16':
        pixels = _to_eight_bits(pixels.view('>u2' if msg.is_bigendian else '<u2').astype('u2'))
    elif size > 1:
        pixels = pixels.reshape(height, width, size)
    return pixels if to_rgb is None else cv2.cvtColor(pixels, to_rgb)


def _decode(msg: Image, camera: CameraSpec) -> np.ndarray:
    """Return uint8[h, w, 3] of a CompressedImage; its bytes say what it is, not its format."""
    return _unpack(bytes(msg.data), camera.topic, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, DRIVER,
                   " (set by the camera driver, or transport: raw in the robot's YAML file)")


def _unpack(data: bytes, where: str, flags: int, by: str = '', no_picture: str = '') -> np.ndarray:
    """Return uint8[h, w, 3] of a JPEG or PNG: RGB; what is transparent becomes white.

    by, no_picture  what a sentence ends with where the picture, or its kind, is wrong
    """
    if data.startswith(JPEG):
        size, whole = _jpeg_size(data), data.rfind(END) > data.rfind(SCAN)
        scans = data.count(SCAN)
        if scans > SCANS:
            raise ConvertError(f'{where}: a JPEG of {scans} scans, expected at most {SCANS}{by}')
    elif data.startswith(PNG):
        size, whole = _png_size(data), PNG_END in data[-64:]
    else:
        raise ConvertError(f'{where}: {len(data)} bytes that begin with {data[:8].hex()!r}, '
                           f'expected a JPEG or PNG{no_picture}')
    if size is not None:
        _check_size(*size, where, by)
    image = None if size is None or not whole else cv2.imdecode(
        np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise ConvertError(f'{where}: a picture of {len(data)} bytes is cut off or damaged, '
                           'expected a whole JPEG or PNG')
    if image.dtype == np.uint16:
        image = _to_eight_bits(image)
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    colours = cv2.cvtColor(image[..., :3], cv2.COLOR_BGR2RGB)
    if image.shape[2] == 4:
        share = image[..., 3:].astype(np.float32) / 255
        colours = np.rint(share * colours + (1 - share) * 255).astype(np.uint8)
    return colours


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return height and width from the frame's header; None where no marker says it."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xff:
        marker = data[at + 1]
        if 0xc0 <= marker <= 0xcf and marker not in (0xc4, 0xc8, 0xcc):  # no table: a frame
            height, width = struct.unpack_from('>HH', data, at + 5)
            return height, width
        if marker == 0xff:  # a fill byte
            at += 1
        else:
            at += 2 + max(2, int.from_bytes(data[at + 2:at + 4], 'big'))
    return None


def _png_size(data: bytes) -> tuple[int, int] | None:
    """Return height and width from the header; None where there is none."""
    if data[12:16] != b'IHDR' or len(data) < 24:
        return None
    width, height = struct.unpack_from('>II', data, 16)
    return height, width


def _check_size(height: int, width: int, where: str, by: str) -> None:
    if not 0 < height * width <= LARGEST:
        raise ConvertError(f'{where}: the image is {height}x{width}, expected 1 to {LARGEST} '
                           f'pixels{by}')


def _to_eight_bits(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 of uint16: 65,535 becomes 255."""
    return cv2.convertScaleAbs(pixels, alpha=1 / 257)


def _calibration(info: CameraInfo, camera: CameraSpec) -> Calibration:
    def numbers(values: Sequence[float]) -> tuple[float, ...]:
        return tuple(float(value) for value in values)

    found = Calibration(info.height, info.width, info.distortion_model, numbers(info.d),
                        numbers(info.k), numbers(info.r), numbers(info.p))
    where = f'{camera.info_topic}: '
    calibrate = "; calibrate the camera, or set undistort: false in the robot's YAML file"
    if len(found.d) not in MODELS.get(found.model, ()):
        raise ConvertError(f'{where}distortion model {found.model!r} with {len(found.d)} '
                           f'coefficients, expected {", ".join(MODELS)} with 4 to 8{calibrate}')
    if (len(found.k), len(found.r), len(found.p)) != (9, 9, 12) or not np.isfinite(
            (*found.d, *found.k, *found.r, *found.p)).all() or min(found.k[0], found.k[4]) <= 0:
        raise ConvertError(f'{where}k is {found.k}, expected finite numbers and focal lengths '
                           f'above 0{calibrate}')
    if max(info.binning_x, info.binning_y) > 1 or info.roi.x_offset or info.roi.y_offset:
        raise ConvertError(f'{where}binning or a region of interest, expected the whole picture '
                           '(set by the camera driver)')
    return found


def _undistort(image: np.ndarray, camera: CameraSpec,
               calibration: Calibration | None) -> np.ndarray:
    if calibration is None:
        raise ConvertError(f'{camera.info_topic}: nothing has arrived, expected the calibration '
                           f"that undistort of camera {camera.name!r} needs (the robot's YAML "
                           'file)')
    height, width, _ = image.shape
    if (height, width) != (calibration.height, calibration.width):
        raise ConvertError(f'{camera.topic}: the image is {height}x{width}, expected '
                           f'{calibration.height}x{calibration.width} as {camera.info_topic} says')
    return cv2.remap(image, *_maps(calibration), cv2.INTER_LINEAR)


@lru_cache(maxsize=16)
def _maps(calibration: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """Return where each pixel of the straight picture lies in the bent one, as image_proc does."""
    k = np.reshape(calibration.k, (3, 3))
    p = np.reshape(calibration.p, (3, 4))[:, :3]
    r = np.reshape(calibration.r, (3, 3))
    make = (cv2.fisheye.initUndistortRectifyMap if calibration.model == 'equidistant'
            else cv2.initUndistortRectifyMap)
    return make(k, np.array(calibration.d), r if r.any() else np.eye(3), p if p.any() else k,
                (calibration.width, calibration.height), cv2.CV_16SC2)


def _turn(image: np.ndarray, camera: CameraSpec) -> np.ndarray:
    """Return what ``crop`` leaves, turned by ``rotate``."""
    if camera.crop is not None:
        x, y, width, height = camera.crop
        if x + width > image.shape[1] or y + height > image.shape[0]:
            raise ConvertError(
                f'{camera.topic}: the image is {image.shape[0]}x{image.shape[1]}, expected room '
                f"for crop {list(camera.crop)} (x, y, width, height in the robot's YAML file)")
        image = image[y:y + height, x:x + width]
    return cv2.rotate(image, TURNS[camera.rotate]) if camera.rotate else image


def _resize(image: np.ndarray, camera: CameraSpec) -> np.ndarray:
    """Return the picture in the policy's size."""
    height, width, wanted = *image.shape[:2], (camera.height, camera.width)
    if (height, width) == wanted:
        return image
    if camera.resize == 'never':
        raise ConvertError(f'{camera.topic}: the image is {height}x{width}, expected '
                           f'{camera.height}x{camera.width} (height x width of camera '
                           f"{camera.name!r} in the robot's YAML file, where resize is never)")
    if camera.resize == 'centre':
        across = min(width, max(1, round(height * camera.width / camera.height)))
        down = min(height, max(1, round(width * camera.height / camera.width)))
        y, x = (height - down) // 2, (width - across) // 2
        return scaled(image[y:y + down, x:x + across], *wanted)
    if camera.resize == 'stretch':
        return scaled(image, *wanted)
    share = min(camera.height / height, camera.width / width)
    down, across = max(1, round(share * height)), max(1, round(share * width))
    whole = np.zeros((*wanted, 3), np.uint8)
    y, x = (camera.height - down) // 2, (camera.width - across) // 2
    whole[y:y + down, x:x + across] = scaled(image, down, across)
    return whole


def scaled(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return height x width pixels: means of areas where it shrinks, else between neighbours."""
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    return cv2.resize(image, (width, height),
                      interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
