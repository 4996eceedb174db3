; SPDX-License-Identifier: Apache-2.0
;
; Into the guest and out again. Host state that a VM exit does not restore is the GPRs only.

HOST_RSP_FIELD  equ 0x6c14              ; arch/vmx/vmcs.h
NMI_COUNT       equ 24                  ; in struct percpu, asserted in arch/cpu.h

section .text

; int vmx_enter(u64 gpr[16], bool launched, u32 nmi_seen)
; 0: the guest ran and exited. 1, 2: the entry instruction failed (VMfailValid, VMfailInvalid). 3: an NMI has
; been taken by the host since nmi_seen, and the guest was not entered.
;
; VMX has no switch that holds NMIs back in root mode. One that comes before `vmx_window` changes the count
; that is compared here; one that comes in the window makes the handler return to vmx_window_nmi. So none is
; left unnoticed while the guest runs.
global vmx_enter
global vmx_window, vmx_window_end, vmx_window_nmi, vmx_exit
vmx_enter:
        push rbp
        push rbx
        push r12
        push r13
        push r14
        push r15
        push rdi
        mov eax, HOST_RSP_FIELD
        vmwrite rax, rsp
vmx_window:
        cmp edx, [gs:NMI_COUNT]
        jne vmx_window_nmi
        test sil, sil
        mov rax, [rdi]
        mov rcx, [rdi + 8]
        mov rdx, [rdi + 16]
        mov rbx, [rdi + 24]
        mov rbp, [rdi + 40]
        mov rsi, [rdi + 48]
        mov r8,  [rdi + 64]
        mov r9,  [rdi + 72]
        mov r10, [rdi + 80]
        mov r11, [rdi + 88]
        mov r12, [rdi + 96]
        mov r13, [rdi + 104]
        mov r14, [rdi + 112]
        mov r15, [rdi + 120]
        mov rdi, [rdi + 56]
        jz .launch
        vmresume
        jmp vmx_failed
.launch:
        vmlaunch
vmx_window_end:
vmx_failed:
        mov eax, 1
        mov ecx, 2
        cmovc eax, ecx
        jmp vmx_out
vmx_window_nmi:
        mov eax, 3
        jmp vmx_out

vmx_exit:
        push rdi
        mov rdi, [rsp + 8]
        mov [rdi], rax
        mov [rdi + 8], rcx
        mov [rdi + 16], rdx
        mov [rdi + 24], rbx
        mov [rdi + 40], rbp
        mov [rdi + 48], rsi
        mov [rdi + 64], r8
        mov [rdi + 72], r9
        mov [rdi + 80], r10
        mov [rdi + 88], r11
        mov [rdi + 96], r12
        mov [rdi + 104], r13
        mov [rdi + 112], r14
        mov [rdi + 120], r15
        pop rax
        mov [rdi + 56], rax
        xor eax, eax
vmx_out:
        ; The guest's values are of no use here, and of none to a mispredicted branch.
        xor ecx, ecx
        xor edx, edx
        xor esi, esi
        xor edi, edi
        xor r8d, r8d
        xor r9d, r9d
        xor r10d, r10d
        xor r11d, r11d
        add rsp, 8
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbx
        pop rbp
        ret
