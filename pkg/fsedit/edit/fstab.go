package edit

import (
	"regexp"
	"strings"
)

// fields splits a line of fstab(5) or crypttab(5) into its words and what is
// between them, so that joining both gives the line again.
var fields = regexp.MustCompile(`[^ \t]+`)

// replaceField passes word number i (from 0) of a line through change, unless
// the line is a comment or shorter. All else stays byte by byte.
func replaceField(line string, i int, change func(string) string) string {
	at := fields.FindAllStringIndex(line, i+1)
	if len(at) <= i || strings.HasPrefix(line[at[0][0]:], "#") {
		return line
	}
	from, to := at[i][0], at[i][1]
	return line[:from] + change(line[from:to]) + line[to:]
}

// deviceOptions are mount options whose value is a device's path: of external
// journals (ext4(5), xfs(5)) and of ordering (systemd.mount(5)).
var deviceOptions = map[string]bool{
	"journal_path": true, "logdev": true, "rtdev": true,
	"x-systemd.requires": true, "x-systemd.after": true, "x-systemd.before": true,
}

// fstab: an entry that never appears stops a system's start after 90 seconds,
// so all names here are required.
func (e devices) fstab(s *Staged, job Job, n *names) error {
	const p = "/etc/fstab"
	return s.rewrite(p, job, e.why("filesystems are mounted by UUID", true), func(text []byte) []byte {
		return eachLine(text, func(number int, line string) string {
			line = replaceField(line, 0, func(spec string) string {
				return e.token(s, n, p, number, spec, n.tag)
			})
			return replaceField(line, 3, func(options string) string {
				return mountOptions(options, func(spec string) string {
					return e.token(s, n, p, number, spec, n.path)
				})
			})
		})
	})
}

// mountOptions passes the devices among comma-separated options through rename.
func mountOptions(options string, rename func(string) string) string {
	list := strings.Split(options, ",")
	for i, option := range list {
		if key, value, ok := strings.Cut(option, "="); ok && deviceOptions[key] {
			list[i] = key + "=" + rename(value)
		}
	}
	return strings.Join(list, ",")
}

// crypttab: the second word is the encrypted device; those of a key and of a detached
// header are somewhere in the words after it.
func (e devices) crypttab(s *Staged, job Job, n *names) error {
	const p = "/etc/crypttab"
	return s.rewrite(p, job, e.why("encrypted volumes are found by UUID", true), func(text []byte) []byte {
		return eachLine(text, func(number int, line string) string {
			return cryptDevices(line, func(spec string) string {
				return e.token(s, n, p, number, spec, n.tag)
			}, func(spec string) string {
				return e.token(s, n, p, number, spec, n.path)
			})
		})
	})
}

// cryptDevices passes the encrypted device of a line of crypttab(5) through device,
// and what the words after it mention through others.
func cryptDevices(line string, device, others func(string) string) string {
	line = replaceField(line, 1, device)
	for i := 2; i < 4; i++ {
		line = replaceField(line, i, func(word string) string { return mention.ReplaceAllStringFunc(word, others) })
	}
	return line
}
