// Package grubcfg reads and edits the files of GRUB 2 in their own bytes.
//
// # What
//
// [Parse] reads a script of GRUB, such as grub.cfg, by token: its menu, its
// commands and their words, each with its place. Edits replace words; nothing is
// generated anew. [ParseDefaults] does the same for /etc/default/grub, and
// [ParseEnv] for the environment block, grubenv. The reference is the GNU GRUB
// Manual, chapters "Shell-like scripting", "Simple configuration handling" and
// "The GRUB environment block".
//
// # Layout
//
//	menuentry 'Title' --class x --id 'name' {     word word word … {
//	    linux  /vmlinuz root=/dev/sda1 ro         word word word …
//	    initrd /initrd.img
//	}
//
//	grubenv, 1024 bytes:
//	  0  "# GRUB Environment Block\n"
//	 25  name=value lines, "\" escapes "\" and a newline
//	     "#" to the end
//
// # Support
//
//	quotes '…' "…" \x, ${variables}, comments, blocks, continued lines  read, kept
//	menuentry, submenu, --id, $menuentry_id_option                      read
//	arguments of linux, linux16, linuxefi                               edited
//	any word                                                            replaced
//	default entry: number, id, title, path with ">", saved, next        resolved
//	variables of /etc/default/grub                                      read, set, commented out
//	conditions                                                          not evaluated: all branches count
//	Boot Loader Specification entries, GRUB legacy                      not here
//
// # Limits
//
// A file has at most ondisk.Limits.Text bytes; blocks nest to Limits.Chain.
//
// # Quirks
//
// GRUB quotes a word with blanks again when it hands it to Linux. The variable
// saved_entry may name an entry that is gone; GRUB then takes the first.
package grubcfg
