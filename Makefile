# SPDX-License-Identifier: Apache-2.0
#
# Everything that is built goes below $(BUILD). `make help` lists the targets.
# Sources are found by wildcard: a new file in boot/, arch/, hv/ or iommu/ needs no line here.

# `make run SHELL=1` asks for a shell in the guest, but SHELL is also what make runs recipes with.
WANT_SHELL := $(if $(filter 1,$(SHELL)),1)
override SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

BUILD   ?= build
ifeq ($(origin CC),default)
CC      := gcc
endif
LD      := ld
NASM    := nasm
# Debian's own interpreter, because that is the one that python3-pytest belongs to.
PYTHON  ?= /usr/bin/python3
# Q is emptied by V=1, which shows each command.
Q       := $(if $(V),,@)

# ---- The hypervisor image ------------------------------------------------------------------------

IMAGE_DIRS := boot arch arch/svm arch/vmx hv iommu
C_SRC   := $(sort $(wildcard $(IMAGE_DIRS:=/*.c)))
ASM_SRC := $(sort $(wildcard $(IMAGE_DIRS:=/*.asm)))
OBJ     := $(C_SRC:%.c=$(BUILD)/obj/%.o) $(ASM_SRC:%.asm=$(BUILD)/obj/%.asm.o)
IMAGE   := $(BUILD)/sluice.elf

WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wpointer-arith \
           -Wvla -Wwrite-strings -Werror
CFLAGS  := -std=gnu11 -ffreestanding -mcmodel=kernel -fno-pic -mno-red-zone -mgeneral-regs-only -O2 -g \
           -ffunction-sections -fdata-sections -fomit-frame-pointer -fno-asynchronous-unwind-tables \
           -fno-stack-protector -fcf-protection=none -fno-common -ffile-prefix-map=$(CURDIR)=. $(WARN) -I.
# A segment that is writable and executable is a linker warning, and here an error.
LDFLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none --gc-sections \
           --fatal-warnings
# Newer versions of NASM warn about every reference from one section into another, which is all we ever do.
# No -g: its line table holds the path of the tree, and the image must not depend on where it is built.
ASFLAGS := -f elf64 -Wall -w-unknown-warning -w-reloc -Werror -I./

# Programs for the Linux guest, which are put into its initramfs; statically linked, they run anywhere.
LINUX_TOOLS := $(patsubst tools/linux/%.c,$(BUILD)/linux/%,$(sort $(wildcard tools/linux/*.c)))
$(BUILD)/linux/%: tools/linux/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) -std=gnu11 -O2 -static -s $(WARN) -o $@ $<

# ---- Host side: tests, the model, iommu/ as a library --------------------------------------------

HOST_CFLAGS := -std=gnu11 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all \
               -fno-omit-frame-pointer -Wall -Wextra -Werror -Itests/host -I.
UNIT_SRC    := $(sort $(wildcard tests/unit/test_*.c tests/model/test_*.c))
UNIT_BIN    := $(UNIT_SRC:%.c=$(BUILD)/host/%)
MODEL_SRC   := $(filter-out tests/model/test_%,$(sort $(wildcard tests/model/*.c)))
IOMMU_SRC   := $(sort $(wildcard iommu/*.c))
WORLD_SRC   := $(sort $(wildcard tests/world/*.c))

.PHONY: all image unit guests iso run demo bench soak test-all setup test test-unit test-e2e soak-programs mutate coverage check check-gcc check-clang check-format \
        check-headers check-lint clean distclean help FORCE

all: image guests unit ## Build the hypervisor, the test guests and the host tests
image: $(IMAGE) $(LINUX_TOOLS)
unit: $(UNIT_BIN)
guests:

# tests/guests/guests.mk adds its guests to the target `guests`.
-include tests/guests/guests.mk
# The image that tests booting, also part of `guests`.
-include tests/boot/boot.mk
# sluice.efi, the application for EFI firmware.
-include boot/efi/efi.mk

# Objects depend on this file, so a change of compiler or flags rebuilds them.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(CC) $(CFLAGS) $(ASFLAGS) $(LDFLAGS) $(HOST_CFLAGS)' | cmp -s - $@ \
		|| printf '%s\n' '$(CC) $(CFLAGS) $(ASFLAGS) $(LDFLAGS) $(HOST_CFLAGS)' > $@

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/obj/%.asm.o: %.asm $(BUILD)/flags
	@mkdir -p $(@D)
	@echo '  NASM  $<'
	$(Q)$(NASM) $(ASFLAGS) -MD $(@:.o=.d) -MP -MT $@ -o $@ $<

# The symbol table for backtraces: a first link with an empty table gives the addresses, the second one
# holds them. linker.ld keeps the table last, so that filling it moves nothing.
# tools/symbols writes C to its standard output: an empty table, or that of the ELF file it is given.
SYMBOLS := $(wildcard tools/symbols)
ifneq ($(SYMBOLS),)
$(BUILD)/symbols.pre.c: $(SYMBOLS)
	@mkdir -p $(@D)
	$(Q)tools/symbols > $@

$(BUILD)/symbols.c: $(SYMBOLS) $(BUILD)/sluice.pre.elf
	$(Q)tools/symbols $(BUILD)/sluice.pre.elf > $@

$(BUILD)/symbols.pre.o $(BUILD)/symbols.o: $(BUILD)/%.o: $(BUILD)/%.c $(BUILD)/flags
	$(Q)$(CC) $(CFLAGS) -c -o $@ $<

$(BUILD)/sluice.pre.elf: $(OBJ) $(BUILD)/symbols.pre.o linker.ld
	$(Q)$(LD) $(LDFLAGS) -T linker.ld -o $@ $(filter %.o,$^)

$(IMAGE): $(BUILD)/symbols.o
endif

# All bytes of the image before .digest, which is at its end, are hashed into it: see boot/start.c.
define seal
	$(Q)objcopy -O binary $(1) $(1).bytes
	$(Q)printf "$$(head -c -32 $(1).bytes | sha256sum | cut -c -64 | sed 's/../\\x&/g')" > $(1).digest
	$(Q)objcopy --update-section .digest=$(1).digest $(1)
	$(Q)rm $(1).bytes $(1).digest
endef

$(IMAGE): $(OBJ) linker.ld
	@echo '  LD    $@'
	$(Q)$(LD) $(LDFLAGS) -T linker.ld -o $@ $(filter %.o,$^)
	$(call seal,$@)

$(BUILD)/host/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo '  HOSTCC $<'
	$(Q)$(CC) $(HOST_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/host/libmodel.a: $(MODEL_SRC:%.c=$(BUILD)/host/%.o)
$(BUILD)/host/libiommu.a: $(IOMMU_SRC:%.c=$(BUILD)/host/%.o)
$(BUILD)/host/libworld.a: $(WORLD_SRC:%.c=$(BUILD)/host/%.o)
$(BUILD)/host/%.a:
	@mkdir -p $(@D)
	$(Q)rm -f $@ && ar rcsD $@ $^

# What a test needs stands at its top: /* LINK: iommu/qi.c libmodel.a */ and /* LIBS: -lcapstone */.
test-words = $(shell sed -n 's,^/\* $(2): \(.*\) \*/$$,\1,p' $(1))
link-objects = $(foreach w,$(call test-words,$(1),LINK),$(if $(filter %.a,$(w)),$(BUILD)/host/$(notdir $(w)),$(w:%.c=$(BUILD)/host/%.o)))
define unit-rule
$(BUILD)/host/$(1): $(BUILD)/host/$(1).o $(call link-objects,$(1).c)
	@echo '  LINK  $$@'
	$(Q)$(CC) $(HOST_CFLAGS) -o $$@ -Wl,--start-group $$^ -Wl,--end-group $(call test-words,$(1).c,LIBS) -lcmocka
endef
$(foreach t,$(UNIT_SRC:.c=),$(eval $(call unit-rule,$(t))))

-include tests/model/model.mk

# What throws inputs at the code, and what proves things about it.
-include tests/fuzz/fuzz.mk
-include tests/proof/proof.mk

-include $(shell find $(BUILD)/obj $(BUILD)/host -name '*.d' 2>/dev/null)

# ---- What a user calls ---------------------------------------------------------------------------

# What tools/run.py takes from the command line of make.
export GUEST CMDLINE INITRD BARE FIRMWARE SMP OPTIONS SLUICE_CACHE WANT_SHELL
export BUILD PYTHON TIMEOUT

# As many jobs as there are processors, unless the caller said how many.
SUBMAKE = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

# Sub-makes, because what builds may only just have been installed by the line before.
run: ## Boot Debian's kernel on Sluice in QEMU (SHELL=1, GUEST=, CMDLINE=, INITRD=, BARE=1, FIRMWARE=)
	@tools/setup build run
	@$(SUBMAKE) $(if $(BARE),$(LINUX_TOOLS),image)
	@$(PYTHON) tools/run.py

demo: ## Show what a missing device-TLB flush does, and draw it: Debian 6.1 twice on the same machine
	@tools/setup build run demo
	@$(SUBMAKE) image
	@$(PYTHON) tools/demo.py

test: ## Install what is missing, build, run all tests; the last line is `N passed, N failed`
	@tools/setup build run test
	@$(SUBMAKE) all
	@$(PYTHON) tools/runtests.py unit e2e

test-all: ## As `make test`, with every combination of kernel, unit and mode instead of a choice: for hours
	@ALL=1 $(MAKE) --no-print-directory test

soak: ## Linux on two processors under load with verified data, for MINUTES (default 30)
	@tools/setup build run test
	@$(SUBMAKE) image
	@MINUTES=$(or $(MINUTES),30) $(PYTHON) -m pytest -q -rP tests/e2e/test_load.py -k soak

bench: ## Instructions, exits and throughput against the bare unit and Linux/KVM, as a table and a plot in build/bench (DOCS=1: and in docs/)
	@tools/setup build run test demo
	@$(SUBMAKE) image guests
	@$(PYTHON) tools/bench.py $(if $(DOCS),--docs)

test-unit: unit ## Run the host tests only
	@$(PYTHON) tools/runtests.py unit

test-e2e: image guests ## Run the tests in the emulator only
	@$(PYTHON) tools/runtests.py e2e

soak-programs: $(BUILD)/host/tests/unit/test_programs ## Programs that no run has seen before, for TIME seconds (default 600) twice, then a deeper small world
	@FIRST=$$(date +%s)000 PROGRAM_SECONDS=$(or $(TIME),600) CLASS_PROGRAMS=$(or $(TIME),600) DEPTH=6 $<

mutate: ## Break iommu/ and hv/ one place at a time; some host test must notice (SAMPLE=, SEED=, ONLY=, REPORT=1)
	@tools/setup build test
	@BUILD=$(BUILD) CC=$(CC) $(PYTHON) tools/mutate.py $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED)) \
		$(if $(ONLY),--only '$(ONLY)') $(if $(filter 1,$(REPORT)),--report)

coverage: ## Table of the lines and branches of iommu/ that the host tests reach; fails on one that nobody explains
	@tools/setup build test
	@BUILD=$(BUILD) $(PYTHON) tools/coverage.py

iso: ## Build build/sluice.iso: GRUB, Sluice and Debian's kernel as its guest
	@tools/setup build run
	@$(SUBMAKE) $(if $(BARE),$(LINUX_TOOLS),image)
	@$(PYTHON) tools/run.py --iso-only

setup: ## Install every package that building, running, testing and checking need
	@tools/setup build run test check

check: ## Compile with gcc and clang, check the format, the headers, and lint
	@tools/setup build check
	@$(SUBMAKE) -k check-gcc check-clang check-format check-headers check-lint

ALL_C := $(sort $(wildcard $(foreach d,$(IMAGE_DIRS) boot/efi tests/unit tests/host/arch tests/model tests/world tests/mutate tests/guests tests/guests/lib tests/guests/multiboot tests/boot tests/linux tests/fuzz tests/proof tools/linux,$(d)/*.[ch])))
# boot/efi/ is compiled with flags of its own, which is where its headers are tried.
HEADERS := $(filter %.h,$(filter-out tests/% boot/efi/% tools/%,$(ALL_C)))

check-gcc check-clang: check-%:
	@$(MAKE) --no-print-directory CC=$* BUILD=$(BUILD)/check/$* all

# The verdict of clang-format depends on its version; the tree is kept to that of Debian 12.
check-format:
	@version=$$(clang-format --version | sed -n 's/.*version \([0-9]*\).*/\1/p'); bad=0; \
	if [ "$$version" != 14 ]; then echo "  FORMAT skipped: clang-format is $$version, the tree is kept to 14"; exit 0; fi; \
	for f in $(ALL_C); do clang-format --dry-run -Werror $$f 2> /dev/null || { echo "  FORMAT $$f: clang-format -i would change it"; bad=1; }; done; \
	exit $$bad

check-headers:
	@for h in $(HEADERS); do $(CC) $(CFLAGS) -Wno-unused-function -fsyntax-only -x c $$h; done
	@echo '  HEADERS stand alone'

# normalCheckLevelMaxBranches: newer versions say so of each larger file, and it is no finding.
# comparePointers: the two ends of what linker.ld collects are two objects to cppcheck.
check-lint:
	@cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr -I. -D__x86_64__ --platform=unix64 \
		--enable=warning,portability --suppress=missingInclude --suppress=comparePointers \
		--suppress=normalCheckLevelMaxBranches $(C_SRC)
	@echo '  LINT  ok'

clean: ## Remove what was built (the fetched kernel in build/cache stays; `make distclean` takes it too)
	@if [ -d $(BUILD) ]; then find $(BUILD) -mindepth 1 -maxdepth 1 ! -name cache -exec rm -rf {} +; fi

distclean:
	@rm -rf $(BUILD)

help: ## Show this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) boot/*/*.mk tests/*/*.mk | expand -t 18
