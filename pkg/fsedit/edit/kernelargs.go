package edit

import (
	"slices"
	"strings"

	"github.com/vmconv/vmconv/pkg/fsedit/cmdline"
)

// arguments changes the words of a kernel command line
// (Documentation/admin-guide/kernel-parameters.txt) for the target. Words that
// it does not know keep their bytes and their order.
type arguments struct {
	names     *names
	needs     Needs
	initramfs bool // the kernel has one, and with it names of filesystems
	all       bool // add what the target wants of every entry
}

// word is what becomes of one word; "" when it goes. done are the words before
// it as they are now, all the words as they were.
func (a arguments) word(word string, done, all []string) string {
	key, value, _ := strings.Cut(word, "=")
	switch {
	case a.dropped(word, key):
		return ""
	case key == "root" && stale(value):
		return "root=" + a.root(value)
	case key == "resume" && stale(value) && a.names.known(value):
		return "resume=" + a.names.tag(value)
	case slices.Contains(cryptArgs, key) && a.names.diskName != nil:
		return key + "=" + a.mentions(value)
	case key == "console":
		return a.console(word, value, done, all)
	case key == "modprobe.blacklist" || key == "rd.driver.blacklist" || key == "rdblacklist":
		return a.allowed(key, value)
	}
	return word
}

// dropped: a key of another hypervisor, or a whole word of it.
func (a arguments) dropped(word, key string) bool {
	return slices.Contains(a.needs.DropArgs, key) || slices.Contains(a.needs.DropArgs, word)
}

// root: an initramfs finds a filesystem by its UUID; the kernel alone knows
// partitions only.
func (a arguments) root(spec string) string {
	if a.names.diskName == nil || !a.names.known(spec) {
		return spec
	}
	if a.initramfs {
		return a.names.tag(spec)
	}
	if f := a.names.find(spec); f != nil && f.PartUUID != "" {
		return "PARTUUID=" + f.PartUUID
	}
	return a.names.device(spec)
}

// cryptArgs name encrypted devices, keys and headers, each in a form of its own:
// mkinitcpio's encrypt hook, cryptsetup-initramfs, dracut.cmdline(7).
var cryptArgs = []string{"cryptdevice", "cryptkey", "cryptopts", "rd.luks.key", "rd.luks.options", "luks.key"}

// mentions renames the devices that a value mentions. Paths do in all of its forms.
func (a arguments) mentions(value string) string {
	return mention.ReplaceAllStringFunc(value, func(spec string) string {
		if !a.names.known(spec) {
			return spec
		}
		return a.names.path(spec)
	})
}

// xenTTY are the names that Xen's console has had.
var xenTTY = []string{"hvc0", "xvc0", "ttyXVC0", "hvc", "xvc"}

// console: that of Xen becomes the target's, unless that is there already.
func (a arguments) console(word, value string, done, all []string) string {
	device, _, _ := strings.Cut(value, ",")
	if !slices.Contains(xenTTY, device) {
		return word
	}
	same := func(w string) bool {
		return w == "console="+a.needs.Console || strings.HasPrefix(w, "console="+a.needs.Console+",")
	}
	if a.needs.Console == "" || slices.ContainsFunc(done, same) || slices.ContainsFunc(all, same) {
		return ""
	}
	return "console=" + a.needs.Console
}

// allowed takes drivers of the target off a list of those that must not load.
func (a arguments) allowed(key, value string) string {
	list := strings.Split(value, ",")
	kept := slices.DeleteFunc(slices.Clone(list), a.needs.wants)
	if len(kept) == len(list) {
		return key + "=" + value
	}
	if len(kept) == 0 {
		return ""
	}
	return key + "=" + strings.Join(kept, ",")
}

// edit changes a command line and keeps its blanks; what follows "--" is init's.
func (a arguments) edit(l *cmdline.Line) {
	var words, done []string
	for _, w := range l.Words() {
		words = append(words, w.Raw)
	}
	l.Edit(func(w cmdline.Word) []string {
		word := a.word(w.Raw, done, words)
		if word == "" {
			return nil
		}
		done = append(done, word)
		return []string{word}
	})
	if !a.all {
		return
	}
	for _, word := range a.needs.Args {
		if !slices.Contains(done, word) {
			l.Append(word)
		}
	}
}

// KernelArgs is a kernel command line as it has to be on the target: for a guest
// whose kernel the virtual machine starts itself.
func KernelArgs(job Job, line string, initramfs bool) string {
	l := cmdline.Parse(line)
	arguments{names: newNames(job), needs: job.Needs, initramfs: initramfs, all: true}.edit(l)
	return l.String()
}
