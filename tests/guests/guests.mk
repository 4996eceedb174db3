# SPDX-License-Identifier: Apache-2.0
#
# Test guests: `make guests` builds build/guests/NAME.elf from tests/guests/NAME.c and tests/guests/lib/.
# Nothing of the hypervisor is linked in; arch/types.h is all they share.

BUILD ?= build
NASM  ?= nasm

GUEST_DIR  := tests/guests
GUEST_OUT  := $(BUILD)/guests
GUEST_ELFS := $(patsubst $(GUEST_DIR)/%.c,$(GUEST_OUT)/%.elf,$(sort $(wildcard $(GUEST_DIR)/*.c)))
GUEST_LIB  := $(patsubst $(GUEST_DIR)/lib/%.c,$(GUEST_OUT)/lib/%.o,$(sort $(wildcard $(GUEST_DIR)/lib/*.c))) \
              $(patsubst $(GUEST_DIR)/lib/%.asm,$(GUEST_OUT)/lib/%.asm.o,$(sort $(wildcard $(GUEST_DIR)/lib/*.asm)))

GUEST_CFLAGS := -std=gnu11 -I. -ffreestanding -fno-pic -fno-pie -mno-red-zone -mgeneral-regs-only -O2 -g \
                -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none -fno-strict-aliasing \
                -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wpointer-arith -Wvla \
                -Wwrite-strings -Werror
GUEST_LDFLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none --fatal-warnings

guests: $(GUEST_ELFS)

# The objects are no intermediate files: keep them.
.SECONDARY: $(GUEST_LIB) $(GUEST_ELFS:.elf=.o)

$(GUEST_OUT)/%.o: $(GUEST_DIR)/%.c $(GUEST_DIR)/guests.mk
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<

$(GUEST_OUT)/lib/%.asm.o: $(GUEST_DIR)/lib/%.asm
	@mkdir -p $(@D)
	@echo '  NASM  $<'
	$(Q)$(NASM) -f elf64 -o $@ $<

# One guest has the model of tests/model beside the machine's unit.
GUEST_MODEL := $(patsubst tests/model/%.c,$(GUEST_OUT)/model/%.o,$(filter-out tests/model/test_%,$(sort $(wildcard tests/model/*.c))))
$(GUEST_OUT)/model/%.o: tests/model/%.c $(GUEST_DIR)/guests.mk
	@mkdir -p $(@D)
	@echo '  CC    $< (guest)'
	$(Q)$(CC) $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<

$(GUEST_OUT)/judge.elf: $(GUEST_MODEL)

$(GUEST_OUT)/%.elf: $(GUEST_OUT)/%.o $(GUEST_LIB) $(GUEST_DIR)/guest.ld
	@echo '  LD    $@'
	$(Q)ld $(GUEST_LDFLAGS) -T $(GUEST_DIR)/guest.ld -o $@ $(filter %.o,$^)

-include $(wildcard $(GUEST_OUT)/*.d $(GUEST_OUT)/lib/*.d $(GUEST_OUT)/model/*.d)

# ---- guests of multiboot loaders: 32-bit code, in ELF files of either class
MB_DIR  := $(GUEST_DIR)/multiboot
MB_ELFS := $(foreach n,1 2,$(GUEST_OUT)/multiboot$(n).elf $(GUEST_OUT)/multiboot$(n)-64.elf)

guests: $(MB_ELFS)

$(GUEST_OUT)/multiboot/main.o: $(MB_DIR)/main.c
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) $(GUEST_CFLAGS) -m32 -mno-sse -Wno-missing-prototypes -Wno-main -c -o $@ $<

$(GUEST_OUT)/multiboot/header%.o: $(MB_DIR)/header%.asm
	@mkdir -p $(@D)
	$(Q)$(NASM) -f elf32 -o $@ $<

# The header stands in front, within the first pages of the file.
$(GUEST_OUT)/multiboot%.elf: $(GUEST_OUT)/multiboot/header%.o $(GUEST_OUT)/multiboot/main.o $(MB_DIR)/guest.ld
	@echo '  LD    $@'
	$(Q)ld -m elf_i386 -nostdlib -static -z noexecstack --build-id=none -T $(MB_DIR)/guest.ld -o $@ $(filter %.o,$^)

$(GUEST_OUT)/multiboot%-64.elf: $(GUEST_OUT)/multiboot%.elf
	$(Q)objcopy -O elf64-x86-64 $< $@
