# SPDX-License-Identifier: Apache-2.0
#
# sluice.efi: the application in boot/efi/, a few of the hypervisor's own files compiled once more for it, and
# the hypervisor's image inside.

EFI_OUT    := $(BUILD)/efi
EFI_APP    := $(BUILD)/sluice.efi
# What judges machine, options and guest is shared, so that both ways of booting refuse the same things.
EFI_SHARED := boot/ranges.c boot/efi_tables.c arch/acpi.c arch/fmt.c arch/lines.c arch/probe.c arch/string.c arch/vmx/controls.c hv/options.c hv/region.c hv/mem.c \
              hv/loader.c hv/loader_linux.c hv/loader_elf.c hv/loader_multiboot.c hv/loader_pvh.c hv/loader_firmware.c
EFI_SRC    := $(sort $(wildcard boot/efi/*.c)) $(EFI_SHARED)
EFI_OBJ    := $(EFI_SRC:%.c=$(EFI_OUT)/obj/%.o)
EFI_LIB    ?= $(firstword $(wildcard /usr/lib /usr/lib64/gnuefi))
EFI_INCLUDE ?= /usr/include/efi

EFI_CFLAGS := -std=gnu11 -ffreestanding -fpic -fvisibility=hidden -fshort-wchar -mno-red-zone -mgeneral-regs-only -O2 -g \
              -DGNU_EFI_USE_MS_ABI -fno-asynchronous-unwind-tables -fno-stack-protector -fcf-protection=none \
              -fno-common -ffile-prefix-map=$(CURDIR)=. $(WARN) -I. -isystem $(EFI_INCLUDE) \
              -isystem $(EFI_INCLUDE)/x86_64
# From 3.0.16 on GNU-EFI's start code calls _entry(), which it has in a library that we need nothing else of.
EFI_LDFLAGS := -nostdlib --defsym=_entry=efi_main -znocombreloc -shared -Bsymbolic -z noexecstack --build-id=none --no-undefined \
               -T $(EFI_LIB)/elf_x86_64_efi.lds
EFI_SECTIONS := .text .sdata .data .rodata .dynamic .dynsym .rel .rela .rel.* .rela.* .reloc

# What tools/uki.py takes from the command line of make.
export KERNEL
# Time stamps in PE headers: two builds of one tree are the same bytes.
# 1980 is the first year that a FAT image can hold, and 0 means "now" to some tools.
export SOURCE_DATE_EPOCH ?= 315532800

.PHONY: efi uki
efi: $(EFI_APP) ## Build build/sluice.efi: the application that EFI firmware starts
all: efi

$(EFI_OUT)/obj/%.o: %.c $(BUILD)/flags boot/efi/efi.mk
	@mkdir -p $(@D)
	@echo '  CC    $< (EFI)'
	$(Q)$(CC) $(EFI_CFLAGS) -MMD -MP -c -o $@ $<

# $(1) = directory of the pieces, $(2) = the image's ELF file, $(3) = the application.
define efi-app
$(1)/image.bin: $(2)
	@mkdir -p $$(@D)
	$(Q)objcopy -O binary $$< $$@

$(1)/embed.o: boot/efi/embed.asm $(1)/image.bin
	$(Q)$(NASM) $(ASFLAGS) -DSLUICE_IMAGE='"$(1)/image.bin"' -o $$@ $$<

$(1)/app.so: $(EFI_OBJ) $(1)/embed.o
	$(Q)$(LD) $(EFI_LDFLAGS) $(EFI_LIB)/crt0-efi-x86_64.o $$^ -o $$@ -L $(EFI_LIB) -lgnuefi

$(3): $(1)/app.so
	@echo '  EFI   $$@'
	$(Q)objcopy $(EFI_SECTIONS:%=-j %) --target efi-app-x86_64 $$< $$@
endef
$(eval $(call efi-app,$(EFI_OUT)/sluice,$(IMAGE),$(EFI_APP)))
$(eval $(call efi-app,$(EFI_OUT)/selftest,$(BUILD)/boot/selftest.elf,$(BUILD)/boot/selftest.efi))
guests: $(BUILD)/boot/selftest.efi $(BUILD)/boot/before.efi

# What the tests let run before Sluice.
$(EFI_OUT)/before.so: $(addprefix $(EFI_OUT)/obj/,tests/boot/before.o tests/boot/la57.asm.o arch/string.o)
	$(Q)$(LD) $(EFI_LDFLAGS) $(EFI_LIB)/crt0-efi-x86_64.o $^ -o $@ -L $(EFI_LIB) -lgnuefi

$(BUILD)/boot/before.efi: $(EFI_OUT)/before.so
	$(Q)objcopy $(EFI_SECTIONS:%=-j %) --target efi-app-x86_64 $< $@

$(EFI_OUT)/obj/%.asm.o: %.asm
	@mkdir -p $(@D)
	$(Q)$(NASM) $(ASFLAGS) -o $@ $<

uki: ## Build one EFI file with the guest inside: KERNEL= [INITRD=] [CMDLINE=] [OPTIONS=] [UKI=build/guest.efi]
	@tools/setup build
	@$(SUBMAKE) efi
	@$(PYTHON) tools/uki.py $(EFI_APP) $(or $(UKI),$(BUILD)/guest.efi)

-include $(shell find $(EFI_OUT)/obj -name '*.d' 2>/dev/null)

export BOOT
.PHONY: pxe-run pxe-tree
pxe-tree: ## Write a directory ready for a TFTP or web server: DIR= [GUEST=, INITRD=, CMDLINE=, OPTIONS=]
	@test -n '$(DIR)' || { echo 'which directory? make pxe-tree DIR=/srv/sluice'; exit 1; }
	@tools/setup build run
	@$(SUBMAKE) image efi
	@$(PYTHON) tools/pxe.py tree $(DIR)

pxe-run: ## Boot over the network in QEMU: [BOOT=sluice.efi|guest.efi|grub/x86_64-efi/core.efi|boot.ipxe] [FIRMWARE=]
	@tools/setup build run
	@$(SUBMAKE) image efi
	@$(PYTHON) tools/pxe.py run

# KEY and CERT are PEM files; CERT is by default the file beside KEY that ends in .crt.
.PHONY: sign
sign: ## Sign for Secure Boot: KEY=lab.key [CERT=lab.crt] [FILE=build/sluice.efi] [SIGNED=build/sluice.signed.efi]
	@test -n '$(KEY)' || { echo 'which key? make sign KEY=lab.key, with its certificate in lab.crt'; exit 1; }
	@tools/setup sign
	@$(if $(FILE),true,$(SUBMAKE) efi)
	@sbsign --key $(KEY) --cert $(or $(CERT),$(basename $(KEY)).crt) \
		--output $(or $(SIGNED),$(basename $(or $(FILE),$(EFI_APP))).signed.efi) $(or $(FILE),$(EFI_APP)) \
		2> >(grep -v '^warning: \(data remaining\|gap in section\)' >&2)

export VERSION
.PHONY: dist
dist: ## Write build/dist: ELF, EFI, ISO, checksums, bill of materials; byte-identical wherever it is built [VERSION=]
	@tools/setup build run
	@$(SUBMAKE) image efi guests
	@$(PYTHON) tools/dist.py $(BUILD) $(BUILD)/dist
