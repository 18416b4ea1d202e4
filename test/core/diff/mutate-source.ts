/** A C source of many habits, in pieces: mutations take functions apart, move them and change them. */

/** Types, external functions, data. */
export const HEAD = `
typedef unsigned long size_t;
typedef unsigned char u8;
typedef unsigned int u32;
int ext1(int); int ext2(int); int ext3(const char *, ...); void sink(void *); void *grab(size_t); _Noreturn void die(const char *);
double half(double);
struct point { int x, y; };
struct node { struct node *next; struct point at; u8 kind; u32 flags : 5, mode : 3; char name[20]; };
enum color { RED, GREEN = 4, BLUE };
static int counter = 3; static int zeroed; int shared_total; static const int weights[6] = {3, 1, 4, 1, 5, 9};
static const char *const words[4] = {"zero", "one", "two", "many"};
static u8 buffer[64]; static struct node *list_head; extern int elsewhere;
typedef int (*handler)(int);
`;

/** Each with its prototype; in the source order. Locals that may be renamed begin with \`v_\`. */
export const FUNCTIONS: readonly { readonly name: string; readonly prototype: string; readonly body: string }[] = [
  {
    name: 'clamp',
    prototype: 'static inline int clamp(int v_value, int v_low, int v_high)',
    body: '{ return v_value < v_low ? v_low : v_value > v_high ? v_high : v_value; }',
  },
  {
    name: 'mix',
    prototype: 'static u32 mix(u32 v_hash, u32 v_word)',
    body: '{\n  v_hash ^= v_word * 2654435761u;\n  v_hash = (v_hash << 13) | (v_hash >> 19);\n  return v_hash + 5;\n}',
  },
  {
    name: 'hash_text',
    prototype: 'u32 hash_text(const char *v_text, size_t v_length)',
    body: '{\n  u32 v_hash = 77;\n  for (size_t v_i = 0; v_i < v_length; v_i++) v_hash = mix(v_hash, (u8)v_text[v_i]);\n  return v_hash & 4095;\n}',
  },
  {
    name: 'dispatch',
    prototype: 'int dispatch(int v_code, int v_arg)',
    body: '{\n  switch (v_code) {\n  case 1: return ext1(v_arg);\n  case 2: return ext2(v_arg) + 10;\n  case 3: return ext1(v_arg * 3);\n  case 4: sink(&counter); return 40;\n  case 5: return ext2(v_arg - 7);\n  case 6: return clamp(v_arg, 0, 99);\n  default: return -1;\n  }\n}',
  },
  {
    name: 'name_of',
    prototype: 'const char *name_of(int v_value)',
    body: '{\n  switch (v_value) {\n  case 0: return "nothing";\n  case 1: return "single";\n  case 2: return "pair";\n  case 3: return "triple";\n  case 4: return "quartet";\n  case 5: return "quintet";\n  default: return words[3];\n  }\n}',
  },
  {
    name: 'cost',
    prototype: 'int cost(int v_kind)',
    body: '{\n  switch (v_kind) {\n  case 0: return 11;\n  case 1: return 29;\n  case 2: return 31;\n  case 3: return 47;\n  case 4: return 53;\n  case 5: return 61;\n  }\n  return 7;\n}',
  },
  {
    name: 'next_id',
    prototype: 'int next_id(void)',
    body: '{\n  static int last_id = 100;\n  last_id += 2;\n  return last_id;\n}',
  },
  {
    name: 'once',
    prototype: 'static int once(int v_seed)',
    body: '{\n  static int done_before;\n  if (done_before) return v_seed + 1;\n  done_before = 1;\n  ext3("first time %d\\n", v_seed);\n  return v_seed * 5;\n}',
  },
  {
    name: 'area',
    prototype: 'double area(double v_width, double v_height)',
    body: '{\n  double v_scale = 2.5;\n  if (v_width < 0.0) return half(v_height) * 3.25;\n  return v_width * v_height * v_scale + half(v_width);\n}',
  },
  {
    name: 'push_node',
    prototype: 'struct node *push_node(int v_x, int v_y)',
    body: '{\n  struct node *v_node = grab(sizeof *v_node);\n  if (!v_node) die("no memory for a node");\n  v_node->at.x = v_x + 1;\n  v_node->at.y = v_y - 1;\n  v_node->kind = 9;\n  v_node->flags = 17;\n  v_node->mode = 2;\n  v_node->next = list_head;\n  list_head = v_node;\n  return v_node;\n}',
  },
  {
    name: 'count_nodes',
    prototype: 'static int __attribute__((noinline)) count_nodes(u32 v_mask)',
    body: '{\n  int v_count = 0;\n  for (struct node *v_at = list_head; v_at; v_at = v_at->next)\n    if (v_at->flags & v_mask) v_count += 3; else zeroed++;\n  return v_count;\n}',
  },
  {
    name: 'weigh',
    prototype: 'int weigh(const int *v_parts, int v_count)',
    body: '{\n  int v_sum = 0;\n  for (int v_i = 0; v_i < v_count && v_i < 6; v_i++) v_sum += v_parts[v_i] * weights[v_i];\n  return v_sum / 7 + shared_total;\n}',
  },
  {
    name: 'checked',
    prototype: 'int checked(int v_index)',
    body: '{\n  if (v_index < 0 || v_index > 63) die(__func__);\n  buffer[v_index] += 3;\n  return buffer[v_index] | 128;\n}',
  },
  {
    name: 'report_state',
    prototype: 'void report_state(const char *v_prefix)',
    body: '{\n  ext3("%s: %d nodes, %d total, state %d\\n", v_prefix, count_nodes(6), shared_total, elsewhere);\n  ext3("counter %d\\n", counter + 12);\n}',
  },
  {
    name: 'choose',
    prototype: 'handler choose(int v_key)',
    body: '{\n  if (v_key > 8) return ext1;\n  if (v_key == 4) return once;\n  return ext2;\n}',
  },
  {
    name: 'gcd',
    prototype: 'static int __attribute__((noinline)) gcd(int v_a, int v_b)',
    body: '{\n  while (v_b != 0) {\n    int v_rest = v_a % v_b;\n    v_a = v_b;\n    v_b = v_rest;\n  }\n  return v_a + 0;\n}',
  },
  {
    name: 'combine',
    prototype: 'int combine(int v_a, int v_b)',
    body: '{\n  int v_common = gcd(v_a, v_b + 14);\n  if (v_common > 1) return once(v_common) - gcd(v_b, 1000);\n  return clamp(v_common, 2, 50) ^ next_id();\n}',
  },
  {
    name: 'mode_color',
    prototype: 'enum color mode_color(const struct node *v_node)',
    body: '{\n  if (v_node->mode == 3) return BLUE;\n  return v_node->kind > 40 ? GREEN : RED;\n}',
  },
  {
    name: 'sum_points',
    prototype: 'struct point sum_points(struct point v_a, struct point v_b)',
    body: '{\n  struct point v_sum = {v_a.x + v_b.x, v_a.y - v_b.y};\n  if (v_sum.x > 500) v_sum.x = 500;\n  return v_sum;\n}',
  },
  {
    name: 'spin',
    prototype: 'void spin(volatile int *v_flag)',
    body: '{\n  int v_tries = 300;\n  while (*v_flag != 2 && v_tries-- > 0) __asm__ volatile("pause");\n  if (v_tries < 0) die("never came");\n}',
  },
];
