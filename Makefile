# SPDX-License-Identifier: Apache-2.0
# Thin: meson builds. `make help` says what there is.
PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= $(CURDIR)/build
PROGRAMS = src/hull/hull src/pod/hull-pod src/image/hull-unpack src/daemon/hulld src/ctl/hullctl

.PHONY: build install demo test bench lint clean help
build: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

$(BUILD)/build.ninja:
	@meson setup $(BUILD) $(CURDIR) --prefix=$(PREFIX) >$(BUILD).log 2>&1 || \
		{ tail -5 $(BUILD).log; echo "tests/install-packages build installs what building needs"; exit 1; }
	@rm -f $(BUILD).log

# The prefix is built in: hulld looks for its helpers below it. Installed programs have no symbols, which are a multiple of
# their size; those of the same build id in $(BUILD) have. STRIP=no leaves that to a distribution's tools.
install: $(BUILD)/build.ninja
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@ninja -C $(BUILD) --quiet
	DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild --quiet $(if $(filter no,$(STRIP)),,--strip)

demo:
	@$(CURDIR)/tests/demo/run

test:
	@$(CURDIR)/tests/run

# BENCH=--only-oci: the OCI command line alone; see --help for more.
bench: build
	@HULL_BUILD=$(BUILD) $(CURDIR)/tests/bench/run $(BENCH)

lint:
	@$(CURDIR)/tests/run layers lint

clean:
	rm -rf $(CURDIR)/build $(CURDIR)/build-*

help:
	@echo "make [build]                          build into build/"
	@echo "make install [PREFIX=/usr] [DESTDIR=] install it, stripped unless STRIP=no"
	@echo "make demo                             a pod in its own user namespace, shown (root)"
	@echo "make test                             all tests (root for most of them)"
	@echo "make bench [BENCH=--only-oci]         how fast and how small (root)"
	@echo "make lint                             layout and static analysis"
