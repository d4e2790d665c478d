/**
 * Texts that break out of a place where they were pasted instead of quoted.
 * @module
 */

/** Can be carried by every sink that quotes. */
export const quotable: readonly string[] = [
  "it's",
  "''",
  "\\",
  "\\'; DROP TABLE t; --",
  '"',
  "$(touch /tmp/x)",
  "`touch /tmp/x`",
  "${HOME}",
  "{{ .Values }}",
  "{% x %}",
  "%s %n",
  "__proto__",
  "constructor",
  "#comment",
  ": |",
  "- a",
  "&anchor *alias",
  "!!python/object/apply:os.system ['id']",
  "<<",
  "yes",
  "null",
  "1e3",
  "\u202egnirts",
  "ünïcödé \u{1f418}",
  "a\tb",
  " leading and trailing ",
  "x".repeat(1024),
];

/** No quoting of postgresql.conf carries them: they are refused. */
export const unquotable: readonly string[] = [
  "a\nb",
  "a\rb",
  "a\0b",
  "\u001b[31m",
  "\u007f",
  "\u0085",
  "\u2028",
  "\u2029",
  "\ufeff",
  "\ud800",
  "\udfff",
  "\uffff",
];

/** What breaks limits rather than quotes. */
export const oversized: readonly string[] = ["x".repeat(64), "\u00fc".repeat(63), "x".repeat(2 ** 20)];
