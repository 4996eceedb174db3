# SPDX-License-Identifier: Apache-2.0
#
# The hypervisor's image with tests/boot/selftest.c in the place of hv/main.c. Linked twice like the real one.

BOOT_OUT := $(BUILD)/boot
BOOT_OBJ := $(filter-out $(BUILD)/obj/hv/main.o,$(OBJ)) $(BUILD)/obj/tests/boot/selftest.o

guests: $(BOOT_OUT)/selftest.elf

$(BOOT_OUT)/selftest.pre.elf: $(BOOT_OBJ) $(BUILD)/symbols.pre.o linker.ld
	@mkdir -p $(@D)
	$(Q)$(LD) $(LDFLAGS) -T linker.ld -o $@ $(filter %.o,$^)

$(BOOT_OUT)/symbols.c: tools/symbols $(BOOT_OUT)/selftest.pre.elf
	$(Q)tools/symbols $(BOOT_OUT)/selftest.pre.elf > $@

$(BOOT_OUT)/symbols.o: $(BOOT_OUT)/symbols.c
	$(Q)$(CC) $(CFLAGS) -c -o $@ $<

$(BOOT_OUT)/selftest.elf: $(BOOT_OBJ) $(BOOT_OUT)/symbols.o linker.ld
	@echo '  LD    $@'
	$(Q)$(LD) $(LDFLAGS) -T linker.ld -o $@ $(filter %.o,$^)
