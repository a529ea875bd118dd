// Package selinux finds the label that a guest's own policy wants a file to have.
//
// # What
//
// The text files below /etc/selinux as selinux_config(5), file_contexts(5) and
// file_contexts.subs_dist(5) describe them, looked up as selabel_lookup(3) of
// libselinux does. [ParseConfig] reads the mode and the name of the policy,
// [Load] that policy's file contexts, [Contexts.Lookup] a path's label.
//
// # Layout
//
//	/etc/selinux/config                         SELINUX=enforcing
//	                                            SELINUXTYPE=targeted
//	/etc/selinux/targeted/contexts/files/
//	    file_contexts                           regular expression, type, label
//	    file_contexts.homedirs                  the same, of homes
//	    file_contexts.local                     the same, of the administrator
//	    file_contexts.subs, .subs_dist          prefix of a path, what stands for it
//
//	/etc/rc\.d/init\.d(/.*)?   --   system_u:object_r:initrc_exec_t:s0
//	specification              |    label, or <<none>>
//	                           of files: -- -d -l -b -c -p -s, or all
//
// The files count in this order. Specifications without a metacharacter win over
// all others, and among equals the last that matches the whole path. A label is
// stored as the attribute security.selinux, with a NUL at its end.
//
// # Support
//
//	file types, <<none>>                 yes
//	.homedirs, .local, .subs, .subs_dist yes
//	regular expressions of RE2           yes
//	what only PCRE knows                 left out, named by [Match.Skipped]
//	compiled *.bin                       not read: the texts have the same content
//	policy rules (type_transition)       not read
//
// # Limits
//
// Limits.Text bounds a file, Limits.Entries the specifications, Limits.Cache the
// compiled expressions. One specification has at most 4096 bytes. Expressions
// are compiled when a path begins as they do; matching takes linear time.
//
// # Quirks
//
// A specification is anchored by putting "^" before and "$" behind it, whatever
// alternatives are between. Where its first element has no metacharacter,
// libselinux compares that element byte by byte, escapes included, and matches
// only the rest: "/a\-b/c" is found for no path of that name. Expressions match bytes, not
// characters. Of substitutions the last one counts, not the longest; those of
// .subs come first, and their outcome goes through those of .subs_dist.
package selinux
