/* Preloaded into a process on Linux/x86-64, this hides AVX-512, VNNI and AMX from it: every library then takes the
   kernels it has for AVX2. The kernel lets CPUID fault (arch_prctl, ARCH_SET_CPUID), and the fault is answered here
   with the processor's own values less those bits. New threads inherit it, programs that are executed do it again.
   Where CPUID cannot fault, as on AMD, it is the same for libraries whose CPUID instructions were overwritten with UD2
   (BENCH_CPUID_PATCHED is set, see bench/avx2_only.py). */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ARCH_SET_CPUID 0x1012
#define BIT(n) (1u << (n))

static struct sigaction earlier;
static int is_patched;

static long allow_cpuid(unsigned long allowed) { return syscall(SYS_arch_prctl, ARCH_SET_CPUID, allowed); }

static void answer(int signal, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *instruction = (const uint8_t *)registers[REG_RIP];
    if ((!is_patched && info->si_code != SI_KERNEL) || instruction[0] != 0x0f ||
        instruction[1] != (is_patched ? 0x0b : 0xa2)) {
        sigaction(signal, &earlier, NULL); /* a fault of another kind happens once more, and takes its usual course */
        return;
    }
    uint32_t leaf = (uint32_t)registers[REG_RAX], part = (uint32_t)registers[REG_RCX], a, b, c, d;
    if (!is_patched) allow_cpuid(1);
    __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(leaf), "c"(part));
    if (!is_patched) allow_cpuid(0);
    if (leaf == 7 && part == 0) {
        b &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31)); /* AVX-512 */
        c &= ~(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14));                               /* its VNNI and others */
        d &= ~(BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25));            /* AMX and others */
    } else if (leaf == 7 && part == 1) {
        a &= ~(BIT(4) | BIT(5) | BIT(21) | BIT(23)); /* AVX-VNNI and others */
        d &= ~(BIT(4) | BIT(5) | BIT(10));
    }
    registers[REG_RAX] = a, registers[REG_RBX] = b, registers[REG_RCX] = c, registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void hide(void) {
    struct sigaction action;
    is_patched = getenv("BENCH_CPUID_PATCHED") != NULL;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = answer;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(is_patched ? SIGILL : SIGSEGV, &action, &earlier);
    if (!is_patched && allow_cpuid(0)) {
        static const char message[] = "this processor or kernel cannot let CPUID fault\n";
        if (write(2, message, sizeof message - 1)) {}
        _exit(78);
    }
}
