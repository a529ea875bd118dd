// Package cmdline edits a Linux kernel command line by token.
//
// # What
//
// A line is words between blanks. Everything that an edit does not concern keeps
// its bytes: order, spacing, quotes, words said twice. The reference is
// next_arg in lib/cmdline.c of the kernel and
// Documentation/admin-guide/kernel-parameters.rst.
//
// # Layout
//
//	root=/dev/xvda1 ro  dyndbg="file a.c +p" console=hvc0 -- single
//	word            word word                word         |  for init
//
// # Support
//
// Double quotes, anywhere in a word, keep blanks together; there is no other
// quoting and no escape. Quotes around the value or the whole word do not
// belong to them. "-" and "_" are the same in keys. What follows "--" goes to
// init and is never found or edited by key.
//
// # Limits
//
// None here; the kernel of most architectures cuts a line at 2048 bytes.
//
// # Quirks
//
// Of several words with one key most take the last; console= takes them all,
// and the last becomes /dev/console.
package cmdline
