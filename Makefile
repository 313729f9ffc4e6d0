# `make demo` and `make test` set up everything they need in .venv; the second time takes seconds.
#   make PYTHON=python3.12          another interpreter
#   make TORCH='torch==2.13.0'      another torch; pip's own settings (PIP_EXTRA_INDEX_URL,
#                                   PIP_FIND_LINKS) choose a build for CPU or for some CUDA
#   make demo ARGS='--help'         arguments for the program
export PYTHON ?= python3
export TORCH ?= torch==2.13.0
# Left by ROS wheels of another environment, it would keep ours from finding their libraries.
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE

BIN := .venv/bin
# Sourcing ROS 2, or not sourcing it any more, asks for another environment.
READY := .venv/ready-$(if $(AMENT_PREFIX_PATH),system,wheels)

.PHONY: setup demo bench test test-ros test-others unit lint faults fuzz soak audit clean

setup: $(READY)

$(READY): .ci/setup constraints.txt requirements.txt setup.py
	bash .ci/setup
	touch $@

demo: $(READY)
	$(BIN)/gato-ros demo $(ARGS)

bench: $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet \
	    --constraint .venv/constraints.txt -e '.[bench]'
	$(BIN)/gato-ros bench $(ARGS)

# Real time has one core and goes first; whatever can wait has the other.
test: lint
	$(MAKE) --no-print-directory -j2 test-ros test-others

test-ros: $(READY)  # real processes in real time, on any machine
	$(BIN)/python -m pytest test/ros -m 'not faults' --reruns 2 -p no:cacheprovider

test-others: $(READY)
	nice $(BIN)/python -m pytest test/unit test/sim -p no:cacheprovider

unit: $(READY)
	$(BIN)/python -m pytest test/unit -m 'not slow'

# Long and on a machine with nothing else to do: the policy is killed KILLS times, each topic gets HOSTILE messages.
KILLS ?= 100
HOSTILE ?= 200
faults: $(READY)
	GATO_SLOW=1 GATO_KILLS=$(KILLS) GATO_HOSTILE=$(HOSTILE) $(BIN)/python -m pytest -s -m 'faults or not faults' \
	    test/ros/graph/test_faults.py test/ros/graph/test_outages.py test/ros/common/test_hostile.py test/ros/common/test_stopping.py

FUZZ ?= 10000000
# Of each kind of file that is read, changed at random, beside those made by hand.
FILES ?= 1000
# Of the gate's own damping, each on ten arms.
FUZZ_SETTINGS ?= 1000
fuzz: $(READY)
	$(BIN)/python test/unit/helpers/fuzz_guard.py $(FUZZ)
	$(BIN)/python test/unit/helpers/damped_arm.py $(FUZZ_SETTINGS)
	$(BIN)/python test/unit/helpers/fuzz_readers.py --count $(FILES)

SOAK_S ?= 3600
soak: $(READY)
	$(BIN)/python test/ros/graph/soak.py --seconds $(SOAK_S)

# Known vulnerabilities of the versions in constraints.txt; fails where nothing can be looked up.
audit:
	$(PYTHON) .ci/audit

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf .venv build install log *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find gato_ros test -name __pycache__ -exec rm -rf {} +
