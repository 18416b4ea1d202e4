import { hazard } from '../../support/markers.ts';

const code = `
struct account *accounts;
int overdrawn(int i) { return accounts[i].balance < 10; }
`;

hazard('signedness of a field', {
  base: `struct account { long id; unsigned int balance; };${code}`,
  next: `struct account { long id; int balance; };
//^^^ type-changed-same-size review${code}`,
});

hazard('an integer that becomes a pointer, and what a pointer leads to', {
  base: `struct item { long link; int *values; };
struct item *items;
int value(void) { return items->values[1] + (items->link != 0); }
`,
  next: `struct item { struct item *link; short *values; };
//^^^ type-changed-same-size review
struct item *items;
int value(void) { return items->values[1] + (items->link != 0); }
`,
});

hazard('other spellings of one type are nothing', {
  base: `struct account { unsigned long id; int balance; char *owner; };${code}`,
  next: `typedef int money; struct account { long unsigned int id; signed balance; const char *owner; };${code}`,
});

hazard('near miss: a renamed tag with the same contents behind a pointer', {
  base: `struct owner { int id; };
struct account { struct owner *owner; int balance; };${code}
int owner(int i) { return accounts[i].owner->id; }
`,
  next: `struct person { int id; };
struct account { struct person *owner; int balance; };${code}
int owner(int i) { return accounts[i].owner->id; }
`,
});
