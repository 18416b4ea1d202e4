/** C sources that the tests of this folder compile: layouts that debug information writers and readers trip over. */

/** Every kind of layout; `_Atomic` is apart, since pahole 1.24 does not read it. */
export const NASTY = `
#include <stdint.h>
#include <stddef.h>
#include <stdbool.h>
typedef unsigned int u32;
struct plain { char a; int b; short c; long d; };
struct bits { int a:3; unsigned b:5; int :7; unsigned long c:40; int :0; char d:2; bool e:1; u32 f:31; };
struct leading_unnamed { int :5; int a:6; unsigned b:20; };
struct __attribute__((packed)) packed { char a; int b:13; unsigned c:25; long d; short e:9; unsigned long f:60; };
struct aligned { char a; int b __attribute__((aligned(32))); char c; } __attribute__((aligned(64)));
struct anon {
  int tag;
  union { struct { int x, y; }; struct { long z:33; long w:20; } s; double d; char buf[12]; };
  struct { union { int q; float r; }; char t; };
};
struct arrays { int m[3][5][7]; struct plain p[4]; struct { char c; int i; } an[2][3]; char one[1][1]; };
struct flex { size_t n; struct flexed { int k; char v; } e[]; };
struct flex2 { int n; int (*rows)[]; int m[][4]; };
struct zero { int n; int z[0]; int y[3][0]; int last; };
struct fptrs { int (*f)(int, const char *, ...); void (*g[4])(void); struct fptrs *(*h)(struct fptrs *, int (*)(void)); };
enum small { A, B = 7, C = -3 };
enum big { BIG0 = 1, BIG1 = 0x123456789abcdefLL, BIG2 = -0x7fffffffffffffffLL };
enum ubig { U0, U1 = 0xffffffffffffffffULL };
enum uint_sized { W0 = 0x80000000u, W1 = 0xffffffffu };
enum packed_enum { P0, P1 = 200 } __attribute__((packed));
enum { NAMELESS = 42, NEGATIVE = -1 };
struct enums { enum small s; enum big b; enum ubig u; enum packed_enum p; unsigned bf:4; enum small sbf:5; enum uint_sized w; };
struct quals { volatile int v; const char *const cp; char *restrict rp; const volatile long cv; };
typedef struct { int a; union { long l; char c[8]; } u; } anon_typedef;
struct uses_typedef { anon_typedef t; anon_typedef *p; const anon_typedef cv; anon_typedef arr[3]; };
union un { char c; struct bits b; long double ld; __int128 i128; };
struct float_things { float f; double d; long double ld; };
struct forward;
struct holder { struct forward *f; void *v; const void *cv; };
struct nested_bits { struct bits b; unsigned x:1; unsigned y:31; unsigned z:1; };
struct straddle { unsigned char a:4; unsigned short b:12; unsigned int c:20; unsigned long d:50; } __attribute__((packed));
struct straddle2 { char pre; unsigned long a:61; unsigned long b:61; int c:30; char post; } __attribute__((packed));
struct bool_bits { bool a:1, b:1, c:1; unsigned char d:5; };
struct self { struct self *next; struct self **pp; struct { struct self *in; } an; };
struct empty_ {};
struct with_empty { int a; struct empty_ e; int b; };
struct int128_bits { char c; unsigned long a:63; unsigned b:3; };
union union_bits { int a:5; unsigned long b:33; char c; };
struct deep { union { struct { union { struct { char c; short s:9; short t:7; } in; int i; }; long l; } two; char pad[40]; }; };
struct big_ { char head; char body[70000][3]; short tail; };
struct plain v1; struct bits v2; struct leading_unnamed v3; struct packed v4; struct aligned v5; struct anon v6;
struct arrays v7; struct flex *v8; struct fptrs v9; struct enums v10; struct quals *v11; struct uses_typedef *v12;
union un v13; struct float_things v14; struct holder v15; struct flex2 *v16; struct nested_bits v17; struct straddle v18;
struct bool_bits v19; struct self v20; struct with_empty v21; struct zero v22; struct straddle2 v23; struct int128_bits v24;
union union_bits v25; struct deep v26; struct big_ *v27; int v28 = NAMELESS + NEGATIVE;
`;

/** What pahole 1.24 cannot read or prints otherwise; checked against the running program only. */
export const NASTIER = `
#include <stdatomic.h>
typedef int vec4 __attribute__((vector_size(16)));
struct atom { _Atomic int a; char c; _Atomic(long) b; _Atomic(char) *p; };
struct vecs { char c; vec4 v; };
struct complexes { _Complex float cf; char x; _Complex double cd; };
struct atom w1; struct vecs w2; struct complexes w3;
`;

/** clang 14 does not say that a bit-field as wide as its type is one. */
export const FULL_WIDTH = `
struct full_width { char c; unsigned a:32; int b:1; long d:64; } w4;
`;

/** System headers with hundreds of types; those that are missing are left out. */
export const SYSTEM_HEADERS = `
#define _GNU_SOURCE
${[
  'stdio.h',
  'stdlib.h',
  'signal.h',
  'ucontext.h',
  'pthread.h',
  'netdb.h',
  'netinet/in.h',
  'netinet/ip.h',
  'netinet/tcp.h',
  'netinet/ip_icmp.h',
  'netinet/icmp6.h',
  'sys/socket.h',
  'sys/un.h',
  'sys/stat.h',
  'sys/statvfs.h',
  'sys/resource.h',
  'sys/user.h',
  'sys/procfs.h',
  'sys/timex.h',
  'sys/epoll.h',
  'sys/msg.h',
  'sys/sem.h',
  'sys/shm.h',
  'link.h',
  'elf.h',
  'dirent.h',
  'grp.h',
  'pwd.h',
  'termios.h',
  'arpa/nameser.h',
  'resolv.h',
  'linux/perf_event.h',
  'linux/bpf.h',
  'linux/kvm.h',
  'linux/fuse.h',
  'linux/btrfs.h',
  'linux/ethtool.h',
  'linux/nl80211.h',
  'linux/videodev2.h',
  'linux/input.h',
  'linux/fb.h',
  'linux/can.h',
  'linux/io_uring.h',
  'linux/userfaultfd.h',
  'linux/virtio_net.h',
  'linux/scc.h',
  'linux/cdrom.h',
  'linux/hdreg.h',
  'linux/rtnetlink.h',
  'linux/tipc.h',
  'linux/dvb/frontend.h',
  'sound/asound.h',
  'drm/i915_drm.h',
  'rdma/ib_user_verbs.h',
]
  .map((header) => `#if __has_include(<${header}>)\n#include <${header}>\n#endif`)
  .join('\n')}
int main(void) { return 0; }
`;
