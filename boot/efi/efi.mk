# SPDX-License-Identifier: Apache-2.0
#
# sluice.efi: the application in boot/efi/, a few of the hypervisor's own files compiled once more for it, and
# the hypervisor's image inside.

EFI_OUT    := $(BUILD)/efi
EFI_APP    := $(BUILD)/sluice.efi
EFI_IMAGE  ?= $(IMAGE)
# What judges machine, options and guest is shared, so that both ways of booting refuse the same things.
EFI_SHARED := boot/ranges.c arch/acpi.c arch/fmt.c arch/string.c hv/options.c hv/region.c hv/mem.c \
              hv/loader.c hv/loader_linux.c hv/loader_pvh.c
EFI_SRC    := $(sort $(wildcard boot/efi/*.c)) $(EFI_SHARED)
EFI_OBJ    := $(EFI_SRC:%.c=$(EFI_OUT)/obj/%.o) $(EFI_OUT)/obj/boot/efi/embed.asm.o
EFI_LIB    ?= $(firstword $(wildcard /usr/lib /usr/lib64/gnuefi))

EFI_CFLAGS := -std=gnu11 -ffreestanding -fpic -fvisibility=hidden -fshort-wchar -mno-red-zone -mgeneral-regs-only -O2 -g \
              -DGNU_EFI_USE_MS_ABI -fno-asynchronous-unwind-tables -fno-stack-protector -fcf-protection=none \
              -fno-common -ffile-prefix-map=$(CURDIR)=. $(WARN) -I. -isystem /usr/include/efi \
              -isystem /usr/include/efi/x86_64
EFI_LDFLAGS := -nostdlib -znocombreloc -shared -Bsymbolic -z noexecstack --build-id=none --no-undefined \
               -T $(EFI_LIB)/elf_x86_64_efi.lds
EFI_SECTIONS := .text .sdata .data .rodata .dynamic .dynsym .rel .rela .rel.* .rela.* .reloc

.PHONY: efi
efi: $(EFI_APP) ## Build build/sluice.efi: the application that EFI firmware starts
all: efi

$(EFI_OUT)/obj/%.o: %.c $(BUILD)/flags boot/efi/efi.mk
	@mkdir -p $(@D)
	@echo '  CC    $< (EFI)'
	$(Q)$(CC) $(EFI_CFLAGS) -MMD -MP -c -o $@ $<

$(EFI_OUT)/sluice.bin: $(EFI_IMAGE)
	@mkdir -p $(@D)
	$(Q)objcopy -O binary $< $@

$(EFI_OUT)/obj/boot/efi/embed.asm.o: boot/efi/embed.asm $(EFI_OUT)/sluice.bin
	@mkdir -p $(@D)
	$(Q)$(NASM) $(ASFLAGS) -DSLUICE_IMAGE='"$(EFI_OUT)/sluice.bin"' -o $@ $<

$(EFI_OUT)/sluice.so: $(EFI_OBJ)
	$(Q)$(LD) $(EFI_LDFLAGS) $(EFI_LIB)/crt0-efi-x86_64.o $^ -o $@ -L $(EFI_LIB) -lgnuefi

$(EFI_APP): $(EFI_OUT)/sluice.so
	@echo '  EFI   $@'
	$(Q)objcopy $(EFI_SECTIONS:%=-j %) --target efi-app-x86_64 $< $@

-include $(shell find $(EFI_OUT)/obj -name '*.d' 2>/dev/null)
