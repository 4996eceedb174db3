; SPDX-License-Identifier: Apache-2.0

section .text

; bool xsetbv_safe(u32 index, u64 value): false when the CPU raised #GP
global xsetbv_safe
xsetbv_safe:
        mov ecx, edi
        mov eax, esi
        mov rdx, rsi
        shr rdx, 32
.access:
        xsetbv
        mov eax, 1
        ret
.fault:
        xor eax, eax
        ret

section .extable progbits alloc noexec nowrite align=8
        dq xsetbv_safe.access, xsetbv_safe.fault
