# SPDX-License-Identifier: Apache-2.0
#
# Images that only tests boot: the hypervisor's own with one object replaced. Linked twice like the real one.
#
#   selftest.elf    tests/boot/selftest.c in the place of hv/main.c
#   model_unit.elf  the model as the VT-d unit, in the place of the real unit's registers

BOOT_OUT := $(BUILD)/boot

# $(1) the image, $(2) the object that is replaced, $(3) what comes in its place
define boot-image
guests: $(BOOT_OUT)/$(1).elf

$(BOOT_OUT)/$(1).pre.elf: $(filter-out $(BUILD)/obj/$(2),$(OBJ)) $(3:%=$(BUILD)/obj/%) $(BUILD)/symbols.pre.o linker.ld
	@mkdir -p $$(@D)
	$(Q)$(LD) $(LDFLAGS) -T linker.ld -o $$@ $$(filter %.o,$$^)

$(BOOT_OUT)/$(1).symbols.c: $(BOOT_OUT)/$(1).pre.elf tools/symbols
	$(Q)tools/symbols $$< > $$@

$(BOOT_OUT)/$(1).symbols.o: $(BOOT_OUT)/$(1).symbols.c
	$(Q)$(CC) $(CFLAGS) -c -o $$@ $$<

$(BOOT_OUT)/$(1).elf: $(filter-out $(BUILD)/obj/$(2),$(OBJ)) $(3:%=$(BUILD)/obj/%) $(BOOT_OUT)/$(1).symbols.o linker.ld
	@echo '  LD    $$@'
	$(Q)$(LD) $(LDFLAGS) -T linker.ld -o $$@ $$(filter %.o,$$^)
	$$(call seal,$$@)
endef

$(eval $(call boot-image,selftest,hv/main.o,tests/boot/selftest.o))
$(eval $(call boot-image,model_unit,hv/env_regs.o,tests/boot/model_unit.o $(MODEL_SRC:%.c=%.o)))
