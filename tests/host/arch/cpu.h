/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Found in front of arch/cpu.h by what is compiled for the host: instructions that only a machine carries
 * out, or each machine in its own way, are functions that a test gives.
 */
#ifndef TESTS_HOST_ARCH_CPU_H
#define TESTS_HOST_ARCH_CPU_H

#define port_in        machine_port_in
#define port_out       machine_port_out
#define rdmsr          machine_rdmsr
#define wrmsr          machine_wrmsr
#define cpuid          machine_cpuid
#define cpuid_or_0     machine_cpuid_or_0
#define rdpkru         machine_rdpkru
#define this_cpu       machine_this_cpu
#define wbinvd         machine_wbinvd
#define cpu_flush_line machine_cpu_flush_line
#include_next "arch/cpu.h"
#undef port_in
#undef port_out
#undef rdmsr
#undef wrmsr
#undef cpuid
#undef cpuid_or_0
#undef rdpkru
#undef this_cpu
#undef wbinvd
#undef cpu_flush_line

u32 port_in(u16 port, unsigned width);
void port_out(u16 port, unsigned width, u32 v);
u64 rdmsr(u32 msr);
void wrmsr(u32 msr, u64 v);
void cpuid(u32 leaf, u32 sub, u32 out[4]);
void cpuid_or_0(u32 leaf, u32 sub, u32 out[4]);
u32 rdpkru(void);
struct percpu *this_cpu(void);
void wbinvd(void);
void cpu_flush_line(u64 address);

#endif
