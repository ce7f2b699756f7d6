# Everything one does with this repository. `make` alone lists the targets.
#
# Build products, and tools that are fetched, go to a cache folder outside the checkout:
# $XDG_CACHE_HOME/sawyer or ~/.cache/sawyer. `make clean-cache` empties it.

export SAWYER_CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sawyer
export CARGO_TARGET_DIR ?= $(SAWYER_CACHE)/target

# The cargo profile of `run`, `demo` and `build`: `make run PROFILE=dev` compiles faster and runs slower.
PROFILE ?= release
BINARY := $(CARGO_TARGET_DIR)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/sawyer

# Where `run` and `demo` keep what they store, and what else is passed to `sawyer up`.
SAWYER_DATA ?= ./data
ARGS ?=

# For whom `image` builds: the machine's own processor, or another target that is installed.
IMAGE_TARGET ?= $(shell rustc -vV | sed -n 's/^host: //p')
# What the program in the image can do besides the default.
IMAGE_FEATURES ?= kafka
# All in one file, and the places in it that depend on where it lies told by bits: 1.5 MB that are read at each start otherwise.
IMAGE_RUSTFLAGS := -C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs

# What `soak` simulates.
SOAK ?= --hours 24 --rate 2000 --plot docs/soak.svg

.PHONY: help run demo build image ui test test-real soak e2e-kube fuzz lint format docs clean-cache

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: build ## build everything and start `sawyer up` on the logs of this machine
	@exec $(BINARY) up --data "$(SAWYER_DATA)" $(ARGS)

demo: build ## the same, and write a small workload to look at
	@exec $(BINARY) up --demo --data "$(SAWYER_DATA)" $(ARGS)

build: ui ## build the binary with its user interface
	@tools/packages cc make nasm autotools
	@cargo build --quiet --locked --profile $(PROFILE) --package sawyer

image: ui ## make a container image, as a file, without docker
	@tools/packages cc c++ make nasm autotools libssl
	@OPENSSL_STATIC=1 RUSTFLAGS="$(RUSTFLAGS) $(IMAGE_RUSTFLAGS)" cargo build --quiet --locked --release --package sawyer \
		--target $(IMAGE_TARGET) --features "$(IMAGE_FEATURES)"
	@tools/image --binary $(CARGO_TARGET_DIR)/$(IMAGE_TARGET)/release/sawyer

ui: ## build the user interface, if its sources changed
	@tools/ui build

test: ## run all tests that need no root
	@tools/test

test-real: ## run the tests that change the machine: mounts, containers, services; as root
	@tools/test --real

soak: ## let a day of simulated time pass over the store: memory, files and writing must stay level
	@cargo run --quiet --locked --release --package sawyer-bench --bin soak -- $(SOAK)

e2e-kube: image ## install the chart on a real Kubernetes node, and use it; as root
	@e2e/kube/run

fuzz: ## throw bytes at every decoder, SECONDS=60 at each
	@tools/packages cc
	@tools/fuzz --seconds $(or $(SECONDS),60)

lint: ## what CI checks before the tests: format, clippy, tidy, licences, the interface's own
	@.ci/run lint

format: ## format all sources
	@cargo fmt --all
	@tools/ui format

docs: ## write the configuration reference from the settings in the code
	@cargo xtask docs

clean-cache: ## remove build products and fetched tools
	rm -rf "$(SAWYER_CACHE)"
