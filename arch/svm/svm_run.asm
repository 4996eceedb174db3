; SPDX-License-Identifier: Apache-2.0
;
; From the hypervisor into the guest and back. GIF is 0 throughout: nothing interrupts the moments in which
; half of the state is the guest's.

section .text

; Distances in vcpu.gpr, in the hardware's encoding order; asserted in svm_exit.c.
%define GPR(n) rdi + 8 * n

; void svm_enter(u64 *gpr, u64 vmcb, u64 host): the last two are physical. RAX and RSP travel in the VMCB.
; VMRUN exchanges only part of the state; FS, GS, TR, LDTR and the system-call MSRs go by VMLOAD and VMSAVE,
; so that host code never runs with a GS base or a task segment that the guest chose.
global svm_enter
svm_enter:
        push rbx
        push rbp
        push r12
        push r13
        push r14
        push r15
        push rdx
        push rdi
        mov rax, rsi
        vmload
        mov rcx, [GPR(1)]
        mov rdx, [GPR(2)]
        mov rbx, [GPR(3)]
        mov rbp, [GPR(5)]
        mov rsi, [GPR(6)]
        mov r8, [GPR(8)]
        mov r9, [GPR(9)]
        mov r10, [GPR(10)]
        mov r11, [GPR(11)]
        mov r12, [GPR(12)]
        mov r13, [GPR(13)]
        mov r14, [GPR(14)]
        mov r15, [GPR(15)]
        mov rdi, [GPR(7)]
        vmrun
        vmsave
        push rdi
        mov rdi, [rsp + 8]
        mov [GPR(1)], rcx
        mov [GPR(2)], rdx
        mov [GPR(3)], rbx
        mov [GPR(5)], rbp
        mov [GPR(6)], rsi
        mov [GPR(8)], r8
        mov [GPR(9)], r9
        mov [GPR(10)], r10
        mov [GPR(11)], r11
        mov [GPR(12)], r12
        mov [GPR(13)], r13
        mov [GPR(14)], r14
        mov [GPR(15)], r15
        pop qword [GPR(7)]
        pop rax                         ; ours, done with
        pop rax
        vmload
        pop r15
        pop r14
        pop r13
        pop r12
        pop rbp
        pop rbx
        ret
