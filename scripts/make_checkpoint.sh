#!/usr/bin/env bash
# Makes a checkpoint from nothing: demonstrations, training, aggregation in rounds, evaluation, shards.
# Every step is resumable; the same command goes on. On a GPU and many cores raise the numbers:
#
#   EXPERT=8000 AGGREGATED=1500 ROUNDS=3 STEPS=12000 BATCH=1024 bash scripts/make_checkpoint.sh out/made
#
# Any pair, as the prompt says: SETTINGS=stack_pairs TASKS=stack_any_pair BEGIN=gato_ros/assets/checkpoint.
#
# TASKS       of the episodes, in turn, and of the evaluation
# EXPERT      demonstrations, half of them with randomised looks
# AGGREGATED  episodes of each round in which the policy drives and the expert labels
# ROUNDS      of aggregation, each followed by STEPS of training from the weights of the one before
# SETTINGS    name in config/training, or a YAML file
# BEGIN       checkpoint to begin with, in place of random weights
# EPISODES    of each evaluation
set -euo pipefail
OUT=${1:?usage: [EXPERT=..] [ROUNDS=..] ... bash scripts/make_checkpoint.sh FOLDER}
EXPERT=${EXPERT:-1600} AGGREGATED=${AGGREGATED:-200} ROUNDS=${ROUNDS:-2} STEPS=${STEPS:-3000}
BATCH=${BATCH:-128} SETTINGS=${SETTINGS:-stack_small} BEGIN=${BEGIN:-} EPISODES=${EPISODES:-200}
GATO=${GATO:-gato-ros} TASKS=${TASKS:-stack_wide stack_narrow}
tasks=()
for task in $TASKS; do tasks+=(--task "$task"); done
SEED=100000  # training seeds begin here; each folder takes its own

collect() {  # folder, episodes, options of gato-ros collect
    local folder=$1 episodes=$2
    shift 2
    "$GATO" collect --out "$OUT/data/$folder" --episodes "$episodes" --first-seed "$SEED" \
        "${tasks[@]}" "$@"
    SEED=$((SEED + episodes))
}

collect expert $((EXPERT / 2))
collect expert_looks $((EXPERT / 2)) --randomise
for round in $(seq 0 "$ROUNDS"); do
    if [ "$round" -gt 0 ]; then
        # A policy that stacks already drives nearly all of the time: its own mistakes are what is wanted.
        share=$([ "$round" -gt 1 ] && echo 0.95 || echo 0.7)
        collect "round$round" $((AGGREGATED / 2)) --noise 0.1 --policy "$BEGIN" --policy-share "$share"
        collect "round${round}_looks" $((AGGREGATED / 2)) --noise 0.1 --policy "$BEGIN" --policy-share "$share" --randomise
    fi
    "$GATO" train "$SETTINGS" --out "$OUT/run$round" ${BEGIN:+--start-from "$BEGIN"} \
        --set "data.folders=[$OUT/data]" --set "steps=$STEPS" --set "batch=$BATCH"
    BEGIN=$OUT/run$round/checkpoint
done
"$GATO" evaluate --checkpoint "$BEGIN" "${tasks[@]}" --randomisation both \
    --episodes "$EPISODES" --split validation --out "$OUT/validation" --json "$OUT/validation.json"
split --bytes=15M --numeric-suffixes "$BEGIN/model.safetensors" "$OUT/model.safetensors."
cp "$BEGIN/config.json" "$OUT/"
