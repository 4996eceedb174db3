; SPDX-License-Identifier: Apache-2.0
;
; The hypervisor's image as it lies in memory, inside the EFI application. SLUICE_IMAGE is given by efi.mk.

section .data align=4096
global sluice_image:data
global sluice_image_end:data
sluice_image:
        incbin SLUICE_IMAGE
sluice_image_end:
