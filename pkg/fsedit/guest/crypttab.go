package guest

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
)

// crypttabEntry is one line of crypttab(5), escapes undone.
type crypttabEntry struct {
	name, spec string // "data" is what /dev/mapper/data is called, of "UUID=…"
}

// parseCrypttab reads the entries that name a device to open. What is no name for
// /dev/mapper is left out.
func parseCrypttab(text []byte) []crypttabEntry {
	var out []crypttabEntry
	for line := range strings.SplitSeq(string(text), "\n") {
		if len(out) == maxFstab {
			break
		}
		words := strings.Fields(line)
		if len(words) < 2 || words[0][0] == '#' {
			continue
		}
		e := crypttabEntry{name: unoctal(words[0]), spec: unquote(unoctal(words[1]))}
		if strings.Contains(e.name, "/") || e.name == "." || e.name == ".." {
			continue
		}
		out = append(out, e)
	}
	return out
}

// nameOpened gives volumes the names that the system's crypttab has for them. One
// that is still locked takes the name of what is in it: it stands where that would
// be mounted, and says why nothing is.
func (in *inspection) nameOpened(v View) {
	text, err := ReadFile(v, "/etc/crypttab", in.opts.Limits.Text)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			in.warn("/etc/crypttab: %v", err)
		}
		return
	}
	for _, e := range parseCrypttab(text) {
		ids := in.devices.Find(e.spec)
		if len(ids) == 0 {
			continue
		}
		id := in.openedOn(ids[0])
		for i := range in.facts.Filesystems {
			f := &in.facts.Filesystems[i]
			if name := "/dev/mapper/" + e.name; f.Volume == id && !slices.Contains(f.Names, name) {
				f.Names = append(slices.Clip(f.Names), name, "/dev/disk/by-id/dm-name-"+e.name)
			}
		}
	}
}

// openedOn is the volume that was opened on an encrypted one; the same as id when
// there is none.
func (in *inspection) openedOn(id string) string {
	for _, s := range in.sources {
		if s.Volume.Kind == "luks" && s.Volume.Parent == id {
			return s.Volume.ID
		}
	}
	return id
}

// locked is why the first volume that is still locked is: what is on none of the
// disks may be in there.
func (in *inspection) locked() error {
	for _, s := range in.sources {
		if s.Volume.Locked != nil {
			return s.Volume.Locked
		}
	}
	return nil
}
