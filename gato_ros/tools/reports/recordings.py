"""One HTML page about a folder of demonstrations; pictures are inside it, nothing is loaded."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np

from gato_ros.config import ConfigError
from gato_ros.episodes.recordings.actors import read_remarks
from gato_ros.episodes.recordings.inspect import Verdict, inspect
from gato_ros.episodes.recordings.mcap_file import BagError
from gato_ros.robot import RobotSpec

SENTENCES = 8  # of the gate, the commonest
HEIGHT = 96  # pixels of a thumbnail
STYLE = """body{font:16px system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em}
article{border-top:1px solid #888;padding:1em 0}img{display:block;max-width:100%}
.yes{color:#06632a}.no{color:#a10000}h2{font-size:1.1em;margin:0}
@media(prefers-color-scheme:dark){body{background:#111;color:#eee}.yes{color:#6fdc8c}
.no{color:#ff8d8d}}"""


def write_report(files: Sequence[Path], robot: RobotSpec, out: Path) -> None:
    """Write the page; ConfigError when it cannot be written."""
    parts, usable = [], 0
    for file in files:
        try:
            verdict = inspect(file, robot)
        except BagError as error:
            parts.append(f'<article><h2>{escape(file.name)}</h2>'
                         f'<p class=no>{escape(str(error))}</p></article>')
            continue
        usable += not verdict.refusal
        parts.append(article(verdict))
    page = (f'<!doctype html><html lang=en><meta charset=utf-8>'
            f'<meta name=viewport content="width=device-width"><title>Demonstrations</title>'
            f'<style>{STYLE}</style><h1>Demonstrations</h1>'
            f'<p>{usable} of {len(files)} may become training data for robot '
            f'{escape(robot.name)} (specification {robot.timestep().hash}).</p>'
            f'{"".join(parts)}</html>\n')
    try:
        out.write_text(page, encoding='utf-8', errors='backslashreplace')  # odd file names
    except OSError as error:
        raise ConfigError(f'{out} cannot be written: {error.strerror}') from error


def article(verdict: Verdict) -> str:
    """Return what the page says about one recording."""
    found, about = verdict.contents, verdict.contents.about
    facts = [f'{found.seconds:.1f} s', f'{verdict.steps} steps',
             f'{100 * verdict.blind:.0f} % of the time without an observation',
             about.get('outcome') or 'not marked', f'by {about.get("source", "unknown")}',
             f'skew p95 {1e3 * verdict.skew.p95_s:.0f} ms, max {1e3 * verdict.skew.max_s:.0f} ms']
    if found.lost:
        facts.append(f'{sum(found.lost.values())} messages lost')
    often = sorted(verdict.refused.items(), key=lambda item: -item[1])
    said = ''.join(f'<li>{count} times: {escape(words)}' for words, count in often[:SENTENCES])
    if len(often) > SENTENCES:
        said += f'<li>{len(often) - SENTENCES} other sentences'
    strips = ''.join(strip(name, pictures) for name, pictures in verdict.pictures.items())
    remarks = ''.join(f'<li>{escape(words)}' for words in read_remarks(found.file))
    mark = (f'<p class=no>No training data: {escape(verdict.refusal)}.</p>' if verdict.refusal
            else '<p class=yes>May become training data.</p>')
    return (f'<article><h2>{escape(found.file.name)}</h2>'
            f'<p>{escape(about.get("sentence") or "no task")}. {escape("; ".join(facts))}.</p>'
            f'{mark}{strips}{f"<p>Remarks:</p><ul>{remarks}</ul>" if remarks else ""}'
            f'{f"<p>The gate said:</p><ul>{said}</ul>" if said else ""}</article>')


def strip(camera: str, pictures: Sequence[np.ndarray]) -> str:
    """Return thumbnails of one camera beside each other, as one picture in the page."""
    rows = [cv2.resize(picture, (picture.shape[1] * HEIGHT // picture.shape[0], HEIGHT))
            for picture in pictures]
    done, data = cv2.imencode('.jpg', np.hstack(rows)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert done
    text = base64.b64encode(data.tobytes()).decode()
    return (f'<img alt="{escape(camera)} camera, from the first to the last step" '
            f'src="data:image/jpeg;base64,{text}">')
