#!/usr/bin/env bash
# A GPU's ten minutes in one command, from what a checkout carries: its tests, the bars, profiles of a training step and
# of a control step, and a training from the generalist for as long as there is time. Writes gpu_day.json, gpu_day.png
# and the checkpoint in files of 15 MB into OUT.
#   OUT=out/gpu_day MINUTES=9.5 scripts/gpu_day.sh
#   REHEARSE=1 scripts/gpu_day.sh        # tiny sizes, on any machine: whether it would run, no figures
set -euo pipefail
OUT=$(realpath -m "${OUT:-out/gpu_day}")
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" scripts/gpu_day.py --out "$OUT" --minutes "${MINUTES:-9.5}" ${REHEARSE:+--rehearse}
